import { access, readFile } from 'node:fs/promises';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { isRecord, reasonOf } from '../fields.ts';
import { yamlDocuments } from '../yaml.ts';

/** The API server cannot be found or used as configured. The message names file, field and remedy. */
export class KubeconfigError extends Error {
  override readonly name = 'KubeconfigError';
}

export interface ApiServerOptions {
  /** A kubeconfig file; `''`: that of the pod's service account. */
  readonly kubeconfig: string;
  /** The API server's URL, over whatever the kubeconfig or the environment says; `''`: as they say. */
  readonly master: string;
}

/** Where Kubernetes mounts a pod's credentials. */
const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Which API server, and who we are to it. The environment variable KUBERNETES_SERVICE_HOST is the last thing that is asked: it names
 * the cluster IP of the service `kubernetes`, which leads nowhere before a service proxy has made it work.
 */
export async function loadKubeConfig({ kubeconfig, master }: ApiServerOptions): Promise<KubeConfig> {
  const config = new KubeConfig();
  if (kubeconfig !== '') await loadFile(config, kubeconfig);
  else if (await exists(`${serviceAccount}/token`)) loadServiceAccount(config, master);
  else if (master !== '')
    config.loadFromClusterAndUser(
      { name: 'master', server: serverOf(master), skipTLSVerify: false },
      { name: 'nobody' },
    );
  else {
    throw new KubeconfigError(
      'no API server is named: give --kubeconfig FILE (or clientConnection.kubeconfig in the configuration), or --master URL, or --state DIR to go without one',
    );
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new KubeconfigError(
      `${kubeconfig}: its current-context ${JSON.stringify(config.currentContext ?? '')} names no cluster of the file; set current-context`,
    );
  }
  const server = serverOf(master === '' ? cluster.server : master);
  // The client library takes plain HTTP, which has no certificate to verify, only with this.
  const skipTLSVerify = server.startsWith('http:') || cluster.skipTLSVerify;
  config.clusters = config.clusters.map((each) =>
    each.name === cluster.name ? { ...each, server, skipTLSVerify } : each,
  );
  return config;
}

async function loadFile(config: KubeConfig, file: string): Promise<void> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new KubeconfigError(`cannot read the kubeconfig "${file}": ${reasonOf(error)}; give a readable file`);
  }
  try {
    config.loadFromString(text);
  } catch (error) {
    throw new KubeconfigError(`"${file}" is no kubeconfig: ${reasonOf(error)}`);
  }
  const folder = file.slice(0, Math.max(0, file.lastIndexOf('/')));
  config.makePathsAbsolute(folder === '' ? '.' : folder);
  // The client library does not know tokenFile, which kubeadm's kubeconfig for service proxies has; read once it would expire.
  const tokenFiles = tokenFilesIn(text);
  config.users = config.users.map((user) => {
    const tokenFile = tokenFiles.get(user.name);
    return tokenFile === undefined || user.token ? user : { ...user, authProvider: fromFile(tokenFile) };
  });
}

const fromFile = (tokenFile: string) => ({ name: 'tokenFile', config: { tokenFile } });

/** The users of a kubeconfig that have their token in a file. */
function tokenFilesIn(text: string): ReadonlyMap<string, string> {
  const tokenFiles = new Map<string, string>();
  for (const document of yamlDocuments(text)) {
    if (document.kind !== 'value' || !isRecord(document.value) || !Array.isArray(document.value['users'])) continue;
    for (const user of document.value['users'] as readonly unknown[]) {
      if (!isRecord(user) || typeof user['name'] !== 'string' || !isRecord(user['user'])) continue;
      const tokenFile = user['user']['tokenFile'];
      if (typeof tokenFile === 'string' && tokenFile !== '') tokenFiles.set(user['name'], tokenFile);
    }
  }
  return tokenFiles;
}

function loadServiceAccount(config: KubeConfig, master: string): void {
  const host = process.env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = process.env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (master === '' && host === '') {
    throw new KubeconfigError(
      'no API server is named: this pod has a service account, but neither --master URL is given nor KUBERNETES_SERVICE_HOST set',
    );
  }
  const server = master === '' ? `https://${host.includes(':') ? `[${host}]` : host}:${port}` : serverOf(master);
  config.loadFromClusterAndUser(
    { name: 'in-cluster', server, caFile: `${serviceAccount}/ca.crt`, skipTLSVerify: false },
    { name: 'service-account', authProvider: fromFile(`${serviceAccount}/token`) },
  );
}

function serverOf(url: string): string {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url.replace(/\/+$/, '');
  throw new KubeconfigError(`the API server "${url}" is not a URL; give one such as https://192.168.0.10:6443`);
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
