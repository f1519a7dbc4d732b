import { isOnNode } from '../model/endpoint.ts';
import type { NodePortAddresses } from '../model/proxy-state.ts';
import type { ServicePort } from '../model/service-port.ts';
import { families, type Family, type Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';

/** What a load balancer may ask of a Service at its healthCheckNodePort, in one address family. */
export interface ServiceHealth {
  readonly namespace: string;
  readonly name: string;
  readonly family: Family;
  /** The healthCheckNodePort. */
  readonly port: Port;
  /** How many endpoints of this node and family are ready; each address counts once, whatever number of ports it has. */
  readonly localEndpoints: number;
}

/**
 * The Services with a healthCheckNodePort, in the order in which they first come. A dual-stack Service comes twice: kube-proxy answers
 * at IPv4 addresses for the IPv4 endpoints and at IPv6 addresses for the IPv6 ones, so that a pod with both weighs 1, not 2.
 * Terminating endpoints do not count, even where they still serve: the load balancer is to look elsewhere.
 */
export function serviceHealthOf(servicePorts: readonly ServicePort[], nodeName: string): readonly ServiceHealth[] {
  const services = new Map<string, { service: Omit<ServiceHealth, 'localEndpoints'>; ips: Set<Ip> }>();
  for (const { namespace, service: name, family, healthCheckNodePort: port, endpoints } of servicePorts) {
    if (port === undefined) continue;
    const key = `${namespace}/${name} ${family}`;
    const found = services.get(key) ?? { service: { namespace, name, family, port }, ips: new Set<Ip>() };
    services.set(key, found);
    for (const endpoint of endpoints) {
      if (isOnNode(endpoint, nodeName) && endpoint.traits.state === 'ready') found.ips.add(endpoint.ip);
    }
  }
  return [...services.values()].map(({ service, ips }) => ({ ...service, localEndpoints: ips.size }));
}

const everyAddress = { ip: '0.0.0.0' as Ip, ip6: '::' as Ip };

/** Where the health of Services is asked: at every address of the families, or at those that node ports are held to. */
export function healthCheckAddresses(
  nodePortAddresses: Readonly<Record<Family, NodePortAddresses>>,
  usedFamilies: readonly Family[] = families,
): readonly Ip[] {
  return usedFamilies.flatMap((family) => {
    const addresses = nodePortAddresses[family];
    return addresses.kind === 'some' ? addresses.ips : [everyAddress[family]];
  });
}
