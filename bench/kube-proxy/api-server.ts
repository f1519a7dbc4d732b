import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import type { Binaries } from './binaries.ts';
import { BackgroundProcess } from './process.ts';

/** An API server on 127.0.0.1 with a store of its own, and nothing that acts by itself: no controllers, no kubelet. */
export interface ApiServer {
  /** A file that programs can be given. */
  readonly kubeconfig: string;
  /** Fails unless the answer is a success or one of the codes that are allowed. */
  call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: string,
    allowed?: readonly number[],
  ): Promise<void>;
  close(): Promise<void>;
}

const address = '127.0.0.1';
const url = `https://${address}:6443`;
const token = 'bench';
/** Around 10.96.0.0/12, so that the generated cluster IPs, which begin with 10.96.0.0, are no address that a range keeps for itself. */
const serviceRange = '10.64.0.0/10';

export async function startApiServer(binaries: Binaries, folder: string): Promise<ApiServer> {
  mkdirSync(folder, { recursive: true });
  const store = startStore(binaries.etcd, folder);
  const server = new BackgroundProcess(apiServerCommand(binaries.apiServer, folder), join(folder, 'api-server.log'));
  const certificate = join(folder, 'certificates', 'apiserver.crt');
  try {
    await server.waitFor('certificate of the API server', 60_000, () =>
      Promise.resolve(existsSync(certificate) || undefined),
    );
    const agent = new Agent({ connections: 32, connect: { ca: readFileSync(certificate) } });
    const call: ApiServer['call'] = async (method, path, body, allowed = []) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const answer = await request(`${url}${path}`, {
        dispatcher: agent,
        method,
        headers,
        ...(body !== undefined && { body }),
      });
      const text = await answer.body.text();
      if (answer.statusCode >= 300 && !allowed.includes(answer.statusCode))
        throw new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 500)}`);
    };
    await server.waitFor('readiness of the API server', 60_000, () => call('GET', '/readyz').then(() => true));
    return {
      kubeconfig: writeKubeconfig(folder, certificate),
      call,
      async close() {
        await agent.destroy();
        await server.stop();
        await store.stop();
      },
    };
  } catch (error) {
    await Promise.all([server.stop(), store.stop()]);
    throw new Error(`the API server did not start\n${server.logEnd()}\n${store.logEnd()}`, { cause: error });
  }
}

function startStore(etcd: string, folder: string): BackgroundProcess {
  const clients = 'http://127.0.0.1:2379';
  const peers = 'http://127.0.0.1:2380';
  const words = [
    '--data-dir',
    join(folder, 'etcd'),
    '--listen-client-urls',
    clients,
    '--advertise-client-urls',
    clients,
  ];
  words.push('--listen-peer-urls', peers, '--unsafe-no-fsync', '--quota-backend-bytes', '4000000000');
  return new BackgroundProcess([etcd, ...words], join(folder, 'etcd.log'));
}

function apiServerCommand(program: string, folder: string): [string, ...string[]] {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = join(folder, 'service-accounts.key');
  writeFileSync(key, privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const tokens = join(folder, 'tokens.csv');
  writeFileSync(tokens, `${token},bench,bench,system:masters\n`);
  return [
    program,
    '--etcd-servers=http://127.0.0.1:2379',
    `--bind-address=${address}`,
    `--advertise-address=${address}`,
    // It would tell the cluster of an address that nobody else can reach.
    '--endpoint-reconciler-type=none',
    `--cert-dir=${join(folder, 'certificates')}`,
    `--token-auth-file=${tokens}`,
    '--authorization-mode=AlwaysAllow',
    `--service-cluster-ip-range=${serviceRange}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
  ];
}

function writeKubeconfig(folder: string, certificate: string): string {
  const file = join(folder, 'kubeconfig.json');
  const name = 'bench';
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server: url, 'certificate-authority': certificate } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}
