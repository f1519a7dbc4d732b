import type { Ip } from '../net/ip.ts';
import { ClusterStore, observe } from './cluster-store.ts';
import { mergeSettings, parseSettingsFlags } from './config.ts';
import { parseManifests } from './manifests.ts';
import { buildProxyState } from './proxy-state.ts';
import type { RawFlags } from './settings.ts';

const service = (annotations: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop', annotations },
  spec: {
    clusterIPs: ['10.96.0.10', 'fd00:96::a'],
    ipFamilies: ['IPv4', 'IPv6'],
    ports: [
      { name: 'http', port: 80 },
      { name: 'https', port: 443 },
    ],
  },
});
const node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node-1' },
  status: {
    addresses: ['192.168.0.2', 'fd00::2'].map((address) => ({ type: 'InternalIP', address })),
  },
};
const interfaces = [
  ...['127.0.0.1', '192.168.0.2', '10.0.0.5', '169.254.20.10', '10.0.0.5'],
  ...['::1', 'fd00::2', 'fe80::1'],
] as Ip[];

function options(flags: RawFlags = {}, nodeAddresses?: readonly Ip[]) {
  const settings = mergeSettings(
    {},
    parseSettingsFlags({ mode: 'ipvs', clusterCidr: '10.244.0.0/16,fd00:1::/64', ...flags }),
  );
  return { nodeName: 'node-1', settings, ...(nodeAddresses && { nodeAddresses }) };
}

function build(flags: RawFlags = {}, objects: readonly object[] = [node], nodeAddresses?: readonly Ip[]) {
  const manifests = parseManifests(JSON.stringify(objects), 'x');
  const { state, problems } = buildProxyState(manifests.objects, options(flags, nodeAddresses));
  return { state, said: problems.map(({ object, message }) => `${object}: ${message}`) };
}

describe('the node in mode ipvs', () => {
  it('has its scheduler, what is left alone, and the addresses of its interfaces', () => {
    const flags = { ipvsScheduler: 'mh', ipvsExcludeCidrs: '10.9.0.0/16,10.8.0.0/16,10.8.1.0/24' };
    const { state, said } = build(flags, [node], interfaces);
    expect(state.ipvs).toEqual({
      scheduler: { name: 'mh', flags: ['mh-port'] },
      excludeCidrs: [
        { family: 'ip', address: '10.8.0.0', prefixLength: 16 },
        { family: 'ip', address: '10.9.0.0', prefixLength: 16 },
      ],
      interfaceIps: ['10.0.0.5', '127.0.0.1', '169.254.20.10', '192.168.0.2', '::1', 'fd00::2'],
    });
    expect(said).toEqual([]);
  });

  it.each([
    // kube-proxy's default: all but loopback, and in IPv6 but link-local ones.
    [{}, ['10.0.0.5', '169.254.20.10', '192.168.0.2'], ['fd00::2']],
    [{ nodeportAddresses: 'primary' }, ['192.168.0.2'], ['fd00::2']],
    [{ nodeportAddresses: '10.0.0.0/8,::/0' }, ['10.0.0.5'], ['fd00::2']],
    [{ nodeportAddresses: '10.0.0.0/8,fe80::/10,fd00::/8' }, ['10.0.0.5'], ['fd00::2']],
    [{ nodeportAddresses: 'localhost' }, [], []],
  ])('answers on node ports, with %j, on a list of addresses', (flags, ip, ip6) => {
    expect(build(flags, [node], interfaces).state.nodePortAddresses).toEqual({
      ip: { kind: 'some', ips: ip },
      ip6: { kind: 'some', ips: ip6 },
    });
  });

  it('has the addresses of the Node object where those of its interfaces are not known', () => {
    const { state } = build();
    expect(state.ipvs?.interfaceIps).toEqual(['192.168.0.2', 'fd00::2']);
    expect(state.nodePortAddresses).toEqual({
      ip: { kind: 'some', ips: ['192.168.0.2'] },
      ip6: { kind: 'some', ips: ['fd00::2'] },
    });
  });

  it('says that the kernel must have a scheduler that Linux does not come with', () => {
    const { state, said } = build({ ipvsScheduler: 'hrw' });
    expect(state.ipvs?.scheduler).toEqual({ name: 'hrw', flags: [] });
    expect(said).toEqual([
      'Configuration: IPVS scheduler "hrw" is none that Linux comes with (rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq, mh, fo, ovf, twos); it is used, and services are reached only if the kernel has it (module ip_vs_hrw)',
    ]);
  });

  it('has none of it in mode nftables', () => {
    const { state, said } = build({ mode: 'nftables', ipvsScheduler: 'hrw' }, [node], interfaces);
    expect(state).not.toHaveProperty('ipvs');
    expect(build({ mode: 'nftables', nodeportAddresses: 'all' }).state.nodePortAddresses.ip).toEqual({ kind: 'all' });
    expect(said).toEqual([]);
  });
});

describe('a Service in mode ipvs', () => {
  const lc = service({ 'kube-router.io/service.scheduler': 'lc' });
  const bad = service({ 'vipmap.io/ipvs-scheduler': 'best' });

  it('has the scheduler that it asks for in all its ports', () => {
    expect(build({}, [node, lc]).state.servicePorts.map(({ scheduler }) => scheduler?.name)).toEqual(
      Array.from({ length: 4 }, () => 'lc'),
    );
    expect(build({}, [node, service()]).state.servicePorts[0]).not.toHaveProperty('scheduler');
  });

  it('has that of the node where its own cannot be used, and that is said once', () => {
    const { state, said } = build({}, [node, bad]);
    expect(state.servicePorts[0]).not.toHaveProperty('scheduler');
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /^Service shop\/web: annotation vipmap.io\/ipvs-scheduler "best" is not one of rr, .*; the node's scheduler is used$/,
    );
  });

  it('has none in mode nftables, whatever it asks for', () => {
    for (const asked of [lc, bad]) {
      const { state, said } = build({ mode: 'nftables' }, [node, asked]);
      expect(state.servicePorts[0]).not.toHaveProperty('scheduler');
      expect(said).toEqual([]);
    }
  });
});

describe('a store of cluster objects in mode ipvs', () => {
  it('follows a Service’s scheduler', () => {
    const store = new ClusterStore(options({}, interfaces));
    const chosen = () => [...store.takeChanges().services.values()].map(([first]) => first?.scheduler?.name);
    store.upsert('Service', observe('Service', service()));
    expect(chosen()).toEqual([undefined]);
    store.upsert('Service', observe('Service', service({ 'vipmap.io/ipvs-scheduler': 'wlc' })));
    expect(chosen()).toEqual(['wlc']);
    store.upsert('Service', observe('Service', service({ 'vipmap.io/ipvs-scheduler': 'wlc', note: 'x' })));
    expect(chosen()).toEqual([]);
    store.upsert('Service', observe('Service', service({ 'vipmap.io/ipvs-scheduler': 'best' })));
    const { problems, services } = store.takeChanges();
    expect(problems.map(({ object }) => object)).toEqual(['Service shop/web']);
    expect(services.get('shop/web')?.[0]).not.toHaveProperty('scheduler');
  });

  it('follows the addresses of the node’s interfaces', () => {
    const store = new ClusterStore(options({}, interfaces));
    store.upsert('Node', observe('Node', node));
    expect(store.takeChanges().node.nodePortAddresses.ip6).toEqual({ kind: 'some', ips: ['fd00::2'] });
    store.setNodeAddresses(['192.168.0.2', 'fd00::3'] as Ip[]);
    const { node: after } = store.takeChanges();
    expect(after.nodePortAddresses.ip6).toEqual({ kind: 'some', ips: ['fd00::3'] });
    expect(after.ipvs?.interfaceIps).toEqual(['192.168.0.2', 'fd00::3']);
  });
});
