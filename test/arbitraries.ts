import fc from 'fast-check';
import type { Endpoint } from '../src/model/endpoint.ts';
import type { ProxyState } from '../src/model/proxy-state.ts';
import type { ServicePort } from '../src/model/service-port.ts';
import { type Cidr, parseCidr } from '../src/net/cidr.ts';
import type { Ip } from '../src/net/ip.ts';
import type { Port } from '../src/net/port.ts';

/*
 * States that a cluster could be in, drawn from small pools, so that services collide, share endpoints and take over each other's
 * addresses from one state to the next.
 */

const port = (value: number) => value as Port;
const cidr = (text: string) => parseCidr(text) as Cidr;
const pool = <T>(...values: readonly T[]) => fc.constantFrom(...values);

function endpoint(isIpv6: boolean): fc.Arbitrary<Endpoint> {
  return fc.record({
    ip: fc.integer({ min: 1, max: 9 }).map((n) => (isIpv6 ? `fd00:10:244:1::${n}` : `10.244.1.${n}`) as Ip),
    port: pool(port(80), port(8080)),
    traits: fc.record({
      state: pool('ready' as const, 'ready' as const, 'terminating' as const, 'unavailable' as const),
      nodeName: pool('node-1', 'node-2'),
      zoneHints: fc.subarray(['zone-a', 'zone-b']),
      nodeHints: fc.subarray(['node-1', 'node-2']),
    }),
  });
}

const servicePort: fc.Arbitrary<ServicePort> = fc.boolean().chain((isIpv6) => {
  const ip = (v4: string, v6: string) => (isIpv6 ? v6 : v4) as Ip;
  return fc
    .record({
      namespace: pool('default', 'shop'),
      service: pool('web', 'api', 'db', 'cache', 'dns'),
      portName: pool('', 'http'),
      protocol: pool('tcp' as const, 'udp' as const, 'sctp' as const),
      clusterIp: fc.integer({ min: 1, max: 12 }).map((n) => ip(`10.96.0.${n}`, `fd00:10:96::${n.toString(16)}`)),
      port: pool(port(80), port(53)),
      nodePort: fc.option(fc.integer({ min: 30000, max: 30005 }).map(port), { nil: undefined }),
      externalIps: fc.subarray([ip('192.0.2.1', '2001:db8:e::1'), ip('192.0.2.2', '2001:db8:e::2')]),
      loadBalancerIps: fc.subarray([ip('198.51.100.1', '2001:db8:b::1'), ip('192.0.2.1', '2001:db8:e::1')]),
      loadBalancerSourceRanges: fc.subarray(
        isIpv6
          ? [cidr('2001:db8::/32'), cidr('2001:db8:1::/48'), cidr('fd00:192:168::/64')]
          : [cidr('203.0.113.0/24'), cidr('203.0.113.128/25'), cidr('192.168.0.0/16')],
      ),
      internalTrafficPolicy: pool('Cluster' as const, 'Local' as const),
      externalTrafficPolicy: pool('Cluster' as const, 'Local' as const),
      affinityTimeoutSeconds: fc.option(pool(60, 10800), { nil: undefined }),
      healthCheckNodePort: fc.option(pool(port(32000)), { nil: undefined }),
      endpoints: fc.uniqueArray(endpoint(isIpv6), { maxLength: 6, selector: (each) => `${each.ip} ${each.port}` }),
    })
    .map(({ nodePort, affinityTimeoutSeconds, healthCheckNodePort, ...rest }) => ({
      ...rest,
      family: isIpv6 ? ('ip6' as const) : ('ip' as const),
      ...(nodePort === undefined ? {} : { nodePort }),
      ...(affinityTimeoutSeconds === undefined ? {} : { affinityTimeoutSeconds }),
      ...(healthCheckNodePort === undefined ? {} : { healthCheckNodePort }),
    }));
});

const settings = fc.record({
  detectLocal: pool<ProxyState['detectLocal']>(
    { kind: 'none' },
    { kind: 'cidr', cidrs: { ip: cidr('10.244.0.0/16'), ip6: cidr('fd00:10:244::/56') } },
    { kind: 'cidr', cidrs: { ip: cidr('10.244.0.0/16') } },
    { kind: 'interface', name: 'cni', isPrefix: true },
  ),
  nodePortAddresses: pool<ProxyState['nodePortAddresses']>(
    { ip: { kind: 'some', ips: ['192.168.0.2' as Ip] }, ip6: { kind: 'some', ips: ['fd00:192:168::2' as Ip] } },
    { ip: { kind: 'all' }, ip6: { kind: 'some', ips: [] } },
  ),
  masqueradeAll: fc.boolean(),
});

const servicePorts = fc.uniqueArray(servicePort, {
  maxLength: 12,
  selector: (each) => [each.namespace, each.service, each.portName, each.protocol, each.family].join(' '),
});

function state(
  services: readonly ServicePort[],
  serviceCidrs: readonly string[],
  rest: {
    detectLocal: ProxyState['detectLocal'];
    nodePortAddresses: ProxyState['nodePortAddresses'];
    masqueradeAll: boolean;
  },
): ProxyState {
  return {
    nodeName: 'node-1',
    zone: 'zone-a',
    nodeIps: { ip: '192.168.0.2' as Ip, ip6: 'fd00:192:168::2' as Ip },
    serviceCidrs: serviceCidrs.map(cidr),
    servicePorts: services,
    ...rest,
  };
}

const cidrs = fc.subarray(['10.96.0.0/16', '10.96.0.0/24', '10.97.0.0/16', 'fd00:10:96::/112']);

export const proxyState: fc.Arbitrary<ProxyState> = fc
  .tuple(servicePorts, cidrs, settings)
  .map(([services, ranges, rest]) => state(services, ranges, rest));

/** States of one node over time: its settings stay, its services and ranges change. */
export const proxyStates: fc.Arbitrary<readonly ProxyState[]> = fc
  .tuple(settings, fc.array(fc.tuple(servicePorts, cidrs), { minLength: 2, maxLength: 4 }))
  .map(([rest, steps]) => steps.map(([services, ranges]) => state(services, ranges, rest)));
