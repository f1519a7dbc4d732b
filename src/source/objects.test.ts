import fc from 'fast-check';
import { parseManifests } from './manifests.ts';
import { readEndpointSlice } from './endpoint-slice.ts';
import { readNode, readServiceCidr } from './objects.ts';
import { readService } from './service.ts';

const said = (problems: readonly { object: string; message: string }[]) =>
  problems.map(({ object, message }) => `${object}: ${message}`);

function service(spec: object, rest: object = {}) {
  const metadata = { namespace: 'shop', name: 'web' };
  return readService({
    metadata,
    spec: { clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 80 }], ...spec },
    ...rest,
  });
}

function slice(fields: object, labels: object = { 'kubernetes.io/service-name': 'web' }) {
  return readEndpointSlice({ metadata: { namespace: 'shop', name: 'web-1', labels }, addressType: 'IPv4', ...fields });
}

describe('readService', () => {
  it('fills in what the API server fills in', () => {
    expect(
      readService({ metadata: { name: 'web' }, spec: { clusterIP: '10.96.0.10', ports: [{ port: 80 }] } }),
    ).toEqual({
      object: {
        namespace: 'default',
        name: 'web',
        type: 'ClusterIP',
        clusterIps: { ip: '10.96.0.10' },
        ports: [{ name: '', protocol: 'tcp', port: 80 }],
        externalIps: [],
        loadBalancerIps: [],
        loadBalancerSourceRanges: [],
        hasBadSourceRange: false,
        internalTrafficPolicy: 'Cluster',
        externalTrafficPolicy: 'Cluster',
      },
      problems: [],
    });
  });

  it('loses only what a bad field decides, and says so', () => {
    const { object, problems } = service({
      type: 'NodePort',
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } },
      externalTrafficPolicy: 'local',
      externalIPs: ['1.2.3.4', 'nonsense', '', '127.0.0.1', '169.254.1.1', 7],
      ports: [
        { name: 'http', port: 80, nodePort: 70000 },
        { name: 'text', port: '443' },
        { name: 'sctp', port: 5, protocol: 'DCCP' },
        { name: 'dns', port: 53, protocol: 'UDP', nodePort: 0 },
        { name: 'http', port: 8080 },
        { name: 'twin', port: 80 },
        { name: 'A_B', port: 81 },
        'x',
      ],
    });
    expect(object).toMatchObject({
      externalIps: ['1.2.3.4'],
      externalTrafficPolicy: 'Cluster',
      affinityTimeoutSeconds: 10800,
      ports: [
        { name: 'http', protocol: 'tcp', port: 80 },
        { name: 'dns', protocol: 'udp', port: 53 },
      ],
    });
    expect(said(problems)).toMatchInlineSnapshot(`
     [
       "Service shop/web: externalTrafficPolicy "local" is not one of Cluster, Local; it is taken as Cluster",
       "Service shop/web: port "http": nodePort "70000" is not a port (1-65535); the node port is skipped",
       "Service shop/web: port "text": port "443" is text, not a port (1-65535); the port is skipped",
       "Service shop/web: port "sctp": protocol "DCCP" is not TCP, UDP or SCTP; the port is skipped",
       "Service shop/web: port "http": another port has the same name and protocol (8080/TCP); the first is kept",
       "Service shop/web: port "twin": another port has the same port and protocol (80/TCP); the first is kept",
       "Service shop/web: port "A_B": name "A_B" is not a name (a-z, 0-9 and "-", at most 63); the port is skipped",
       "Service shop/web: ports[7] "x" is not an object; it is skipped",
       "Service shop/web: externalIPs: "nonsense" is not an IP address; it is skipped",
       "Service shop/web: externalIPs: "7" is not an IP address; it is skipped",
       "Service shop/web: externalIPs: "127.0.0.1" is a loopback address, which a service may not have; it is skipped",
       "Service shop/web: externalIPs: "169.254.1.1" is a link-local address, which a service may not have; it is skipped",
       "Service shop/web: timeoutSeconds "0" is not a number of seconds (1-86400); 10800 is used",
     ]
    `);
  });

  it.each([
    ['headless', { clusterIP: 'None', ports: [{ port: 'bad' }] }],
    ['ExternalName', { clusterIP: '', type: 'ExternalName', externalName: 'example.com' }],
  ])('passes over a Service that is %s without a word', (_, spec) => {
    const { object, problems } = service(spec);
    expect(object).toMatchObject({ clusterIps: {}, ports: [] });
    expect(problems).toEqual([]);
  });

  it('leaves a Service of another proxy alone, whatever the label says', () => {
    const labels = { 'service.kubernetes.io/service-proxy-name': '' };
    const spec = { clusterIP: 'bad', ports: [{ port: 'bad' }] };
    const { object, problems } = readService({ metadata: { namespace: 'shop', name: 'web', labels }, spec });
    expect([object?.ports, problems]).toEqual([[], []]);
  });

  it.each([
    [{ clusterIP: 'fd00::1' }, { ip6: 'fd00::1' }],
    [{ clusterIPs: ['10.96.0.10', 'fd00:0::a'] }, { ip: '10.96.0.10', ip6: 'fd00::a' }],
    [
      { ipFamilies: ['IPv6', 'IPv4'], clusterIPs: ['fd00::a', '10.96.0.10'] },
      { ip: '10.96.0.10', ip6: 'fd00::a' },
    ],
    [{ ipFamilies: ['IPv4'], clusterIPs: ['10.96.0.10', 'fd00::a'] }, { ip: '10.96.0.10' }],
    [{ ipFamilies: ['IPv4'], clusterIP: '172.30.0.041', clusterIPs: ['172.30.0.041'] }, { ip: '172.30.0.41' }],
    [{ ipFamilies: ['IPv4'] }, { ip: '10.96.0.10' }],
  ])('finds the cluster IP of each family in %j', (spec, clusterIps) => {
    expect(service(spec)).toMatchObject({ object: { clusterIps }, problems: [] });
  });

  it.each([
    [{ clusterIP: '' }, 'clusterIP is empty: the API server has given it no address; the service is skipped'],
    [{ clusterIP: '10.0.0' }, 'clusterIP "10.0.0" is not an IP address; that family is skipped'],
    [
      { clusterIP: '127.0.0.1' },
      'clusterIP "127.0.0.1" is a loopback address, which a service may not have; that family is skipped',
    ],
    [{ ipFamilies: ['IPv6'] }, 'clusterIPs[0] "10.96.0.10" is not IPv6, as ipFamilies says; that family is skipped'],
    [{ ipFamilies: ['v4'] }, 'ipFamilies: "v4" is not one of IPv4, IPv6; that family is skipped'],
  ])('says why %j has no cluster IP', (spec, message) => {
    expect(service(spec)).toMatchObject({
      object: { clusterIps: {} },
      problems: [{ object: 'Service shop/web', message }],
    });
  });

  it('takes load balancer addresses that are virtual IPs', () => {
    const ingress = [
      { ip: '1.1.1.1' },
      { ip: '1.1.1.2', ipMode: 'VIP' },
      { ip: '1.1.1.3', ipMode: 'Proxy' },
      { hostname: 'lb.example.com' },
      { ip: '224.0.0.1' },
      { ip: '1.1.1.4', ipMode: 'Direct' },
    ];
    const { object, problems } = service({ type: 'LoadBalancer' }, { status: { loadBalancer: { ingress } } });
    expect(object?.loadBalancerIps).toEqual(['1.1.1.1', '1.1.1.2']);
    expect(said(problems)).toEqual([
      'Service shop/web: load balancer ingress 5: ip "224.0.0.1" is a multicast address, which a service may not have; it is skipped',
      'Service shop/web: load balancer ingress 6: ipMode "Direct" is not one of VIP, Proxy; the address is skipped',
    ]);
  });

  it('reads the health check port for policy Local of a load balancer only', () => {
    const local = { externalTrafficPolicy: 'Local', healthCheckNodePort: 30100 };
    expect(service({ ...local, type: 'LoadBalancer' }).object?.healthCheckNodePort).toBe(30100);
    expect(service({ ...local, type: 'NodePort' }).object?.healthCheckNodePort).toBeUndefined();
    expect(
      service({ ...local, type: 'LoadBalancer', externalTrafficPolicy: 'Cluster' }).object?.healthCheckNodePort,
    ).toBeUndefined();
  });

  it.each([
    [
      { name: 'web"; flush ruleset' },
      'metadata.name "web\\"; flush ruleset" is not a name (a-z, 0-9 and "-", at most 63); the object is skipped',
    ],
    [{}, 'metadata.name is missing; the object is skipped'],
  ])('refuses the name in %j', (metadata, message) => {
    expect(readService({ metadata, spec: {} })).toEqual({
      object: undefined,
      problems: [{ object: 'Service', message }],
    });
  });
});

describe('readEndpointSlice', () => {
  it('fills in conditions, port name and protocol', () => {
    expect(slice({ ports: [{ port: 8080 }], endpoints: [{ addresses: ['10.244.0.005', '10.244.0.6'] }] })).toEqual({
      object: {
        namespace: 'shop',
        name: 'web-1',
        service: 'web',
        family: 'ip',
        ports: [{ name: '', protocol: 'tcp', port: 8080 }],
        endpoints: [
          {
            ip: '10.244.0.5',
            port: 8080,
            traits: {
              state: 'ready',
              nodeName: '',
              isReady: true,
              isServing: true,
              isTerminating: false,
              zoneHints: [],
              nodeHints: [],
            },
          },
        ],
      },
      problems: [],
    });
  });

  it('loses only the endpoints and ports that are bad', () => {
    const { object, problems } = slice({
      ports: [{ name: 'all' }, { port: 0 }, { port: 99999 }, { port: 80, name: 5 }, { port: 80, name: 'http' }],
      endpoints: [
        {
          addresses: ['10.244.0.5'],
          conditions: { ready: 'yes' },
          hints: { forZones: [{ name: 'b' }, { name: 'a' }], forNodes: null },
        },
        { addresses: ['fd00::5'] },
        { addresses: ['127.0.0.1'] },
        { addresses: ['169.254.169.254'] },
        { addresses: [] },
        { addresses: ['pod.example.com'] },
        null,
      ],
    });
    expect(object?.ports).toEqual([{ name: 'http', protocol: 'tcp', port: 80 }]);
    expect(object?.endpoints).toMatchObject([{ ip: '10.244.0.5', traits: { isReady: true, zoneHints: ['a', 'b'] } }]);
    expect(said(problems)).toMatchInlineSnapshot(`
     [
       "EndpointSlice shop/web-1: ports[2]: port "99999" is not a port (1-65535); the port is skipped",
       "EndpointSlice shop/web-1: ports[3]: name "5" is not a name (a-z, 0-9 and "-", at most 63); the port is skipped",
       "EndpointSlice shop/web-1: endpoints[0]: ready "yes" is not true or false; it is taken as true",
       "EndpointSlice shop/web-1: endpoints[1]: address "fd00::5" is not IPv4, which is the slice's addressType; it is skipped",
       "EndpointSlice shop/web-1: endpoints[2]: address "127.0.0.1" is a loopback address, which an endpoint may not have; it is skipped",
       "EndpointSlice shop/web-1: endpoints[3]: address "169.254.169.254" is a link-local address, which an endpoint may not have; it is skipped",
       "EndpointSlice shop/web-1: endpoints[4]: has no address; it is skipped",
       "EndpointSlice shop/web-1: endpoints[5]: address "pod.example.com" is not an IP address; it is skipped",
       "EndpointSlice shop/web-1: endpoints[6] "null" is not an object; it is skipped",
     ]
    `);
  });

  it('passes over slices of headless services and of host names without a word', () => {
    const endpoints = [{ addresses: ['bad'] }];
    const labels = { 'kubernetes.io/service-name': 'web', 'service.kubernetes.io/headless': '' };
    expect(slice({ endpoints }, labels)).toMatchObject({ object: { endpoints: [] }, problems: [] });
    expect(slice({ endpoints, addressType: 'FQDN' })).toMatchObject({ object: { endpoints: [] }, problems: [] });
  });

  it('says that a slice belongs to no Service, and that its addressType is missing', () => {
    expect(slice({}, {}).problems[0]?.message).toContain('has no label kubernetes.io/service-name');
    expect(slice({ addressType: undefined }).problems[0]?.message).toBe('addressType is missing; the slice is skipped');
  });
});

describe('readNode and readServiceCidr', () => {
  it('puts internal addresses before external ones and takes podCIDR where there are no podCIDRs', () => {
    const status = {
      addresses: [
        { type: 'Hostname', address: 'worker-1' },
        { type: 'ExternalIP', address: '203.0.113.7' },
        { type: 'InternalIP', address: '192.168.0.11' },
        { type: 'InternalIP', address: '?' },
      ],
    };
    const labels = { 'topology.kubernetes.io/zone': 'a' };
    const { object, problems } = readNode({
      metadata: { name: 'worker-1', labels },
      spec: { podCIDR: '10.244.1.0/24' },
      status,
    });
    expect(object).toEqual({
      name: 'worker-1',
      zone: 'a',
      addresses: ['192.168.0.11', '203.0.113.7'],
      podCidrs: [{ family: 'ip', address: '10.244.1.0', prefixLength: 24 }],
    });
    expect(said(problems)).toEqual(['Node worker-1: address "?" is not an IP address; it is skipped']);
  });

  it('reads the blocks of a ServiceCIDR', () => {
    const { object, problems } = readServiceCidr({
      metadata: { name: 'kubernetes' },
      spec: { cidrs: ['10.96.0.0/12', '10/8'] },
    });
    expect(object?.cidrs).toEqual([{ family: 'ip', address: '10.96.0.0', prefixLength: 12 }]);
    expect(said(problems)).toEqual([
      'ServiceCIDR kubernetes: cidrs: "10/8" is not a CIDR block such as 10.0.0.0/8; it is skipped',
    ]);
  });
});

describe('odd input', () => {
  /** Objects that look enough like Kubernetes' for readers to look inside. */
  const field = fc.constantFrom(
    ...[
      'metadata',
      'spec',
      'status',
      'name',
      'namespace',
      'labels',
      'ports',
      'port',
      'nodePort',
      'clusterIP',
      'clusterIPs',
    ],
    ...[
      'ipFamilies',
      'endpoints',
      'addresses',
      'conditions',
      'ready',
      'hints',
      'forZones',
      'addressType',
      'protocol',
      'type',
    ],
    ...[
      'externalIPs',
      'loadBalancer',
      'ingress',
      'ip',
      'ipMode',
      'podCIDRs',
      'cidrs',
      'sessionAffinity',
      '__proto__',
      'items',
    ],
  );
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom<unknown>(
        '10.0.0.1',
        'fd00::1',
        '10.0.0.0/8',
        80,
        '80',
        'web',
        'IPv4',
        'TCP',
        null,
        true,
        -1,
        1e99,
        '',
      ),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(field, tie('any'), { maxKeys: 5 }),
    ),
  })).any;
  const object = fc.record({
    kind: fc.constantFrom<unknown>('Service', 'EndpointSlice', 'Node', 'ServiceCIDR', 'List', 'ServiceList', 'Pod', 7),
    apiVersion: fc.constantFrom<unknown>('v1', 'discovery.k8s.io/v1', 'networking.k8s.io/v1', 3),
    metadata: fc.oneof(
      fc.constant({ name: 'web', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } }),
      value,
    ),
    spec: fc.dictionary(field, value),
    status: value,
    items: fc.array(value),
    endpoints: value,
    ports: value,
    addressType: fc.constantFrom<unknown>('IPv4', 'IPv6', 6),
  });

  it('never throws and gives problems that are text', () => {
    fc.assert(
      fc.property(fc.oneof(object, fc.array(object), value), (input) => {
        for (const { object: title, message } of parseManifests(JSON.stringify(input) ?? '', 'x').problems) {
          expect(`${title}: ${message}`).not.toMatch(/undefined|\[object/);
        }
      }),
      { numRuns: 500 },
    );
  });
});
