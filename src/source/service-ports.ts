import type { ServicePort } from '../model/service-port.ts';
import type { Problem } from '../model/proxy-state.ts';
import { compareText, families, type Family, familyName, familyOf, type Ip } from '../net/ip.ts';
import { type Cidr, disjointCidrs, isWholeFamily } from '../net/cidr.ts';
import { endpointsOf, type SlicesOf } from './endpoints.ts';
import type { Report } from './fields.ts';
import type { Service } from './objects.ts';
import { serviceScheduler } from './service-scheduler.ts';

export interface ServicePortOptions {
  /** Feature gate AllowServiceExternalIPs. */
  readonly allowsExternalIps: boolean;
  /** Mode ipvs: Services may choose their scheduler. */
  readonly hasSchedulers: boolean;
}

/** The service ports of the Services, each with its endpoints, sorted by namespace, service, family, port name and protocol. */
export function servicePortsOf(
  services: readonly Service[],
  slicesOf: SlicesOf,
  options: ServicePortOptions,
  problems: Problem[],
): readonly ServicePort[] {
  const servicePorts: ServicePort[] = [];
  for (const service of services) {
    const object = `Service ${service.namespace}/${service.name}`;
    const report: Report = (message) => problems.push({ object, message });
    checkHealthPort(service, report);
    const annotations = options.hasSchedulers ? service.schedulerAnnotations : undefined;
    const scheduler = annotations && serviceScheduler(annotations, report);
    for (const family of families) {
      const clusterIp = service.clusterIps[family];
      if (clusterIp === undefined) continue;
      for (const port of familyPorts(service, family, clusterIp, slicesOf, options, report))
        servicePorts.push(scheduler === undefined ? port : { ...port, scheduler });
    }
  }
  return servicePorts.sort(byName);
}

function byName(a: ServicePort, b: ServicePort): number {
  return (
    compareText(a.namespace, b.namespace) ||
    compareText(a.service, b.service) ||
    families.indexOf(a.family) - families.indexOf(b.family) ||
    compareText(a.portName, b.portName) ||
    compareText(a.protocol, b.protocol)
  );
}

function familyPorts(
  service: Service,
  family: Family,
  clusterIp: Ip,
  slicesOf: SlicesOf,
  options: ServicePortOptions,
  report: Report,
): readonly ServicePort[] {
  const { namespace, name } = service;
  const own = slicesOf(service);
  const externalIps = options.allowsExternalIps ? ofFamily(service.externalIps, family) : [];
  const common = {
    namespace,
    service: name,
    family,
    clusterIp,
    externalIps,
    ...loadBalancer(service, family, report),
    internalTrafficPolicy: service.internalTrafficPolicy,
    externalTrafficPolicy: isExternal(service) ? service.externalTrafficPolicy : ('Cluster' as const),
    ...(service.affinityTimeoutSeconds === undefined ? {} : { affinityTimeoutSeconds: service.affinityTimeoutSeconds }),
    ...(service.healthCheckNodePort === undefined ? {} : { healthCheckNodePort: service.healthCheckNodePort }),
  };
  return service.ports.map(({ name: portName, protocol, port, nodePort }) => ({
    ...common,
    portName,
    protocol,
    port,
    ...(nodePort === undefined ? {} : { nodePort }),
    endpoints: endpointsOf(own, { family, portName, protocol }),
  }));
}

function ofFamily(ips: readonly Ip[], family: Family): readonly Ip[] {
  if (ips.length === 0) return ips;
  return [...new Set(ips.filter((ip) => familyOf(ip) === family))].sort(compareText);
}

/** By type, as the API server sees it: an external policy on a Service without any of these means nothing. */
function isExternal(service: Service): boolean {
  return service.type === 'LoadBalancer' || service.type === 'NodePort' || service.externalIps.length > 0;
}

/**
 * The load balancer's addresses and who may use them. No range of this family: everybody. But where a range could not be read, that
 * may have been the only one, and then the addresses are withheld rather than opened to the world.
 */
function loadBalancer(
  service: Service,
  family: Family,
  report: Report,
): Pick<ServicePort, 'loadBalancerIps' | 'loadBalancerSourceRanges'> {
  const loadBalancerIps = ofFamily(service.loadBalancerIps, family);
  const ranges = service.loadBalancerSourceRanges.filter((cidr: Cidr) => cidr.family === family);
  if (ranges.length === 0 && service.hasBadSourceRange && loadBalancerIps.length > 0) {
    report(
      `loadBalancerSourceRanges has no readable ${familyName[family]} block; ` +
        `the load balancer addresses ${loadBalancerIps.join(', ')} are skipped, not opened to everybody`,
    );
    return { loadBalancerIps: [], loadBalancerSourceRanges: [] };
  }
  return { loadBalancerIps, loadBalancerSourceRanges: ranges.some(isWholeFamily) ? [] : disjointCidrs(ranges) };
}

function checkHealthPort(service: Service, report: Report): void {
  const needsIt = service.type === 'LoadBalancer' && service.externalTrafficPolicy === 'Local';
  if (needsIt && service.ports.length > 0 && service.healthCheckNodePort === undefined) {
    report(
      'externalTrafficPolicy "Local" comes with a healthCheckNodePort, but there is none; load balancers cannot check this node',
    );
  }
}
