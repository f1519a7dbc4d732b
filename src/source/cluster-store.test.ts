import { ClusterStore, observe } from './cluster-store.ts';
import { defaultSettings } from './config.ts';
import type { Json } from './fields.ts';

const service = (name: string, more: Json = {}) =>
  observe('Service', {
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80 }], ...more },
  });

const slice = (name: string, of: string, addresses: readonly string[], more: Json = {}) =>
  observe('EndpointSlice', {
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': of }, ...more },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  });

const node = (more: Json = {}, spec: Json = {}) =>
  observe('Node', {
    metadata: { name: 'node-1', ...more },
    spec,
    status: { addresses: [{ type: 'InternalIP', address: '192.168.0.2' }] },
  });

function store(settings = defaultSettings) {
  let dirty = 0;
  const result = new ClusterStore({ nodeName: 'node-1', settings }, () => dirty++);
  return { store: result, dirtied: () => dirty };
}

/** `shop/web: 10.244.1.5 10.244.1.6` for each Service that changed. */
function changed(of: ClusterStore): readonly string[] {
  return [...of.takeChanges().services].map(
    ([key, servicePorts]) =>
      `${key}: ${servicePorts.flatMap(({ endpoints }) => endpoints.map(({ ip }) => ip)).join(' ')}`,
  );
}

describe('a store of cluster objects', () => {
  it('tells which Services changed, whether they or their slices did, and nothing twice', () => {
    const { store: it } = store();
    it.upsert('Service', service('web'));
    it.upsert('Service', service('api'));
    it.upsert('EndpointSlice', slice('web-1', 'web', ['10.244.1.5']));
    expect(changed(it)).toEqual(['shop/web: 10.244.1.5', 'shop/api: ']);
    it.upsert('EndpointSlice', slice('web-2', 'web', ['10.244.1.6']));
    expect(changed(it)).toEqual(['shop/web: 10.244.1.5 10.244.1.6']);
    expect(changed(it)).toEqual([]);
    it.remove('Service', service('web'));
    expect(it.takeChanges().services.get('shop/web')).toEqual([]);
  });

  it('does not care for changes that decide nothing', () => {
    const { store: it, dirtied } = store();
    it.upsert('EndpointSlice', slice('web-1', 'web', ['10.244.1.5'], { annotations: { note: 'one' } }));
    const before = dirtied();
    it.upsert('EndpointSlice', slice('web-1', 'web', ['10.244.1.5'], { annotations: { note: 'two' } }));
    expect(dirtied()).toBe(before);
  });

  it('compares a new list with what it has: what is gone leaves, what is the same stays untouched', () => {
    const { store: it } = store();
    it.replace('Service', [service('web'), service('api')]);
    it.takeChanges();
    it.replace('Service', [service('web'), service('db')]);
    expect(changed(it)).toEqual(['shop/db: ', 'shop/api: ']);
  });

  it('follows a slice that goes from one Service to another', () => {
    const { store: it } = store();
    it.replace('Service', [service('web'), service('api')]);
    it.upsert('EndpointSlice', slice('a', 'web', ['10.244.1.5']));
    it.takeChanges();
    it.upsert('EndpointSlice', slice('a', 'api', ['10.244.1.5']));
    expect(changed(it)).toEqual(['shop/web: ', 'shop/api: 10.244.1.5']);
  });

  it('knows the slices of a Service that comes later than they do', () => {
    const { store: it } = store();
    it.upsert('EndpointSlice', slice('a', 'web', ['10.244.1.5']));
    it.takeChanges();
    it.upsert('Service', service('web'));
    expect(changed(it)).toEqual(['shop/web: 10.244.1.5']);
  });

  it('follows the node’s zone and addresses', () => {
    const { store: it } = store();
    expect(it.takeChanges().problems[0]?.object).toBe('Node node-1');
    it.upsert('Node', node());
    expect(it.takeChanges().node).toMatchObject({ nodeIps: { ip: '192.168.0.2' } });
    it.upsert('Node', node({ labels: { 'topology.kubernetes.io/zone': 'zone-b' } }));
    expect(it.takeChanges().node).toMatchObject({ zone: 'zone-b' });
    it.remove('Node', node());
    expect(it.takeChanges().node.zone).toBeUndefined();
  });

  it.each([
    ['deleted', { deletionTimestamp: '2026-01-01T00:00:00Z' }, {}],
    ['about to be removed by the autoscaler', {}, { taints: [{ key: 'ToBeDeletedByClusterAutoscaler' }] }],
  ])('knows that its node is %s', (_, metadata, spec) => {
    const { store: it } = store();
    it.upsert('Node', node());
    expect(it.ownNode?.isLeaving).toBeUndefined();
    it.upsert('Node', node(metadata, spec));
    expect(it.ownNode?.isLeaving).toBe(true);
  });

  it('says what is wrong with an object once, and again when something else is', () => {
    const { store: it } = store();
    it.upsert('Node', node());
    it.takeChanges();
    const bad = (port: unknown) => service('web', { ports: [{ name: 'http', port: 80, nodePort: port }] });
    it.upsert('Service', bad(70000));
    expect(it.takeChanges().problems.map(({ object }) => object)).toContain('Service shop/web');
    it.upsert('Service', bad(70000));
    expect(it.takeChanges().problems).toEqual([]);
    it.upsert('Service', bad(80000));
    expect(it.takeChanges().problems).toHaveLength(1);
    it.upsert('Service', service('web'));
    expect(it.takeChanges().problems).toEqual([]);
  });

  it('hands on when the changes happened, of slices that changed something', () => {
    const { store: it } = store();
    const at = (time: string) => ({ annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': time } });
    it.upsert('EndpointSlice', slice('a', 'web', ['10.244.1.5'], at('2026-01-01T00:00:01Z')));
    it.upsert('EndpointSlice', slice('a', 'web', ['10.244.1.5'], at('2026-01-01T00:00:02Z')));
    expect(it.pending).toEqual({ services: 0, endpoints: 1 });
    expect(it.takeChanges().triggers).toEqual([{ family: 'ip', atMs: Date.parse('2026-01-01T00:00:01Z') }]);
    expect(it.pending).toEqual({ services: 0, endpoints: 0 });
  });
});
