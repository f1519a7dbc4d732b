import type { Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { categorizeEndpoints } from './categorize-endpoints.ts';
import type { Endpoint } from './endpoint.ts';
import type { ServicePort } from './service-port.ts';

/** `a` to `d`: local or not, state, hints, e.g. `local ready zone=z1 node=n1`. */
function endpoint(name: string, words: string): Endpoint {
  const hints = (kind: string) =>
    words
      .split(' ')
      .filter((word) => word.startsWith(`${kind}=`))
      .map((word) => word.slice(kind.length + 1));
  return {
    ip: `10.0.0.${name.charCodeAt(0)}` as Ip,
    port: 80 as Port,
    traits: {
      state: words.includes('terminating') ? 'terminating' : words.includes('unavailable') ? 'unavailable' : 'ready',
      nodeName: words.includes('local') ? 'n1' : 'n2',
      zoneHints: hints('zone'),
      nodeHints: hints('node'),
    },
  };
}

type Kind = 'internal' | 'external' | 'internal Local' | 'external Local' | 'cluster-ip-only external Local';

function categorize(kind: Kind, endpoints: Readonly<Record<string, string>>, zone: string | null = 'z1') {
  const servicePort: ServicePort = {
    namespace: 'ns',
    service: 'svc',
    portName: '',
    protocol: 'tcp',
    family: 'ip',
    clusterIp: '10.96.0.1' as Ip,
    port: 80 as Port,
    externalIps: kind.startsWith('external') ? ['192.0.2.1' as Ip] : [],
    loadBalancerIps: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: kind === 'internal Local' ? 'Local' : 'Cluster',
    externalTrafficPolicy: kind.endsWith('external Local') ? 'Local' : 'Cluster',
    endpoints: Object.entries(endpoints).map(([name, words]) => endpoint(name, words)),
  };
  const { cluster, local, topology, hasAnyEndpoints } = categorizeEndpoints(servicePort, 'n1', zone ?? undefined);
  const names = (list: readonly Endpoint[]) =>
    list.map(({ ip }) => String.fromCharCode(Number(ip.split('.')[3]))).join('');
  return `${names(cluster.endpoints)}(${cluster.reason}) ${names(local.endpoints)}(${local.reason}) ${topology} ${hasAnyEndpoints}`;
}

describe('categorizeEndpoints', () => {
  it.each<[string, Kind, Record<string, string>, string]>([
    ['no endpoints', 'internal', {}, '(empty) (unused) none false'],
    ['ready ones only', 'internal', { a: 'local', b: 'unavailable', c: 'terminating' }, 'a(ready) (unused) none true'],
    [
      'terminating ones where nobody is ready',
      'internal',
      { a: 'unavailable', b: 'terminating', c: 'terminating' },
      'bc(terminating-fallback) (unused) none true',
    ],
    ['nobody usable', 'internal', { a: 'unavailable' }, '(empty) (unused) none false'],
    ['internal Local needs no cluster list', 'internal Local', { a: 'local', b: '' }, '(unused) a(ready) none true'],
    ['internal Local with nobody here', 'internal Local', { b: '' }, '(unused) (empty) none true'],
    ['external Local needs both lists', 'external Local', { a: 'local', b: '' }, 'ab(ready) a(ready) none true'],
    [
      'each list falls back on its own',
      'external Local',
      { a: 'local terminating', b: '' },
      'b(ready) a(terminating-fallback) none true',
    ],
    [
      'external Local means nothing without an external address',
      'cluster-ip-only external Local',
      { a: 'local', b: '' },
      'ab(ready) (unused) none true',
    ],
    [
      'zone hints',
      'internal',
      { a: 'zone=z1', b: 'zone=z2', c: 'zone=z1 zone=z2' },
      'ac(ready) (unused) same-zone true',
    ],
    ['a hint is missing', 'internal', { a: 'zone=z1', b: '' }, 'ab(ready) (unused) none true'],
    ['no hint for our zone', 'internal', { a: 'zone=z2', b: 'zone=z3' }, 'ab(ready) (unused) none true'],
    [
      'only ready endpoints are asked for hints',
      'internal',
      { a: 'zone=z1', b: 'unavailable', c: 'terminating' },
      'a(ready) (unused) same-zone true',
    ],
    [
      'node hints go before zone hints',
      'internal',
      { a: 'zone=z1 node=n1', b: 'zone=z1 node=n2' },
      'a(ready) (unused) same-node true',
    ],
    [
      'no node hint for us: zone hints',
      'internal',
      { a: 'zone=z1 node=n2', b: 'zone=z2 node=n3' },
      'a(ready) (unused) same-zone true',
    ],
    [
      'a node hint is missing: zone hints',
      'internal',
      { a: 'zone=z1 node=n1', b: 'zone=z1' },
      'ab(ready) (unused) same-zone true',
    ],
    [
      'hints do not bind terminating endpoints',
      'internal',
      { a: 'terminating zone=z2', b: 'terminating' },
      'ab(terminating-fallback) (unused) none true',
    ],
    [
      'hints do not bind the local list',
      'external Local',
      { a: 'local zone=z2', b: 'zone=z1' },
      'b(ready) a(ready) same-zone true',
    ],
  ])('%s', (_name, kind, endpoints, expected) => {
    expect(categorize(kind, endpoints)).toBe(expected);
  });

  it('ignores zone hints on a node without a zone', () => {
    expect(categorize('internal', { a: 'zone=z1', b: 'zone=z2' }, null)).toBe('ab(ready) (unused) none true');
  });
});
