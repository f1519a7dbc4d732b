import type { ProxyState } from '../../model/proxy-state.ts';
import type { ServicePort } from '../../model/service-port.ts';
import type { Ip } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import { planTransaction } from '../../reconcile/plan-transactions.ts';
import { compile } from './compile.ts';
import { describeTransaction } from './describe.ts';

function service(n: number, endpoints: readonly number[]): ServicePort {
  return {
    namespace: 'shop',
    service: `svc-${n}`,
    portName: 'http',
    protocol: 'tcp',
    family: 'ip',
    clusterIp: `10.96.${n >> 8}.${n & 255}` as Ip,
    port: 80 as Port,
    externalIps: [],
    loadBalancerIps: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    endpoints: endpoints.map((e) => ({
      ip: `10.244.${e >> 8}.${e & 255}` as Ip,
      port: 8080 as Port,
      traits: { state: 'ready', nodeName: '', zoneHints: [], nodeHints: [] },
    })),
  };
}

function state(servicePorts: readonly ServicePort[]): ProxyState {
  return {
    nodeName: 'node-1',
    nodeIps: { ip: '192.168.0.2' as Ip },
    nodePortAddresses: { ip: { kind: 'some', ips: ['192.168.0.2' as Ip] }, ip6: { kind: 'all' } },
    detectLocal: { kind: 'none' },
    masqueradeAll: false,
    serviceCidrs: [],
    servicePorts,
  };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** The commands that it takes from one state to the next. */
function commandsBetween(before: ProxyState, after: ProxyState) {
  const first = compile(before);
  const second = compile(after, first.slots);
  return planTransaction(second.ruleset, first.ruleset).commands;
}

describe('the cost of a change', () => {
  const cluster = (services: number) => range(0, services).map((n) => service(n, range(n * 3, n * 3 + 3)));
  const replaceLast = (all: readonly ServicePort[], by: ServicePort) => [...all.slice(0, -1), by];

  it.each([
    ['an endpoint leaves', (n: number) => service(n, range(n * 3, n * 3 + 2))],
    ['an endpoint comes', (n: number) => service(n, range(n * 3, n * 3 + 4))],
    ['an endpoint is replaced', (n: number) => service(n, [n * 3, n * 3 + 1, 60000])],
  ])('does not depend on the number of services: %s', (_name, change) => {
    const counts = [300, 3000].map((services) => {
      const all = cluster(services);
      return commandsBetween(state(all), state(replaceLast(all, change(services - 1)))).length;
    });
    expect(counts[0]).toBe(counts[1]);
    expect(counts[0]).toBeLessThanOrEqual(8);
  });

  it('does not depend on the size of the service', () => {
    const before = state([service(1, range(0, 1000))]);
    const after = state([service(1, range(1, 1000))]);
    // The leaving one and the last one go, the last one comes back in the free slot, the frontend's count changes, and its chain and
    // that one's number are new.
    expect(commandsBetween(before, after)).toHaveLength(8);
  });

  it('is nothing where nothing changed', () => {
    const all = cluster(50);
    expect(commandsBetween(state(all), state([...all].reverse()))).toEqual([]);
  });
});

describe('two claims on one frontend', () => {
  it('give it to the cluster IP, and name the loser', () => {
    const victim = service(1, [1]);
    const thief: ServicePort = { ...service(2, [2]), service: 'a-thief', externalIps: [victim.clusterIp] };
    const { ruleset, conflicts } = compile(state([thief, victim]));
    expect(ruleset.ip.elements.get('cluster-endpoints-tcp')?.get('10.96.0.1 . 80 . 0')).toBe('10.244.0.1 . 8080');
    expect(conflicts.map(({ frontend, owner }) => [frontend.servicePort.service, owner.service])).toEqual([
      ['a-thief', 'svc-1'],
    ]);
  });
});

describe('a transaction in words', () => {
  it('says what changes, by service', () => {
    const before = state([service(1, [1, 2])]);
    const after = state([service(1, [1]), service(2, [])]);
    const described = describeTransaction({ commands: commandsBetween(before, after) }, compile(after).ownerOf);
    expect(described).toEqual([
      { heading: 'table ip vipmap', lines: ['+ chain cluster-tcp-1', '+ 1:1 stands for chain cluster-tcp-1'] },
      {
        heading: 'shop/svc-1:http',
        lines: [
          '- 10.96.0.1:80/tcp slot 1 is 10.244.0.2:8080',
          '~ 10.96.0.1:80/tcp goes to 1 endpoint (was: to 2 endpoints)',
        ],
      },
      {
        heading: 'shop/svc-2:http',
        lines: ['+ 10.96.0.2:80/tcp is rejected: it has no endpoints', '+ 10.96.0.2 is a cluster IP in use'],
      },
    ]);
  });
});
