import fc from 'fast-check';
import type { Ip } from '../net/ip.ts';
import { mergeSettings, parseConfig, parseSettingsFlags, type Settings } from './config.ts';
import { parseManifests } from './manifests.ts';
import { type ClusterObjects, noObjects } from './objects.ts';
import { buildProxyState, chooseNodeName } from './proxy-state.ts';

const meta = (name: string, labels: object = {}) => ({ name, namespace: 'shop', labels });
const service = (spec: object, rest: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: meta('web'),
  spec: { clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 80 }], ...spec },
  ...rest,
});
const slice = (name: string, endpoints: readonly object[], rest: object = {}) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: meta(name, { 'kubernetes.io/service-name': 'web' }),
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080 }],
  endpoints,
  ...rest,
});
const node = (name: string, ...addresses: string[]) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'topology.kubernetes.io/zone': 'a' } },
  spec: { podCIDRs: ['10.244.1.0/24', '10.244.2.0/24'] },
  status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
});
const worker = node('worker-1', '192.168.0.11');

function build(objects: readonly object[], settings: Partial<Settings> = {}, nodeAddresses?: readonly string[]) {
  const read = parseManifests(JSON.stringify(objects), 'x');
  const built = buildProxyState(read.objects, {
    nodeName: 'worker-1',
    settings: mergeSettings(
      { clusterCidrs: parseSettingsFlags({ clusterCidr: '10.244.0.0/16' }).clusterCidrs ?? [] },
      settings,
    ),
    ...(nodeAddresses === undefined ? {} : { nodeAddresses: nodeAddresses as Ip[] }),
  });
  return {
    ...built,
    said: [...read.problems, ...built.problems].map(({ object, message }) => `${object}: ${message}`),
  };
}

const onlyPort = (...args: Parameters<typeof build>) => build(...args).state.servicePorts[0];

describe('endpoints', () => {
  it('follow the port by name and protocol, whatever its number', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53 },
    ];
    const { state } = build([
      service({ ports }),
      slice('a', [{ addresses: ['10.244.0.9'] }, { addresses: ['10.244.0.10'] }]),
      slice('b', [{ addresses: ['10.244.0.1'] }], {
        ports: [
          { name: 'http', port: 9090 },
          { name: 'dns', port: 5353 },
        ],
      }),
      slice('c', [{ addresses: ['10.244.0.2'] }], { ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }] }),
      slice('other', [{ addresses: ['10.244.0.3'] }], {
        metadata: { ...meta('other', { 'kubernetes.io/service-name': 'web' }), namespace: 'x' },
      }),
    ]);
    const found = state.servicePorts.map(({ portName, endpoints }) => [
      portName,
      endpoints.map(({ ip, port }) => `${ip}:${port}`),
    ]);
    expect(found).toEqual([
      ['dns', ['10.244.0.2:5353']],
      ['dns-tcp', []],
      ['http', ['10.244.0.1:9090', '10.244.0.10:8080', '10.244.0.9:8080']],
    ]);
  });

  it.each([
    [{}, 'ready'],
    [{ ready: true, terminating: true }, 'ready'],
    [{ ready: false, terminating: true }, 'terminating'],
    [{ ready: false, serving: true, terminating: true }, 'terminating'],
    [{ ready: false, serving: false, terminating: true }, 'unavailable'],
    [{ ready: false, serving: true }, 'unavailable'],
    [{ ready: null, serving: null, terminating: null }, 'ready'],
  ])('with conditions %j are %s', (conditions, state) => {
    expect(
      onlyPort([service({}), slice('a', [{ addresses: ['10.244.0.1'], conditions }])])?.endpoints[0]?.traits.state,
    ).toBe(state);
  });

  it('know what is local and what hints say', () => {
    const endpoints = [
      {
        addresses: ['10.244.0.1'],
        nodeName: 'worker-1',
        hints: { forZones: [{ name: 'a' }], forNodes: [{ name: 'worker-1' }] },
      },
      { addresses: ['10.244.0.2'], nodeName: 'worker-2' },
      { addresses: ['10.244.0.3'] },
    ];
    expect(onlyPort([service({}), slice('a', endpoints)])?.endpoints).toMatchObject([
      { traits: { nodeName: 'worker-1', zoneHints: ['a'], nodeHints: ['worker-1'] } },
      { traits: { nodeName: 'worker-2', zoneHints: [], nodeHints: [] } },
      { traits: { nodeName: '' } },
    ]);
  });

  it('that are given twice count as the living one, in any order of slices', () => {
    const addresses = ['10.244.0.1'];
    const slices = [
      slice('a', [{ addresses, nodeName: 'worker-2', conditions: { ready: true, terminating: true } }]),
      slice('c', [{ addresses, nodeName: 'worker-1' }]),
      slice('b', [{ addresses, nodeName: 'worker-3', conditions: { ready: false, serving: true } }]),
    ];
    for (const order of [slices, [...slices].reverse()]) {
      expect(onlyPort([service({}), ...order])?.endpoints).toMatchObject([
        { traits: { state: 'ready', nodeName: 'worker-1' } },
      ]);
    }
  });
});

describe('service ports', () => {
  it('are one per port and family, each with the addresses of its family', () => {
    const objects = [
      service(
        {
          type: 'LoadBalancer',
          ipFamilies: ['IPv6', 'IPv4'],
          clusterIPs: ['fd00:96::a', '10.96.0.10'],
          externalIPs: ['198.51.100.1', '2001:db8::1'],
          loadBalancerSourceRanges: [' 10.0.0.0/8 ', '10.1.0.0/16'],
          externalTrafficPolicy: 'Local',
          healthCheckNodePort: 30100,
          ports: [{ name: 'http', port: 80, nodePort: 30080 }],
        },
        { status: { loadBalancer: { ingress: [{ ip: '203.0.113.1' }, { ip: '2001:db8::2' }] } } },
      ),
      slice('a', [{ addresses: ['10.244.0.1'] }]),
      slice('b', [{ addresses: ['fd00::1'] }], { addressType: 'IPv6' }),
      worker,
    ];
    const common = { nodePort: 30080, externalTrafficPolicy: 'Local', healthCheckNodePort: 30100 };
    expect(build(objects).state.servicePorts).toMatchObject([
      {
        ...common,
        family: 'ip',
        clusterIp: '10.96.0.10',
        externalIps: ['198.51.100.1'],
        loadBalancerIps: ['203.0.113.1'],
        loadBalancerSourceRanges: [{ address: '10.0.0.0', prefixLength: 8 }],
        endpoints: [{ ip: '10.244.0.1' }],
      },
      {
        ...common,
        family: 'ip6',
        clusterIp: 'fd00:96::a',
        externalIps: ['2001:db8::1'],
        loadBalancerIps: ['2001:db8::2'],
        loadBalancerSourceRanges: [],
        endpoints: [{ ip: 'fd00::1' }],
      },
    ]);
  });

  it('have no source ranges where one is the whole family', () => {
    const status = { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } };
    const port = onlyPort([service({ loadBalancerSourceRanges: ['10.0.0.0/8', '0.0.0.0/0'] }, { status })]);
    expect([port?.loadBalancerSourceRanges, port?.loadBalancerIps]).toEqual([[], ['203.0.113.1']]);
  });

  it('do not open a load balancer to everybody because its only source range is unreadable', () => {
    const status = { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } };
    const { state, said } = build([worker, service({ loadBalancerSourceRanges: ['10.0.0.0/99'] }, { status })]);
    expect(state.servicePorts[0]?.loadBalancerIps).toEqual([]);
    expect(said).toEqual([
      'Service shop/web: loadBalancerSourceRanges: "10.0.0.0/99" is not a CIDR block such as 10.0.0.0/8; it lets nobody in',
      'Service shop/web: loadBalancerSourceRanges has no readable IPv4 block; the load balancer addresses 203.0.113.1 are skipped, not opened to everybody',
    ]);
  });

  it('take policy Local from outside only where something outside leads in', () => {
    const policy = { externalTrafficPolicy: 'Local' };
    expect(onlyPort([service(policy)])?.externalTrafficPolicy).toBe('Cluster');
    expect(onlyPort([service({ ...policy, type: 'NodePort' })])?.externalTrafficPolicy).toBe('Local');
    expect(onlyPort([service({ ...policy, externalIPs: ['198.51.100.1'] })])?.externalTrafficPolicy).toBe('Local');
  });

  it('have no external IPs without the feature gate', () => {
    const off = parseSettingsFlags({ featureGates: 'AllowServiceExternalIPs=false' });
    expect(onlyPort([service({ externalIPs: ['198.51.100.1'] })], off)?.externalIps).toEqual([]);
  });

  it('say that a load balancer with policy Local lacks its health check port', () => {
    const { said } = build([worker, service({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' })]);
    expect(said).toEqual([
      'Service shop/web: externalTrafficPolicy "Local" comes with a healthCheckNodePort, but there is none; load balancers cannot check this node',
    ]);
  });
});

describe('the node', () => {
  const settings = (nodeportAddresses: string) => parseSettingsFlags({ nodeportAddresses });
  const interfaces = ['127.0.0.1', '192.168.0.11', '192.168.0.12', '10.0.0.5', '::1', 'fd00::11'];

  it('gives zone and addresses, the bind address before its own', () => {
    expect(build([worker]).state).toMatchObject({ zone: 'a', nodeIps: { ip: '192.168.0.11' } });
    const bound = build(
      [node('worker-1', '192.168.0.11', 'fd00::11')],
      parseSettingsFlags({ bindAddress: '10.0.0.5' }),
    );
    expect(bound.state.nodeIps).toEqual({ ip: '10.0.0.5', ip6: 'fd00::11' });
  });

  it.each([
    ['primary', { kind: 'some', ips: ['192.168.0.11'] }, { kind: 'all' }],
    ['192.168.0.0/24', { kind: 'some', ips: ['192.168.0.11', '192.168.0.12'] }, { kind: 'all' }],
    ['192.168.0.0/24,0.0.0.0/0', { kind: 'all' }, { kind: 'all' }],
    ['fd00::/8', { kind: 'all' }, { kind: 'some', ips: ['fd00::11'] }],
    ['primary,10.0.0.0/8', { kind: 'some', ips: ['10.0.0.5', '192.168.0.11'] }, { kind: 'all' }],
    ['primary,all', { kind: 'all' }, { kind: 'all' }],
    ['localhost', { kind: 'some', ips: [] }, { kind: 'some', ips: [] }],
    ['primary,localhost', { kind: 'some', ips: ['192.168.0.11'] }, { kind: 'all' }],
  ])('answers on node ports, with nodePortAddresses %s', (text, ip, ip6) => {
    expect(build([worker], settings(text), interfaces).state.nodePortAddresses).toEqual({ ip, ip6 });
  });

  it('says that loopback is not offered and that a block chooses nothing', () => {
    expect(build([worker], settings('127.0.0.0/8,10.9.0.0/16'), interfaces).said).toEqual([
      'Configuration: nodePortAddresses "127.0.0.0/8" is loopback, where node ports are not offered; it is ignored',
      "Configuration: nodePortAddresses 127.0.0.0/8, 10.9.0.0/16 holds none of the node's IPv4 addresses (192.168.0.11, 192.168.0.12, 10.0.0.5); node ports answer nowhere in IPv4",
    ]);
  });

  it.each([
    ['ClusterCIDR', {}, { kind: 'cidr', cidrs: { ip: { family: 'ip', address: '10.244.0.0', prefixLength: 16 } } }],
    ['NodeCIDR', {}, { kind: 'cidr', cidrs: { ip: { family: 'ip', address: '10.244.1.0', prefixLength: 24 } } }],
    ['BridgeInterface', { podBridgeInterface: 'cni0' }, { kind: 'interface', name: 'cni0', isPrefix: false }],
    ['InterfaceNamePrefix', { podInterfaceNamePrefix: 'veth' }, { kind: 'interface', name: 'veth', isPrefix: true }],
    ['InterfaceNamePrefix', {}, { kind: 'none' }],
  ])('tells its pods by %s', (detectLocalMode, flags, detectLocal) => {
    expect(build([worker], parseSettingsFlags({ detectLocalMode, ...flags })).state.detectLocal).toEqual(detectLocal);
  });

  it('says where pods cannot be told, in families with services', () => {
    const { state, said } = build([worker, service({})], { clusterCidrs: [] });
    expect(state.detectLocal).toEqual({ kind: 'none' });
    expect(said).toEqual([
      'Configuration: detectLocalMode "ClusterCIDR": clusterCIDR names no IPv4 block; pods are not told from others: no short-circuit for them, and no masquerading on the way to cluster IPs',
    ]);
  });

  it('may be missing: work goes on', () => {
    expect(build([node('worker-2')]).said).toEqual([
      'Node worker-1: is not among the objects (there are worker-2); its zone, addresses and pod CIDRs are unknown, and no topology hint for its zone applies',
    ]);
  });

  it('is chosen by flag, else as the only one, else by host name', () => {
    const nodes = parseManifests(JSON.stringify([worker]), 'x').objects;
    expect(chooseNodeName(nodes, ' Worker-7 ', 'host')).toBe('worker-7');
    expect(chooseNodeName(nodes, undefined, 'host')).toBe('worker-1');
    expect(chooseNodeName(noObjects, undefined, 'Host')).toBe('host');
    expect(chooseNodeName({ ...nodes, nodes: [...nodes.nodes, ...nodes.nodes] }, '', 'Host')).toBe('host');
  });
});

describe('order', () => {
  const ip = fc.nat(5).map((last) => `10.244.0.${last}`);
  const conditions = fc.record({ ready: fc.boolean(), serving: fc.boolean(), terminating: fc.boolean() });
  const nodeName = fc.constantFrom('worker-1', 'worker-2');
  const endpoint = fc.record({ addresses: ip.map((address) => [address]), conditions, nodeName });
  const slices = fc.uniqueArray(fc.tuple(fc.nat(20), fc.constantFrom('web', 'db'), fc.array(endpoint)), {
    selector: ([id]) => id,
    maxLength: 8,
  });
  const objects = slices.map((list) => [
    worker,
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'b' },
      spec: { cidrs: ['10.97.0.0/16'] },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'a' },
      spec: { cidrs: ['10.96.0.0/16', 'fd00::/112'] },
    },
    service({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' }),
    {
      ...service({ clusterIP: '10.96.0.11', type: 'LoadBalancer', externalTrafficPolicy: 'Local' }),
      metadata: meta('db'),
    },
    ...list.map(([id, owner, endpoints]) => ({
      ...slice(`s-${id}`, endpoints),
      metadata: meta(`s-${id}`, { 'kubernetes.io/service-name': owner }),
    })),
  ]);

  it('of objects changes neither state nor problems', () => {
    const shuffled = objects.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, ([given, other]) => {
        const [a, b] = [build(given), build(other)];
        expect(JSON.stringify(b.state)).toBe(JSON.stringify(a.state));
        expect(b.problems).toEqual(a.problems);
      }),
    );
  });
});

it('gives an empty state for no objects', () => {
  const empty: ClusterObjects = noObjects;
  const { settings } = parseConfig('apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n', 'c');
  expect(buildProxyState(empty, { nodeName: 'n', settings: mergeSettings(settings, {}) }).state).toEqual({
    nodeName: 'n',
    nodeIps: {},
    nodePortAddresses: { ip: { kind: 'all' }, ip6: { kind: 'all' } },
    detectLocal: { kind: 'none' },
    masqueradeAll: false,
    serviceCidrs: [],
    servicePorts: [],
  });
});
