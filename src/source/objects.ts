import type { Endpoint, EndpointTraits } from '../model/endpoint.ts';
import type { TrafficPolicy } from '../model/service-port.ts';
import type { Problem } from '../model/proxy-state.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { type Port, parsePort } from '../net/port.ts';
import { parseProtocol, type Protocol } from '../net/protocol.ts';
import {
  aCidr,
  type Accepts,
  anIp,
  aText,
  isRecord,
  type Json,
  quote,
  readField,
  readRecord,
  readRecords,
  readValues,
  type Report,
} from './fields.ts';
import type { SchedulerAnnotations } from './service-scheduler.ts';

/** A port of a Service, its bad fields left out. */
export interface ServicePortSpec {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: Port;
  readonly nodePort?: Port;
}

/** What decides rules of a v1 Service. One that is not proxied (headless, ExternalName, another proxy's) has no cluster IPs and no ports. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly clusterIps: Readonly<Partial<Record<Family, Ip>>>;
  readonly ports: readonly ServicePortSpec[];
  readonly externalIps: readonly Ip[];
  /** Those whose ipMode is VIP or unset. */
  readonly loadBalancerIps: readonly Ip[];
  readonly loadBalancerSourceRanges: readonly Cidr[];
  /** True if a source range could not be read: then an empty list of a family must not mean everybody. */
  readonly hasBadSourceRange: boolean;
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  readonly affinityTimeoutSeconds?: number;
  readonly healthCheckNodePort?: Port;
  /** Read where the mode has schedulers: elsewhere a bad value is nobody's problem. */
  readonly schedulerAnnotations?: SchedulerAnnotations;
}

export interface EndpointPortSpec {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: Port;
}

export interface EndpointSpecTraits extends EndpointTraits {
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
}

/** An endpoint at the first port of its slice; 0 if that has none. Most slices have one port, and their endpoints are those of a service. */
export interface EndpointSpec extends Endpoint {
  readonly traits: EndpointSpecTraits;
}

/** What decides rules of a discovery.k8s.io/v1 EndpointSlice. One that nobody uses (of a headless Service, of host names) has no endpoints. */
export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  /** The Service's name, `''` if the slice belongs to none. */
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly EndpointPortSpec[];
  readonly endpoints: readonly EndpointSpec[];
}

export interface Node {
  readonly name: string;
  readonly zone?: string;
  /** In the order in which kube-proxy prefers them: internal before external. */
  readonly addresses: readonly Ip[];
  readonly podCidrs: readonly Cidr[];
  /** Is about to go: being deleted, or marked so by the cluster autoscaler. Load balancers should send it nothing new. */
  readonly isLeaving?: true;
}

export interface ServiceCidr {
  readonly name: string;
  readonly cidrs: readonly Cidr[];
}

/** The objects of a cluster that decide rules; in any order. */
export interface ClusterObjects {
  readonly services: readonly Service[];
  readonly endpointSlices: readonly EndpointSlice[];
  readonly nodes: readonly Node[];
  readonly serviceCidrs: readonly ServiceCidr[];
}

export const noObjects: ClusterObjects = { services: [], endpointSlices: [], nodes: [], serviceCidrs: [] };

/** What a reader gives: the object, unless it has no usable name, and what is wrong with it. */
export interface Read<T> {
  readonly object: T | undefined;
  readonly problems: readonly Problem[];
}

export const aPort: Accepts<Port> = { expected: 'a port (1-65535)', parse: parsePort };
export const aProtocol: Accepts<Protocol> = { expected: 'TCP, UDP or SCTP', parse: parseProtocol };

/**
 * Names join objects and appear in messages; none reaches a ruleset. Upper case, which the API server refuses, does no harm in
 * hand-written objects; blanks, quotes and control characters could forge a message.
 */
function aName(pattern: RegExp, maxLength: number, expected: string): Accepts<string> {
  return {
    expected,
    parse: (value) =>
      typeof value === 'string' && value.length <= maxLength && pattern.test(value) ? value : undefined,
  };
}

const aSubdomain = aName(/^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/i, 253, 'a name (a-z, 0-9, "-" and ".")');
export const aLabel = aName(/^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/i, 63, 'a name (a-z, 0-9 and "-", at most 63)');
/** Endpoint ports may be named after anything that is a DNS label, or not at all. */
export const aPortName = aName(/^(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)?$/i, 63, aLabel.expected);

export interface Identity {
  readonly namespace: string;
  readonly name: string;
}

/** Joined into one flat text, which costs less as a key than the pieces that V8 makes of a template. */
export function keyOf(namespace: string, name: string): string {
  return [namespace, name].join('/');
}

/** What messages call an object: `Service shop/web`, `Node worker-1`. */
export function titleOf(kind: string, { namespace, name }: Identity): string {
  return namespace === '' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

/** Who the object is, or why that cannot be told. Without a namespace it is in `default`, as for kubectl. */
export function identify(raw: Json, kind: string): Identity | Problem {
  const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
  const namespace = metadata['namespace'] ?? '';
  const isNamespaced = kind === 'Service' || kind === 'EndpointSlice';
  const nameOfKind = kind === 'Service' ? aLabel : aSubdomain;
  const name = nameOfKind.parse(metadata['name']);
  const place = isNamespaced && typeof namespace === 'string' && namespace !== '' ? `in ${quote(namespace)}` : '';
  if (name === undefined) {
    const found =
      metadata['name'] === undefined ? 'is missing' : `${quote(metadata['name'])} is not ${nameOfKind.expected}`;
    return { object: `${kind} ${place}`.trim(), message: `metadata.name ${found}; the object is skipped` };
  }
  if (!isNamespaced) return { namespace: '', name };
  const home = namespace === '' ? 'default' : aLabel.parse(namespace);
  if (home === undefined) {
    return {
      object: `${kind} ${name}`,
      message: `metadata.namespace ${quote(namespace)} is not ${aLabel.expected}; the object is skipped`,
    };
  }
  return { namespace: home, name };
}

/** Runs a reader that knows who the object is, told or found out, and gathers what it reports under the object's title. */
export function readAs<T>(
  raw: Json,
  kind: string,
  told: Identity | undefined,
  read: (who: Identity, report: Report) => T,
): Read<T> {
  const who = told ?? identify(raw, kind);
  if ('message' in who) return { object: undefined, problems: [who] };
  const problems: Problem[] = [];
  const object = read(who, (message) => problems.push({ object: titleOf(kind, who), message }));
  return { object, problems };
}

/** The labels of an object. */
export function labelsOf(raw: Json, report: Report): Json {
  const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
  return readRecord(metadata, 'labels', report);
}

/** The Node, from untyped JSON. */
export function readNode(raw: Json, who?: Identity): Read<Node> {
  return readAs(raw, 'Node', who, ({ name }, report) => {
    const spec = readRecord(raw, 'spec', report);
    const zone = readField(labelsOf(raw, report), zoneLabel, aText, 'the node has no zone', report);
    const podCidrs = readValues(spec, 'podCIDRs', aCidr, 'it is skipped', report);
    const podCidr = spec['podCIDR'] === '' ? undefined : readField(spec, 'podCIDR', aCidr, 'it is skipped', report);
    return {
      name,
      ...(zone === undefined || zone === '' ? {} : { zone }),
      addresses: nodeAddresses(readRecord(raw, 'status', report), report),
      podCidrs: podCidrs.length === 0 && podCidr !== undefined ? [podCidr] : podCidrs,
      ...(isLeaving(raw) ? { isLeaving: true as const } : {}),
    };
  });
}

/** As kube-proxy tells it, for /healthz (KEP-3836). */
function isLeaving(raw: Json): boolean {
  const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
  const spec = isRecord(raw['spec']) ? raw['spec'] : {};
  const taints: readonly unknown[] = Array.isArray(spec['taints']) ? spec['taints'] : [];
  return (
    typeof metadata['deletionTimestamp'] === 'string' ||
    taints.some((taint) => isRecord(taint) && taint['key'] === 'ToBeDeletedByClusterAutoscaler')
  );
}

const zoneLabel = 'topology.kubernetes.io/zone';

function nodeAddresses(status: Json, report: Report): readonly Ip[] {
  const internal: Ip[] = [];
  const external: Ip[] = [];
  readRecords(status, 'addresses', report, (address) => {
    if (address['type'] !== 'InternalIP' && address['type'] !== 'ExternalIP') return;
    const ip = readField(address, 'address', anIp, 'it is skipped', report);
    if (ip !== undefined) (address['type'] === 'InternalIP' ? internal : external).push(ip);
  });
  return [...internal, ...external];
}

/** The ServiceCIDR, from untyped JSON. */
export function readServiceCidr(raw: Json, who?: Identity): Read<ServiceCidr> {
  return readAs(raw, 'ServiceCIDR', who, ({ name }, report) => {
    const spec = readRecord(raw, 'spec', report);
    return { name, cidrs: readValues(spec, 'cidrs', aCidr, 'it is skipped', report) };
  });
}
