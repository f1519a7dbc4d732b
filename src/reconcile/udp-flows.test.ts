import type { ServicePort } from '../model/service-port.ts';
import type { Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { nodeAddressTest, UdpFlows } from './udp-flows.ts';

function dns(endpoints: readonly string[], more: Partial<ServicePort> = {}): ServicePort {
  return {
    namespace: 'kube-system',
    service: 'dns',
    portName: 'dns',
    protocol: 'udp',
    family: 'ip',
    clusterIp: '10.96.0.10' as Ip,
    port: 53 as Port,
    externalIps: [],
    loadBalancerIps: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    endpoints: endpoints.map((ip) => ({
      ip: ip as Ip,
      port: 5353 as Port,
      traits: { state: 'ready', nodeName: '', zoneHints: [], nodeHints: [] },
    })),
    ...more,
  };
}

const flow = (dst: string, dport: number, src: string, sport = 5353) => ({
  family: 'ip' as const,
  original: { dst, dport },
  reply: { src, sport },
});
const change = (...servicePorts: readonly ServicePort[]) => new Map([['kube-system/dns', servicePorts]]);
const isNode = nodeAddressTest(['192.168.0.2' as Ip]);

describe('UDP flows', () => {
  it('are stale once their endpoint left, others not', () => {
    const flows = new UdpFlows();
    flows.change(change(dns(['10.244.1.5', '10.244.1.6'])));
    flows.take();
    expect(flows.change(change(dns(['10.244.1.6'])))).toBe(true);
    const stale = flows.take();
    expect(stale.isStale(flow('10.96.0.10', 53, '10.244.1.5'), isNode)).toBe(true);
    expect(stale.isStale(flow('10.96.0.10', 53, '10.244.1.6'), isNode)).toBe(false);
    expect(stale.isStale(flow('10.96.0.11', 53, '10.244.1.5'), isNode)).toBe(false);
    expect(flows.hasChanged).toBe(false);
    expect(flows.take().isStale(flow('10.96.0.10', 53, '10.244.1.5'), isNode)).toBe(false);
  });

  it('are stale all of them once the service is gone, or has no endpoint', () => {
    for (const after of [[], [dns([])]]) {
      const flows = new UdpFlows();
      flows.change(change(dns(['10.244.1.5'])));
      flows.take();
      expect(flows.change(change(...after))).toBe(true);
      const stale = flows.take();
      expect(stale.isStale(flow('10.96.0.10', 53, '10.244.1.5'), isNode)).toBe(true);
    }
  });

  it('that went astray before there was an endpoint are stale', () => {
    const flows = new UdpFlows();
    flows.change(change(dns([])));
    flows.take();
    flows.change(change(dns(['10.244.1.5'])));
    const stale = flows.take();
    expect(stale.isStale(flow('10.96.0.10', 53, '10.96.0.10', 53), isNode)).toBe(true);
  });

  it('cause no look at conntrack where nothing of the kind can have happened', () => {
    const flows = new UdpFlows();
    flows.change(change(dns(['10.244.1.5'])));
    flows.take();
    expect(flows.change(change(dns(['10.244.1.5', '10.244.1.6'])))).toBe(false);
    expect(
      flows.change(new Map([['shop/web', [dns([], { service: 'web', namespace: 'shop', protocol: 'tcp' })]]])),
    ).toBe(false);
  });

  it('keep an endpoint that is terminating but serves', () => {
    const flows = new UdpFlows();
    const terminating = dns(['10.244.1.5', '10.244.1.6']);
    flows.change(change(terminating));
    flows.take();
    const [first, second] = terminating.endpoints;
    if (first === undefined || second === undefined) throw new Error('no endpoints');
    flows.change(
      change({
        ...terminating,
        endpoints: [
          { ...first, traits: { ...first.traits, state: 'terminating' } },
          { ...second, traits: { ...second.traits, state: 'unavailable' } },
        ],
      }),
    );
    const stale = flows.take();
    expect(stale.isStale(flow('10.96.0.10', 53, '10.244.1.5'), isNode)).toBe(false);
    expect(stale.isStale(flow('10.96.0.10', 53, '10.244.1.6'), isNode)).toBe(true);
  });

  it('to a node port count at the node’s own addresses only', () => {
    const flows = new UdpFlows();
    const nodePort = { nodePort: 30053 as Port };
    flows.change(change(dns(['10.244.1.5'], nodePort)));
    flows.take();
    flows.change(change(dns(['10.244.1.6'], nodePort)));
    const stale = flows.take();
    expect(stale.isStale(flow('192.168.0.2', 30053, '10.244.1.5'), isNode)).toBe(true);
    expect(stale.isStale(flow('192.0.2.9', 30053, '192.0.2.9', 30053), isNode)).toBe(false);
  });
});
