import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { becomeNode, type Host, plugIn } from '../../demo/world.ts';
import { nft, runProgram, vipmap } from '../kernel/vipmap.ts';
import { ip, ipvsadm, saved } from './harness.ts';

/*
 * Runs as root in a fresh network namespace of a kernel with IPVS: the daemon in mode ipvs as a user starts it, with real pods, connections
 * that stay and a load. Prints one JSON object: check to '', or to what was wrong.
 */
const bundle = join(import.meta.dirname, '..', '..', 'dist', 'vipmap.mjs');
const clusterIp = '10.96.0.10';
const results: Record<string, string> = {};
const folder = await mkdtemp(join(tmpdir(), 'vipmap-daemon-'));
const state = join(folder, 'cluster.json');
const common = ['--node', 'node-1', '--cluster-cidr', '10.244.0.0/16', '--node-addresses', '192.168.0.2'];

const service = (name: string, address: string) => ({
  kind: 'Service',
  apiVersion: 'v1',
  metadata: { name, namespace: 'shop' },
  spec: {
    type: 'NodePort',
    clusterIP: address,
    clusterIPs: [address],
    ipFamilies: ['IPv4'],
    ports: [{ name: 'http', port: 80, nodePort: 30080 }],
  },
});
const slice = (name: string, addresses: readonly string[]) => ({
  kind: 'EndpointSlice',
  apiVersion: 'discovery.k8s.io/v1',
  metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080 }],
  endpoints: addresses.map((address) => ({ addresses: [address], nodeName: 'node-1' })),
});
const node = {
  kind: 'Node',
  apiVersion: 'v1',
  metadata: { name: 'node-1' },
  status: { addresses: [{ type: 'InternalIP', address: '192.168.0.2' }] },
};

/** The cluster is one service with these endpoints; without any there is no service. */
async function setCluster(addresses: readonly string[], hasService = true): Promise<void> {
  const items = hasService ? [node, service('web', clusterIp), slice('web', addresses)] : [node];
  await writeFile(state, JSON.stringify({ kind: 'List', apiVersion: 'v1', items }));
}

const running = new Set<ChildProcess>();
let log = '';

function start(mode: string, ...more: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [bundle, 'run', '--mode', mode, '--state', folder, ...common, ...more], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  running.add(child);
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  return child;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await exited;
  running.delete(child);
}

/** Emulated processors are slow, and what is waited for is not how long it takes. */
const patienceMs = 240_000;

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (performance.now() < deadline) {
    if (await holds()) return;
    await delay(200);
  }
  throw new Error(`did not come about: ${what}\n${await saved()}\n${log.slice(-3000)}`);
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

async function check(name: string, run: () => Promise<void>): Promise<void> {
  log = '';
  try {
    await run();
    results[name] = '';
  } catch (error) {
    results[name] = `${error instanceof Error ? error.message : String(error)}\n${log.slice(-2000)}`;
  } finally {
    for (const child of running) await end(child, 'SIGKILL');
    await ipvsadm(['-C']);
    await ip('link', 'delete', 'kube-ipvs0');
    for (const family of ['ip', 'ip6']) await nft(['delete', 'table', family, 'vipmap']);
  }
}

const has = async (line: string) => (await saved()).includes(line);
const at = `${clusterIp}:80`;
const weight = (endpoint: string, value: number) => `-a -t ${at} -r ${endpoint}:8080 -m -w ${value}`;
const addresses = async () => (await ip('-br', 'address', 'show', 'dev', 'kube-ipvs0')).stdout;

becomeNode();
await runProgram('modprobe', ['-a', 'ip_vs', 'dummy']);
const [a, b, client, outside] = await Promise.all([
  plugIn('pod-a', '10.244.1.5'),
  plugIn('pod-b', '10.244.1.6'),
  plugIn('pod-c', '10.244.1.7'),
  plugIn('outside', '203.0.113.9'),
]);
await a.command({ do: 'serve', name: 'a', port: 8080, keeps: true });
await b.command({ do: 'serve', name: 'b', port: 8080, keeps: true });
const both = [a.address, b.address];
const open = async (host: Host, id: string, address = clusterIp, port = 80) =>
  (await host.command({ do: 'open', id, host: address, port }))[0] ?? '';
const say = async (host: Host, id: string) => (await host.command({ do: 'say', id, host: '', port: 0 }))[0] ?? '';

/** Connections that stay, to each of the two endpoints: their ids by the endpoint's name. */
async function connectToBoth(host: Host): Promise<Record<'a' | 'b', string>> {
  const ids: Partial<Record<string, string>> = {};
  for (let i = 0; i < 6 && (ids['a'] === undefined || ids['b'] === undefined); i++) {
    const id = `${Math.random()}`;
    ids[(await open(host, id)).slice(0, 1)] = id;
  }
  must(ids['a'] !== undefined && ids['b'] !== undefined, `not both endpoints were reached: ${JSON.stringify(ids)}`);
  return ids as Record<'a' | 'b', string>;
}

await check(
  'an endpoint that leaves keeps its connections, gets no new ones, and goes when these have ended',
  async () => {
    await setCluster(both);
    // Where netlink can be used nobody asks for ipvsadm.
    start('ipvs', '--ipvsadm', '/no/ipvsadm');
    await until('both endpoints', async () => (await has(weight(a.address, 1))) && has(weight(b.address, 1)));
    const ids = await connectToBoth(client);
    await setCluster([a.address]);
    await until('weight 0', () => has(weight(b.address, 0)));
    must((await say(client, ids.b)).startsWith('b saw'), 'the connection to the endpoint that left is broken');
    for (let i = 0; i < 4; i++) {
      const reply = await open(client, `new-${i}`);
      must(reply.startsWith('a saw'), `a new connection went to "${reply}"`);
    }
    // It comes back, and leaves again.
    await setCluster(both);
    await until('weight 1', () => has(weight(b.address, 1)));
    await setCluster([a.address]);
    await until('weight 0 again', () => has(weight(b.address, 0)));
    await delay(12_000);
    must(await has(weight(b.address, 0)), 'it went although it has connections');
  },
);

await check('after kill -9 everything is adopted, what leaves goes on leaving, and connections stay', async () => {
  await setCluster(both);
  const first = start('ipvs');
  await until('both endpoints', async () => (await has(weight(a.address, 1))) && has(weight(b.address, 1)));
  const ids = await connectToBoth(client);
  await setCluster([a.address]);
  await until('weight 0', () => has(weight(b.address, 0)));
  // The tables follow: killed before that, it would have something left to do.
  const tables = async () => (await nft(['list', 'ruleset'])).stdout;
  await until('the tables', async () => !(await tables()).includes(b.address));
  await end(first, 'SIGKILL');
  log = '';
  start('ipvs', '--ipvs-termination-limit', '1s');
  await until('start', () => Promise.resolve(log.includes('in place')));
  must(log.includes('nothing to change'), 'a restart changed something');
  must((await say(client, ids.a)).startsWith('a saw'), 'a connection did not survive the restart');
  await until('end of the endpoint that left, after the limit', async () => !(await has(b.address)));
});

await check('a service that is deleted keeps its connections, and its address until these have ended', async () => {
  await setCluster(both);
  // One way to write goes on where the other left off.
  const first = start('ipvs', '--kernel-writer', 'nft');
  await until('both endpoints', async () => (await has(weight(a.address, 1))) && has(weight(b.address, 1)));
  await connectToBoth(client);
  await open(client, 'stays');
  await setCluster([], false);
  await until('weight 0', () => has(weight(a.address, 0)));
  must((await say(client, 'stays')).includes(' saw '), 'the connection is broken');
  must(!(await open(client, 'late')).includes(' saw '), 'a new connection is taken');
  must((await addresses()).includes(clusterIp), 'the address is gone');
  await end(first, 'SIGTERM');
  start('ipvs', '--ipvs-termination-limit', '1s');
  await until('end of the virtual server', async () => !(await has(clusterIp)));
  await until('end of the address', async () => !(await addresses()).includes(clusterIp));
});

await check(
  "others' virtual servers and addresses stay, in cleanup too; what is ours and changed is mended",
  async () => {
    const foreign = '-A -t 192.168.0.2:9999 -s wlc\n-a -t 192.168.0.2:9999 -r 10.9.9.9:9999 -g -w 3\n';
    await ipvsadm(['--restore'], foreign);
    await setCluster(both);
    start('ipvs', '--audit-period', '2');
    await until('both endpoints', async () => (await has(weight(a.address, 1))) && has(weight(b.address, 1)));
    await ipvsadm(['-D', '-t', at]);
    await ip('address', 'delete', `${clusterIp}/32`, 'dev', 'kube-ipvs0');
    await until('mended', async () => (await has(weight(a.address, 1))) && (await addresses()).includes(clusterIp));
    await until('that it is said', () => Promise.resolve(log.includes('IPVS (IPv4) was not as it should be')));
    for (const child of running) await end(child, 'SIGTERM');
    const cleaned = await vipmap(['cleanup']);
    must(cleaned.exitCode === 0, `cleanup: ${cleaned.stderr}`);
    must((await saved()) === foreign, `cleanup left:\n${await saved()}`);
    must(!(await addresses()).includes(clusterIp), 'cleanup left the interface');
  },
);

await check(
  'modes are changed under load, there and back: no new connection fails, and those from mode nftables stay',
  async () => {
    await setCluster(both);
    let daemon = start('nftables');
    await until('rules', () => Promise.resolve(log.includes('in place')));
    await open(client, 'from nftables');
    // Nobody listens on the load's endpoints but to say a name in answer: see pod.ts.
    await a.command({ do: 'serve', name: 'a', port: 8081 });
    const load = async (host: Host, address: string, port: number) =>
      host.command({ do: 'load', host: address, port, everyMs: 100 });
    const loadCluster = { ...service('web', clusterIp), metadata: { name: 'load', namespace: 'shop' } };
    loadCluster.spec = {
      ...loadCluster.spec,
      clusterIP: '10.96.0.11',
      clusterIPs: ['10.96.0.11'],
      ports: [{ name: 'http', port: 80, nodePort: 30081 }],
    };
    const loadSlice = { ...slice('load', [a.address]), ports: [{ name: 'http', port: 8081 }] };
    const items = [node, service('web', clusterIp), slice('web', both), loadCluster, loadSlice];
    await writeFile(state, JSON.stringify({ kind: 'List', apiVersion: 'v1', items }));
    await delay(3000);
    await load(client, '10.96.0.11', 80);
    await load(outside, '192.168.0.2', 30081);
    await delay(2000);
    let inIpvs = '';
    for (const mode of ['ipvs', 'nftables']) {
      await end(daemon, 'SIGTERM');
      log = '';
      daemon = start(mode);
      await until(`mode ${mode}`, () => Promise.resolve(log.includes('in place')));
      if (mode === 'ipvs') inIpvs = await open(client, 'from ipvs');
      must(inIpvs.includes(' saw '), 'no connection in mode ipvs');
      await delay(3000);
      must(
        (await say(client, 'from nftables')).includes(' saw '),
        `a connection from mode nftables broke in mode ${mode}`,
      );
    }
    must((await say(client, 'from ipvs')).includes(' saw '), 'a connection from mode ipvs broke in mode nftables');
    for (const host of [client, outside]) {
      const [count = '0', ...failed] = await host.command({ do: 'report' });
      must(Number(count) > 20, `only ${count} connections were made`);
      must(failed.length === 0, `${failed.length} of ${count} connections failed: ${[...new Set(failed)].join(', ')}`);
    }
    // The load's connections have ended, which IPVS remembers for a while.
    await until('end of the virtual servers without connections', async () => !(await has('10.96.0.11')));
    const { address } = inIpvs.startsWith('a') ? a : b;
    must(await has(weight(address, 0)), 'the real server of a connection went');
  },
);

for (const host of [a, b, client, outside]) host.stop();
await rm(folder, { recursive: true, force: true });
console.log(JSON.stringify(results));
process.exit(0);
