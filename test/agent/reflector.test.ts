import { setTimeout as delay } from 'node:timers/promises';
import { ClusterStore } from '../../src/source/cluster-store.ts';
import { defaultSettings } from '../../src/source/config.ts';
import { HttpApiServer } from '../../src/source/kubernetes/api-server.ts';
import { loadKubeConfig } from '../../src/source/kubernetes/kubeconfig.ts';
import { Reflector } from '../../src/source/kubernetes/reflector.ts';
import { servicesResource } from '../../src/source/kubernetes/cluster-watch.ts';
import { FakeApiServer } from './fake-api-server.ts';

const path = '/api/v1/services';

function service(name: string, clusterIP: string) {
  return {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP, clusterIPs: [clusterIP], ipFamilies: ['IPv4'], ports: [{ port: 80 }] },
  };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (holds()) return;
    await delay(10);
  }
  throw new Error(`did not come about: ${what}`);
}

interface Run {
  readonly server: FakeApiServer;
  readonly reflector: Reflector;
  readonly names: () => readonly string[];
  readonly warnings: string[];
  readonly restarts: string[];
}

const started: { stop: () => Promise<void> }[] = [];
afterEach(async () => {
  for (const { stop } of started.splice(0)) await stop();
});

/** A reflector of Services on a fake API server, over HTTP. */
async function run(prepare: (server: FakeApiServer) => void, resource = servicesResource): Promise<Run> {
  const server = new FakeApiServer();
  prepare(server);
  const url = await server.listen();
  const store = new ClusterStore({ nodeName: 'node-1', settings: defaultSettings });
  const known = new Map<string, boolean>();
  const warnings: string[] = [];
  const restarts: string[] = [];
  const config = await loadKubeConfig({ kubeconfig: '', master: url });
  const reflector = new Reflector(resource, {
    apiServer: new HttpApiServer(config),
    sink: store,
    warn: (message) => warnings.push(message),
    info: () => undefined,
    onRestart: (_, reason) => restarts.push(reason),
    times: { minBackoffMs: 5, maxBackoffMs: 20, absentMs: 50, inactivityMs: 150 },
  });
  const running = reflector.run();
  started.push({
    stop: async () => {
      reflector.stop();
      await server.close();
      await running;
    },
  });
  const names = () => {
    for (const [key, servicePorts] of store.takeChanges().services) known.set(key, servicePorts.length > 0);
    return [...known].filter(([, isThere]) => isThere).map(([key]) => key);
  };
  return { server, reflector, names, warnings, restarts };
}

describe('a reflector', () => {
  it('lists in pages, with kube-proxy’s selectors, then follows the watch', async () => {
    const { server, names, reflector } = await run((fake) => {
      for (let n = 0; n < 1200; n++) fake.put(path, service(`svc-${n}`, `10.96.${n >> 8}.${n & 255}`));
    });
    await until('sync', () => reflector.hasSynced);
    expect(names()).toHaveLength(1200);
    const lists = server.requests.filter((request) => request.startsWith('LIST'));
    expect(lists).toEqual([
      `LIST ${path} fieldSelector=spec.clusterIP!=None labelSelector=!service.kubernetes.io/service-proxy-name limit=500`,
      `LIST ${path} continue=500 fieldSelector=spec.clusterIP!=None labelSelector=!service.kubernetes.io/service-proxy-name limit=500`,
      `LIST ${path} continue=1000 fieldSelector=spec.clusterIP!=None labelSelector=!service.kubernetes.io/service-proxy-name limit=500`,
    ]);
    await until('watch', () => server.watchCount === 1);
    server.put(path, service('late', '10.97.0.1'));
    server.delete(path, 'svc-0', 'shop');
    await until('both', () => names().includes('shop/late') && !names().includes('shop/svc-0'));
    expect(server.requests.find((request) => request.startsWith('WATCH'))).toContain('allowWatchBookmarks=true');
  });

  it('goes on where it was when a watch breaks off, also from a bookmark, without listing again', async () => {
    const { server, names, reflector } = await run((fake) => fake.put(path, service('a', '10.96.0.1')));
    await until('watch', () => reflector.hasSynced && server.watchCount === 1);
    server.put('/api/v1/nodes', { metadata: { name: 'other' } });
    server.bookmark(path);
    await delay(50);
    server.breakWatches();
    server.put(path, service('b', '10.96.0.2'));
    await until('the second service', () => names().length === 2);
    expect(server.requests.filter((request) => request.startsWith('LIST'))).toHaveLength(1);
    expect(server.requests.findLast((request) => request.startsWith('WATCH'))).toContain('resourceVersion=102');
  });

  it('lists anew after 410 and drops nothing that is still there', async () => {
    const { server, names, reflector, restarts } = await run((fake) => {
      fake.put(path, service('a', '10.96.0.1'));
      fake.put(path, service('b', '10.96.0.2'));
    });
    await until('watch', () => reflector.hasSynced && server.watchCount === 1);
    expect(names()).toEqual(['shop/a', 'shop/b']);
    server.isMute = true;
    server.delete(path, 'b', 'shop');
    server.put(path, service('c', '10.96.0.3'));
    server.compact();
    server.isMute = false;
    server.breakWatches();
    await until('the new list', () => names().includes('shop/c'));
    expect(names()).toEqual(['shop/a', 'shop/c']);
    expect(restarts).toContain('expired');
  });

  it('notices a connection on which nothing comes any more', async () => {
    const { server, names, reflector, restarts } = await run((fake) => fake.put(path, service('a', '10.96.0.1')));
    await until('watch', () => reflector.hasSynced && server.watchCount === 1);
    server.isMute = true;
    server.put(path, service('b', '10.96.0.2'));
    await delay(50);
    server.isMute = false;
    await until('the service that was missed', () => names().includes('shop/b'));
    expect(restarts).toContain('inactive');
  });

  it('keeps what it knows while the API server is away, and says so once', async () => {
    const { server, names, reflector, warnings } = await run((fake) => fake.put(path, service('a', '10.96.0.1')));
    await until('watch', () => reflector.hasSynced && server.watchCount === 1);
    const before = names();
    server.refusals.set(path, 503);
    server.breakWatches();
    await delay(200);
    expect(names()).toEqual(before);
    const said = warnings.filter((warning) => warning.includes('503'));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('what is known stays in place, trying again');
    server.refusals.delete(path);
    server.put(path, service('b', '10.96.0.2'));
    await until('the service from meanwhile', () => names().includes('shop/b'));
  });

  it('does without an optional list that is not served or forbidden, says so once, and asks again', async () => {
    for (const status of [404, 403]) {
      const optional = { ...servicesResource, isOptional: true };
      const { server, names, reflector, warnings } = await run((fake) => {
        fake.refusals.set(path, status);
        fake.put(path, service('a', '10.96.0.1'));
      }, optional);
      await until('sync without objects', () => reflector.hasSynced);
      expect(names()).toEqual([]);
      await delay(200);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain('everything else works');
      server.refusals.clear();
      await until('the list', () => names().length === 1);
    }
  });

  it('does not count as synced while a list that is needed is forbidden', async () => {
    const { server, reflector, warnings } = await run((fake) => {
      fake.refusals.set(path, 403);
      fake.put(path, service('a', '10.96.0.1'));
    });
    await until('a warning', () => warnings.length > 0);
    expect(warnings[0]).toContain('403');
    expect(reflector.hasSynced).toBe(false);
    server.refusals.clear();
    await until('sync', () => reflector.hasSynced);
  });
});
