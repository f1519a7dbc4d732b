import type { TrafficPolicy } from '../model/service-port.ts';
import { families, type Family, familyOf, familyName, type Ip } from '../net/ip.ts';
import { type Port } from '../net/port.ts';
import { specialAddress, type SpecialAddress } from './addresses.ts';
import {
  aCidr,
  type Accepts,
  anIp,
  type Json,
  oneOf,
  quote,
  readField,
  readList,
  readRecord,
  readRecords,
  readValues,
  type Report,
  within,
} from './fields.ts';
import {
  aLabel,
  aPort,
  aProtocol,
  type Identity,
  labelsOf,
  type Read,
  readAs,
  type Service,
  type ServicePortSpec,
} from './objects.ts';
import { schedulerAnnotations } from './service-scheduler.ts';

const aType = oneOf('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName');
const aPolicy: Accepts<TrafficPolicy> = oneOf('Cluster', 'Local');
const anAffinity = oneOf('None', 'ClientIP');
const anIpFamily = oneOf('IPv4', 'IPv6');
const anIpMode = oneOf('VIP', 'Proxy');

/** The API server's bounds: a day. */
const maxAffinitySeconds = 86400;
const defaultAffinitySeconds = 10800;
const anAffinityTimeout: Accepts<number> = {
  expected: `a number of seconds (1-${maxAffinitySeconds})`,
  parse: (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= maxAffinitySeconds
      ? value
      : undefined,
};

/** The Service, from untyped JSON, with what the API server fills in. A bad field costs only what it decides. */
export function readService(raw: Json, who?: Identity): Read<Service> {
  return readAs(raw, 'Service', who, ({ namespace, name }, report) => {
    const spec = readRecord(raw, 'spec', report);
    const type = readField(spec, 'type', aType, 'it is taken as ClusterIP', report) ?? 'ClusterIP';
    // Any value of the label, even an empty one, hands the Service to another proxy.
    const isOurs = !(proxyNameLabel in labelsOf(raw, report));
    const clusterIps = isOurs && type !== 'ExternalName' ? readClusterIps(spec, report) : {};
    if (Object.keys(clusterIps).length === 0) return { ...unproxied, namespace, name, type };
    const ranges = readList(spec, 'loadBalancerSourceRanges', report).filter((value) => !isBlank(value));
    const sourceRanges = readValues(
      { loadBalancerSourceRanges: ranges },
      'loadBalancerSourceRanges',
      aCidr,
      'it lets nobody in',
      report,
    );
    const annotations = schedulerAnnotations(raw);
    const externalTrafficPolicy = readPolicy(spec, 'externalTrafficPolicy', report);
    return {
      namespace,
      name,
      type,
      clusterIps,
      ports: readPorts(spec, report),
      externalIps: readExternalIps(spec, report),
      loadBalancerIps: readLoadBalancerIps(raw, report),
      loadBalancerSourceRanges: sourceRanges,
      hasBadSourceRange: sourceRanges.length < ranges.length,
      internalTrafficPolicy: readPolicy(spec, 'internalTrafficPolicy', report),
      externalTrafficPolicy,
      ...readAffinity(spec, report),
      ...(type === 'LoadBalancer' && externalTrafficPolicy === 'Local' ? readHealthCheckNodePort(spec, report) : {}),
      ...(annotations === undefined ? {} : { schedulerAnnotations: annotations }),
    };
  });
}

/** Old objects have empty texts in lists of addresses, which mean nothing. */
function isBlank(value: unknown): boolean {
  return typeof value === 'string' && value.trim() === '';
}

const proxyNameLabel = 'service.kubernetes.io/service-proxy-name';

const unproxied: Omit<Service, 'namespace' | 'name' | 'type'> = {
  clusterIps: {},
  ports: [],
  externalIps: [],
  loadBalancerIps: [],
  loadBalancerSourceRanges: [],
  hasBadSourceRange: false,
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Cluster',
};

function readPolicy(spec: Json, field: string, report: Report): TrafficPolicy {
  return spec[field] === ''
    ? 'Cluster'
    : (readField(spec, field, aPolicy, 'it is taken as Cluster', report) ?? 'Cluster');
}

/**
 * The cluster IP of each family: the one in clusterIPs at the place that the family has in ipFamilies. Objects from before
 * dual-stack have no ipFamilies: then each address speaks for its own family.
 */
function readClusterIps(spec: Json, report: Report): Service['clusterIps'] {
  const list = readList(spec, 'clusterIPs', report);
  const all = list.length > 0 ? list : [spec['clusterIP'] ?? ''];
  const primary = spec['clusterIP'] ?? all[0];
  if (primary === 'None') return {};
  if (primary === '') {
    report('clusterIP is empty: the API server has given it no address; the service is skipped');
    return {};
  }
  const named = readList(spec, 'ipFamilies', report).map((value) => familyNamed(value, report));
  const found: Partial<Record<Family, Ip>> = {};
  all.forEach((value, index) => {
    const ip = readClusterIp(value, report);
    if (ip === undefined) return;
    const family = named.length === 0 ? familyOf(ip) : named[index];
    if (family === undefined) return;
    if (family !== familyOf(ip)) {
      report(
        `clusterIPs[${index}] ${quote(ip)} is not ${familyName[family]}, as ipFamilies says; that family is skipped`,
      );
    } else found[family] ??= ip;
  });
  return found;
}

function familyNamed(value: unknown, report: Report): Family | undefined {
  const name = anIpFamily.parse(value);
  if (name === undefined) report(`ipFamilies: ${quote(value)} is not ${anIpFamily.expected}; that family is skipped`);
  return families.find((family) => familyName[family] === name);
}

function readClusterIp(value: unknown, report: Report): Ip | undefined {
  const ip = anIp.parse(value);
  if (ip === undefined) {
    report(`clusterIP ${quote(value)} is not an IP address; that family is skipped`);
    return undefined;
  }
  return refuse(ip, 'clusterIP', ['loopback', 'unspecified', 'multicast'], 'that family', report);
}

/** The address, unless it is of a range in which it would take the node's own traffic or could never answer. */
function refuse(
  ip: Ip,
  field: string,
  ranges: readonly SpecialAddress[],
  lost: string,
  report: Report,
): Ip | undefined {
  const range = specialAddress(ip);
  if (range === undefined || !ranges.includes(range)) return ip;
  report(`${field} ${quote(ip)} is a ${range} address, which a service may not have; ${lost} is skipped`);
  return undefined;
}

const noIps: readonly Ip[] = [];

function readExternalIps(spec: Json, report: Report): readonly Ip[] {
  // The API server once let empty ones in.
  const list = readList(spec, 'externalIPs', report).filter((value) => !isBlank(value));
  if (list.length === 0) return noIps;
  return readValues({ externalIPs: list }, 'externalIPs', anIp, 'it is skipped', report).filter(
    (ip) =>
      refuse(ip, 'externalIPs:', ['loopback', 'link-local', 'unspecified', 'multicast'], 'it', report) !== undefined,
  );
}

function readLoadBalancerIps(raw: Json, report: Report): readonly Ip[] {
  if (raw['status'] === undefined) return noIps;
  const ips: Ip[] = [];
  const loadBalancer = readRecord(readRecord(raw, 'status', report), 'loadBalancer', report);
  readRecords(loadBalancer, 'ingress', report, (ingress, index) => {
    if (ingress['ip'] === '') return;
    const inIngress = within(() => `load balancer ingress ${index + 1}`, report);
    const ip = readField(ingress, 'ip', anIp, 'it is skipped', inIngress);
    if (ip === undefined) return;
    // Proxy: the load balancer delivers to the node port, and in-cluster traffic must go through it.
    const hasMode = ingress['ipMode'] !== undefined && ingress['ipMode'] !== null;
    if (hasMode && readField(ingress, 'ipMode', anIpMode, 'the address is skipped', inIngress) !== 'VIP') return;
    if (refuse(ip, 'ip', ['loopback', 'unspecified', 'multicast'], 'it', inIngress) !== undefined) ips.push(ip);
  });
  return ips;
}

function readPorts(spec: Json, report: Report): readonly ServicePortSpec[] {
  const ports: ServicePortSpec[] = [];
  readRecords(spec, 'ports', report, (raw, index) => {
    const port = readPort(raw, index, report);
    if (port === undefined) return;
    const has = (field: 'name' | 'port') =>
      ports.some((other) => other[field] === port[field] && other.protocol === port.protocol);
    const twin = has('name') ? 'name' : has('port') ? 'port' : undefined;
    if (twin === undefined) ports.push(port);
    else {
      const protocol = port.protocol.toUpperCase();
      report(
        `port ${quote(port.name)}: another port has the same ${twin} and protocol (${port.port}/${protocol}); the first is kept`,
      );
    }
  });
  // Without what the array holds in reserve.
  return ports.slice();
}

function readPort(raw: Json, index: number, report: Report): ServicePortSpec | undefined {
  const hasName = raw['name'] !== undefined && raw['name'] !== null && raw['name'] !== '';
  const inPort = within(() => (hasName ? `port ${quote(raw['name'])}` : `ports[${index}]`), report);
  const name = hasName ? readField(raw, 'name', aLabel, 'the port is skipped', inPort) : '';
  const protocol = readProtocol(raw, 'the port is skipped', inPort);
  const port = readField(raw, 'port', aPort, 'the port is skipped', inPort);
  if (raw['port'] === undefined || raw['port'] === null) inPort('port is missing; the port is skipped');
  if (name === undefined || protocol === undefined || port === undefined) return undefined;
  const nodePort = readOptionalPort(raw, 'nodePort', 'the node port is skipped', inPort);
  return { name, protocol, port, ...(nodePort === undefined ? {} : { nodePort }) };
}

/** The protocol; TCP if none is given, as the API server has it. */
export function readProtocol(raw: Json, consequence: string, report: Report) {
  const value = raw['protocol'];
  if (value === undefined || value === null || value === '') return 'tcp' as const;
  return readField(raw, 'protocol', aProtocol, consequence, report);
}

/** A port where 0 means none. */
function readOptionalPort(raw: Json, field: string, consequence: string, report: Report): Port | undefined {
  return raw[field] === 0 ? undefined : readField(raw, field, aPort, consequence, report);
}

function readHealthCheckNodePort(spec: Json, report: Report): Pick<Service, 'healthCheckNodePort'> {
  const port = readOptionalPort(spec, 'healthCheckNodePort', 'load balancers cannot check this node', report);
  return port === undefined ? {} : { healthCheckNodePort: port };
}

function readAffinity(spec: Json, report: Report): Pick<Service, 'affinityTimeoutSeconds'> {
  const hasAffinity = spec['sessionAffinity'] !== '';
  const affinity = hasAffinity && readField(spec, 'sessionAffinity', anAffinity, 'it is taken as None', report);
  if (affinity !== 'ClientIP') return {};
  const clientIp = readRecord(readRecord(spec, 'sessionAffinityConfig', report), 'clientIP', report);
  const consequence = `${defaultAffinitySeconds} is used`;
  const seconds = readField(clientIp, 'timeoutSeconds', anAffinityTimeout, consequence, report);
  return { affinityTimeoutSeconds: seconds ?? defaultAffinitySeconds };
}
