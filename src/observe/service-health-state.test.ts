import type { Endpoint, EndpointState } from '../model/endpoint.ts';
import type { ServicePort } from '../model/service-port.ts';
import { familyOf, type Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { healthCheckAddresses, serviceHealthOf } from './service-health-state.ts';

const endpoint = (ip: string, isLocal = true, state: EndpointState = 'ready', port = 80): Endpoint => ({
  ip: ip as Ip,
  port: port as Port,
  traits: { state, nodeName: isLocal ? 'node-1' : 'node-2', zoneHints: [], nodeHints: [] },
});

const servicePort = (
  service: string,
  clusterIp: string,
  endpoints: readonly Endpoint[],
  healthCheckNodePort?: number,
): ServicePort => ({
  namespace: 'ns',
  service,
  portName: '',
  protocol: 'tcp',
  family: familyOf(clusterIp as Ip),
  clusterIp: clusterIp as Ip,
  port: 80 as Port,
  externalIps: [],
  loadBalancerIps: [],
  loadBalancerSourceRanges: [],
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Local',
  ...(healthCheckNodePort !== undefined && { healthCheckNodePort: healthCheckNodePort as Port }),
  endpoints,
});

const healthOf = (servicePorts: readonly ServicePort[]) => serviceHealthOf(servicePorts, 'node-1');

describe('the health of services', () => {
  it('counts the addresses of ready endpoints on this node, over all ports', () => {
    const http = [endpoint('10.0.0.1'), endpoint('10.0.0.2'), endpoint('10.0.0.3', false)];
    const https = [
      endpoint('10.0.0.1', true, 'ready', 443),
      endpoint('10.0.0.4', true, 'ready', 443),
      endpoint('10.0.0.5', true, 'terminating', 443),
      endpoint('10.0.0.6', true, 'unavailable', 443),
    ];
    expect(
      healthOf([servicePort('a', '10.96.0.1', http, 30_000), servicePort('a', '10.96.0.1', https, 30_000)]),
    ).toEqual([{ namespace: 'ns', name: 'a', family: 'ip', port: 30_000, localEndpoints: 3 }]);
  });

  it('is of one family each', () => {
    const health = healthOf([
      servicePort('a', '10.96.0.1', [endpoint('10.0.0.1')], 30_000),
      servicePort('a', 'fd00::1', [], 30_000),
    ]);
    expect(health.map(({ family, localEndpoints }) => [family, localEndpoints])).toEqual([
      ['ip', 1],
      ['ip6', 0],
    ]);
  });

  it('is asked of services with a port for it only', () => {
    expect(healthOf([servicePort('a', '10.96.0.1', [endpoint('10.0.0.1')])])).toEqual([]);
  });

  it('is asked where node ports answer', () => {
    const some = { kind: 'some', ips: ['192.0.2.1' as Ip, '192.0.2.2' as Ip] } as const;
    expect(healthCheckAddresses({ ip: { kind: 'all' }, ip6: { kind: 'all' } })).toEqual(['0.0.0.0', '::']);
    expect(healthCheckAddresses({ ip: some, ip6: { kind: 'all' } })).toEqual(['192.0.2.1', '192.0.2.2', '::']);
    expect(healthCheckAddresses({ ip: some, ip6: { kind: 'all' } }, ['ip'])).toEqual(['192.0.2.1', '192.0.2.2']);
  });
});
