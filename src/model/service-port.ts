import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import type { Protocol } from '../net/protocol.ts';
import type { Endpoint } from './endpoint.ts';

/** Which endpoints traffic may use: all in the cluster, or only those on the node that it reached. */
export type TrafficPolicy = 'Cluster' | 'Local';

/** How IPVS chooses an endpoint, e.g. `{ name: 'mh', flags: ['mh-port'] }`; names and flags as ipvsadm takes them, flags sorted. */
export interface SchedulerChoice {
  readonly name: string;
  readonly flags: readonly string[];
}

/**
 * One port of a Service in one address family, with its endpoints: what a service proxy deals in. A dual-stack Service with two
 * ports is four of these. The unit in which a service is programmed, refused, set aside and reported.
 */
export interface ServicePort {
  readonly namespace: string;
  readonly service: string;
  /** The port's name, `''` where the Service has a single unnamed port. */
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly clusterIp: Ip;
  readonly port: Port;
  readonly nodePort?: Port;
  /** Service.spec.externalIPs of this family. */
  readonly externalIps: readonly Ip[];
  /** Addresses of status.loadBalancer.ingress of this family whose ipMode is VIP (or unset). */
  readonly loadBalancerIps: readonly Ip[];
  /** Who may use the load balancer's addresses; empty: everybody. */
  readonly loadBalancerSourceRanges: readonly Cidr[];
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** Session affinity by client address, for so long after a client's last new connection; absent: none. */
  readonly affinityTimeoutSeconds?: number;
  readonly healthCheckNodePort?: Port;
  /** Mode ipvs: the scheduler that the Service asks for by annotation; absent: the node's. */
  readonly scheduler?: SchedulerChoice;
  readonly endpoints: readonly Endpoint[];
}

/** `shop/web:http`, and `shop/web` for an unnamed port, as kubectl and kube-proxy write it. */
export function servicePortName(servicePort: Pick<ServicePort, 'namespace' | 'service' | 'portName'>): string {
  const { namespace, service, portName } = servicePort;
  return portName === '' ? `${namespace}/${service}` : `${namespace}/${service}:${portName}`;
}

/** True if something other than the cluster IP leads to it. */
export function isExternallyAccessible(servicePort: ServicePort): boolean {
  return (
    servicePort.nodePort !== undefined || servicePort.externalIps.length > 0 || servicePort.loadBalancerIps.length > 0
  );
}
