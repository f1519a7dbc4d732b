import type { Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import type { Protocol } from '../net/protocol.ts';
import type { ServicePort, TrafficPolicy } from './service-port.ts';

export type FrontendKind = 'cluster-ip' | 'load-balancer-ip' | 'external-ip' | 'node-port';

/** What packets match to reach a service port: an address and port, or a node port, which has no address of its own. */
export interface Frontend {
  readonly kind: FrontendKind;
  /** Absent for a node port. */
  readonly ip?: Ip;
  readonly protocol: Protocol;
  readonly port: Port;
  readonly policy: TrafficPolicy;
  readonly servicePort: ServicePort;
}

/** Everything that leads to a service port, cluster IP first. */
export function frontendsOf(servicePort: ServicePort): readonly Frontend[] {
  const { protocol, port, externalTrafficPolicy: external, internalTrafficPolicy: internal } = servicePort;
  const at = (kind: FrontendKind, ip: Ip, policy: TrafficPolicy) => ({ kind, ip, protocol, port, policy, servicePort });
  const frontends: Frontend[] = [at('cluster-ip', servicePort.clusterIp, internal)];
  for (const ip of servicePort.loadBalancerIps) frontends.push(at('load-balancer-ip', ip, external));
  for (const ip of servicePort.externalIps) frontends.push(at('external-ip', ip, external));
  if (servicePort.nodePort !== undefined) {
    frontends.push({ kind: 'node-port', protocol, port: servicePort.nodePort, policy: external, servicePort });
  }
  return frontends;
}

/** `10.96.0.10:53/udp`, `[fd00::1]:53/udp`, and `node port 30080/tcp`. */
export function printFrontend(frontend: Frontend): string {
  if (frontend.ip === undefined) return `node port ${frontend.port}/${frontend.protocol}`;
  const host = frontend.ip.includes(':') ? `[${frontend.ip}]` : frontend.ip;
  return `${host}:${frontend.port}/${frontend.protocol}`;
}
