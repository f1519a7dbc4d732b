import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { nft, runProgram } from '../kernel/vipmap.ts';
import { FakeApiServer } from './fake-api-server.ts';

/*
 * Runs inside a fresh network namespace: the daemon as a user starts it, on a real kernel, against an API server that does what a check
 * asks of it. Prints one JSON object: check to '', or to what was wrong.
 */
const bundle = join(import.meta.dirname, '..', '..', 'dist', 'vipmap.mjs');
const services = '/api/v1/services';
const slices = '/apis/discovery.k8s.io/v1/endpointslices';
const results: Record<string, string> = {};

interface Daemon {
  readonly process: ChildProcess;
  log(): string;
  /** Ends it by SIGTERM; gives exit code and milliseconds. */
  stop(): Promise<{ code: number | null; ms: number }>;
  kill(): Promise<void>;
}

const running = new Set<ChildProcess>();

function start(args: readonly string[]): Daemon {
  const child = spawn(
    process.execPath,
    [bundle, 'run', '--node', 'node-1', '--cluster-cidr', '10.244.0.0/16', ...args],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  running.add(child);
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const exited = new Promise<number | null>((resolve) =>
    child.once('exit', (code) => {
      running.delete(child);
      resolve(code);
    }),
  );
  return {
    process: child,
    log: () => log,
    stop: async () => {
      const begin = performance.now();
      child.kill('SIGTERM');
      const code = await exited;
      return { code, ms: performance.now() - begin };
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

const service = (name: string, ip: string) => ({
  kind: 'Service',
  apiVersion: 'v1',
  metadata: { name, namespace: 'shop' },
  spec: {
    type: 'ClusterIP',
    clusterIP: ip,
    clusterIPs: [ip],
    ipFamilies: ['IPv4'],
    ports: [{ name: 'http', port: 80 }],
  },
});
const slice = (name: string, ...addresses: readonly string[]) => ({
  kind: 'EndpointSlice',
  apiVersion: 'discovery.k8s.io/v1',
  metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080 }],
  endpoints: addresses.map((address) => ({ addresses: [address] })),
});
const node = (zone: string) => ({
  kind: 'Node',
  apiVersion: 'v1',
  metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': zone } },
  status: { addresses: [{ type: 'InternalIP', address: '192.168.0.2' }] },
});

const list = async (...what: readonly string[]) => (await nft(['list', ...what])).stdout;
/** Where a map leads: the endpoints of all slots. */
async function endpoints(): Promise<string> {
  const text = await list('map', 'ip', 'vipmap', 'cluster-endpoints-tcp');
  return [...text.matchAll(/: (10\.244\.\d+\.\d+) \. \d+/g)]
    .map((match) => match[1])
    .sort()
    .join(' ');
}

async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 5000): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (await holds()) return;
    await delay(20);
  }
  throw new Error(`did not come about within ${ms} ms: ${what}`);
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

async function withApi(run: (api: FakeApiServer, args: readonly string[]) => Promise<void>): Promise<void> {
  const api = new FakeApiServer();
  api.put('/api/v1/nodes', node('zone-a'));
  api.put(services, service('web', '10.96.0.1'));
  api.put(slices, slice('web', '10.244.1.5'));
  try {
    await run(api, ['--master', await api.listen()]);
  } finally {
    await api.close();
  }
}

async function check(name: string, run: () => Promise<void>): Promise<void> {
  await nft(['flush', 'ruleset']);
  try {
    await run();
    results[name] = '';
  } catch (error) {
    results[name] = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  for (const child of running) child.kill('SIGKILL');
  while (running.size > 0) await delay(10);
}

await runProgram('ip', ['link', 'set', 'lo', 'up']);

await check('a cluster is programmed and its changes are followed', () =>
  withApi(async (api, args) => {
    const daemon = start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    api.put(slices, slice('web', '10.244.1.5', '10.244.1.6'));
    await until('the second endpoint', async () => (await endpoints()) === '10.244.1.5 10.244.1.6');
    api.delete(services, 'web', 'shop');
    await until('the deletion', async () => (await endpoints()) === '');
    must(!/error|refused|mended/.test(daemon.log()), daemon.log());
  }),
);

await check('nothing is touched before everything is known, and what is found is adopted', () =>
  withApi(async (api, args) => {
    const first = start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    await first.kill();
    const before = await list('ruleset');
    api.put(slices, slice('web', '10.244.1.5', '10.244.1.6'));
    api.refusals.set(slices, 403);
    const second = start(args);
    await until('a word on the list that is missing', () => second.log().includes('EndpointSlice'));
    await delay(300);
    must((await list('ruleset')) === before, 'the rules were touched');
    api.refusals.delete(slices);
    await until('the sync', async () => (await endpoints()) === '10.244.1.5 10.244.1.6', 20_000);
    await until('a word on it', () => second.log().includes('in place'));
    const [, commands] = /in place: ([\d,]+) commands/.exec(second.log()) ?? [];
    must(Number(commands) < 10, `adopting should send little: ${second.log()}`);
  }),
);

await check('an API server that goes away leaves every rule, and is found again when it is back', () =>
  withApi(async (api, args) => {
    const daemon = start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    const before = await list('ruleset');
    const port = Number(new URL(args[1] ?? '').port);
    await api.close();
    await delay(1500);
    must((await list('ruleset')) === before, 'the rules were touched');
    must(daemon.process.exitCode === null, 'the daemon ended');
    const back = new FakeApiServer();
    back.put('/api/v1/nodes', node('zone-a'));
    for (let i = 0; i < 5; i++) back.put(services, service('web', '10.96.0.1'));
    back.put(slices, slice('web', '10.244.1.7'));
    back.compact();
    await back.listen(port);
    await until('the new endpoint', async () => (await endpoints()) === '10.244.1.7', 30_000);
    await back.close();
  }),
);

await check('a cluster without ServiceCIDRs is served, and that is said once', () =>
  withApi(async (api, args) => {
    api.refusals.set('/apis/networking.k8s.io/v1/servicecidrs', 404);
    const daemon = start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    await delay(200);
    must(daemon.log().match(/ServiceCIDR: this cluster does not serve it/g)?.length === 1, daemon.log());
  }),
);

await check('SIGTERM ends it with code 0 and leaves the rules', () =>
  withApi(async (_, args) => {
    const daemon = start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    const before = await list('ruleset');
    const { code, ms } = await daemon.stop();
    must(code === 0, `exit code ${code}`);
    // Kubernetes would kill it after its grace period; how long it takes is measured in the cluster.
    must(ms < 5000, `it took ${ms} ms`);
    must((await list('ruleset')) === before, 'the rules were touched');
  }),
);

await check('a second instance refuses to start while the first lives, not after it was killed', () =>
  withApi(async (_, args) => {
    const first = start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    const second = start(args);
    await until('its end', () => second.process.exitCode !== null);
    must(second.process.exitCode === 1, `exit code ${second.process.exitCode}`);
    must(second.log().includes(`another vipmap (process ${first.process.pid})`), second.log());
    await first.kill();
    const third = start(args);
    await until('its sync', () => third.log().includes('in place'));
  }),
);

for (const [what, command] of [
  ['a table', ['delete', 'table', 'ip', 'vipmap']],
  ['every rule of a table', ['flush', 'table', 'ip', 'vipmap']],
  ['the whole ruleset', ['flush', 'ruleset']],
  ['the elements of a map', ['flush', 'map', 'ip', 'vipmap', 'service-ips']],
  ['one element', ['delete', 'element', 'ip', 'vipmap', 'service-ips', '{ 10.96.0.1 . tcp . 80 }']],
  ['what is not ours in our table', ['add', 'chain', 'ip', 'vipmap', 'stranger']],
] as const) {
  await check(`somebody else’s hand is noticed and mended: ${what}`, () =>
    withApi(async (_, args) => {
      const daemon = start(args);
      await until('the first sync', () => daemon.log().includes('in place'));
      const before = await list('ruleset');
      await delay(300);
      must(!daemon.log().includes('mended'), `it took its own change for another's: ${daemon.log()}`);
      must((await nft(command)).exitCode === 0, 'nft failed');
      await until('the same rules', async () => sameRules(await list('ruleset'), before));
      await until('a word on it', () => daemon.log().includes('was mended'), 20_000);
    }),
  );
}

/** Handles and the order of elements aside. */
function sameRules(a: string, b: string): boolean {
  const words = (text: string) =>
    text
      .split(/[\s,]+/)
      .sort()
      .join(' ');
  return words(a) === words(b);
}

await check('after hundreds of changes of every kind the kernel holds what the last state asks for', () =>
  withApi(async (api, args) => {
    const daemon = start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    const random = mulberry32(20_261_121);
    const pick = (n: number) => Math.floor(random() * n);
    for (let i = 0; i < 600; i++) {
      const name = `svc-${pick(12)}`;
      const ip = `10.96.1.${pick(15) + 1}`;
      const addresses = Array.from({ length: pick(5) }, () => `10.244.1.${pick(9) + 1}`);
      const affinity = pick(4) === 0 ? { sessionAffinity: 'ClientIP' } : {};
      const external = pick(3) === 0 ? { externalIPs: [`192.0.2.${pick(3) + 1}`], externalTrafficPolicy: 'Local' } : {};
      switch (pick(6)) {
        case 0:
          api.put(services, { ...service(name, ip), spec: { ...service(name, ip).spec, ...affinity, ...external } });
          break;
        case 1:
          if (api.has(services, name, 'shop')) api.delete(services, name, 'shop');
          break;
        case 2:
          if (api.has(slices, `${name}-1`, 'shop')) api.delete(slices, `${name}-1`, 'shop');
          break;
        default:
          api.put(slices, slice(name, ...addresses));
      }
      if (i % 97 === 0) api.put('/api/v1/nodes', node(`zone-${pick(2)}`));
      if (i % 151 === 0) api.breakWatches();
      if (i === 300) {
        api.compact();
        api.breakWatches();
      }
      if (pick(3) === 0) await delay(pick(12));
    }
    const state = JSON.stringify(api.all());
    const diff = () =>
      runProgram(
        process.execPath,
        [bundle, 'diff', '--state', '-', '--node', 'node-1', '--cluster-cidr', '10.244.0.0/16'],
        state,
      );
    await until('no difference', async () => (await diff()).exitCode === 0, 20_000).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${(await diff()).stdout}\n${daemon.log()}`);
    });
    must(!/refused|not hold|mended/.test(daemon.log()), daemon.log());
  }),
);

/** Random numbers that are the same in every run. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

await check('a state folder is followed; a file that cannot be read changes nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'vipmap-'));
  try {
    const file = join(folder, 'state.json');
    const write = (...items: readonly object[]) => writeFile(file, JSON.stringify({ kind: 'List', items }));
    await write(node('zone-a'), service('web', '10.96.0.1'), slice('web', '10.244.1.5'));
    const daemon = start(['--state', folder]);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    await write(node('zone-a'), service('web', '10.96.0.1'), slice('web', '10.244.1.6'));
    await until('the change', async () => (await endpoints()) === '10.244.1.6');
    await writeFile(file, '{ "kind": ');
    await until('a word on it', () => daemon.log().includes('the last state stays in place'));
    must((await endpoints()) === '10.244.1.6', 'the rules were touched');
    await write(node('zone-a'), service('web', '10.96.0.1'), slice('web', '10.244.1.7'));
    await until('the mended file', async () => (await endpoints()) === '10.244.1.7');
  } finally {
    await rm(folder, { recursive: true });
  }
});

await check('health, metrics and the mode are told', () =>
  withApi(async (api, args) => {
    start(args);
    await until('the first sync', async () => (await endpoints()) === '10.244.1.5');
    const get = (url: string) =>
      fetch(url).then(async (response) => ({ status: response.status, text: await response.text() }));
    must((await get('http://127.0.0.1:10256/healthz')).status === 200, 'healthz');
    api.put('/api/v1/nodes', { ...node('zone-a'), spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler' }] } });
    await until('a node that leaves', async () => (await get('http://127.0.0.1:10256/healthz')).status === 503);
    must((await get('http://127.0.0.1:10256/livez')).status === 200, 'livez');
    must((await get('http://127.0.0.1:10249/proxyMode')).text === 'nftables', 'proxyMode');
    const { text } = await get('http://127.0.0.1:10249/metrics');
    for (const line of ['vipmap_services 1', 'vipmap_endpoints 1', 'vipmap_source_synced 1'])
      must(text.includes(`\n${line}\n`), `no ${line}`);
    const [, elements] = /vipmap_elements\{family="IPv4"\} (\d+)/.exec(text) ?? [];
    must(Number(elements) > 2, 'no elements');
  }),
);

await check('an event says that the node’s proxy started', () =>
  withApi(async (api, args) => {
    start(args);
    await until('the event', () => api.created.length > 0);
    const event = api.created[0] as Record<string, unknown>;
    must(event['reason'] === 'Starting', JSON.stringify(event));
    must((event['regarding'] as Record<string, unknown>)['kind'] === 'Node', JSON.stringify(event));
  }),
);

await check('nft that is missing ends it with a clear word', async () => {
  const { exitCode, stderr } = await runProgram(process.execPath, [
    bundle,
    'run',
    '--master',
    'http://127.0.0.1:1',
    '--nft',
    '/no/nft',
  ]);
  must(exitCode === 1 && stderr.includes('install nftables'), `${exitCode}: ${stderr}`);
});

process.stdout.write(JSON.stringify(results));
process.exit(0);
