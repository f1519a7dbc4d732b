import type { EndpointState } from '../model/endpoint.ts';
import { familyName, familyOf, type Family, type Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { specialAddress } from './addresses.ts';
import {
  aBoolean,
  aText,
  anIp,
  isRecord,
  type Json,
  oneOf,
  quote,
  readField,
  readList,
  readRecord,
  readRecords,
  type Report,
  within,
} from './fields.ts';
import {
  aPort,
  aPortName,
  type EndpointPortSpec,
  type EndpointSlice,
  type EndpointSpec,
  type EndpointSpecTraits,
  type Identity,
  labelsOf,
  type Read,
  readAs,
} from './objects.ts';
import { readProtocol } from './service.ts';

const noPort = 0 as Port;
const anAddressType = oneOf('IPv4', 'IPv6', 'FQDN');

/** The EndpointSlice, from untyped JSON, with what the API server fills in. A bad endpoint or port costs only itself. */
export function readEndpointSlice(raw: Json, who?: Identity): Read<EndpointSlice> {
  return readAs(raw, 'EndpointSlice', who, ({ namespace, name }, report) => {
    const labels = labelsOf(raw, report);
    const service = readField(labels, 'kubernetes.io/service-name', aText, 'the slice is skipped', report) ?? '';
    const unused: EndpointSlice = { namespace, name, service, family: 'ip', ports: [], endpoints: [] };
    if ('service.kubernetes.io/headless' in labels) return unused;
    if (service === '') {
      report('has no label kubernetes.io/service-name and so belongs to no Service; it is skipped');
      return unused;
    }
    const addressType = readField(raw, 'addressType', anAddressType, 'the slice is skipped', report);
    if (raw['addressType'] === undefined) report('addressType is missing; the slice is skipped');
    if (addressType === undefined || addressType === 'FQDN') return unused;
    const family: Family = addressType === 'IPv4' ? 'ip' : 'ip6';
    const ports = readPorts(raw, report);
    const port = ports[0]?.port ?? noPort;
    return { ...unused, family, ports, endpoints: readEndpoints(raw, family, port, report) };
  });
}

function readPorts(raw: Json, report: Report): readonly EndpointPortSpec[] {
  const ports: EndpointPortSpec[] = [];
  readRecords(raw, 'ports', report, (item, index) => {
    // A port without a number means "all ports" in the API; no proxy can use it.
    if (item['port'] === undefined || item['port'] === null || item['port'] === 0) return;
    const inPort = within(() => `ports[${index}]`, report);
    const name = readField(item, 'name', aPortName, 'the port is skipped', inPort);
    if (name === undefined && item['name'] !== undefined && item['name'] !== null) return;
    const protocol = readProtocol(item, 'the port is skipped', inPort);
    const port = readField(item, 'port', aPort, 'the port is skipped', inPort);
    if (protocol !== undefined && port !== undefined) ports.push({ name: name ?? '', protocol, port });
  });
  return ports.slice();
}

function readEndpoints(raw: Json, family: Family, port: Port, report: Report): readonly EndpointSpec[] {
  const endpoints: EndpointSpec[] = [];
  readRecords(raw, 'endpoints', report, (item, index) => {
    const inEndpoint = within(() => `endpoints[${index}]`, report);
    const ip = readAddress(item, family, inEndpoint);
    if (ip === undefined) return;
    const conditions = readRecord(item, 'conditions', inEndpoint);
    const nodeName = readField(item, 'nodeName', aText, 'it counts as not on this node', inEndpoint) ?? '';
    const hints = isRecord(item['hints']) ? item['hints'] : noHints;
    const traits = traitsOf(
      nodeName,
      {
        isReady: readField(conditions, 'ready', aBoolean, 'it is taken as true', inEndpoint) ?? true,
        isServing: readField(conditions, 'serving', aBoolean, 'it is taken as true', inEndpoint) ?? true,
        isTerminating: readField(conditions, 'terminating', aBoolean, 'it is taken as false', inEndpoint) ?? false,
      },
      readHints(hints, 'forZones', inEndpoint),
      readHints(hints, 'forNodes', inEndpoint),
    );
    endpoints.push({ ip, port, traits });
  });
  // Without what the array holds in reserve: there are tens of thousands.
  return endpoints.slice();
}

type Conditions = Pick<EndpointSpecTraits, 'isReady' | 'isServing' | 'isTerminating'>;

/**
 * Traits that were read, by node and hints, and within these by conditions: endpoints of a cluster have few different ones. Emptied when
 * nodes have come and gone for long; what is in use stays with its endpoints.
 */
const knownTraits = new Map<string, (EndpointSpecTraits | undefined)[]>();
const maxKnownTraits = 20_000;

function traitsOf(
  nodeName: string,
  conditions: Conditions,
  zoneHints: readonly string[],
  nodeHints: readonly string[],
): EndpointSpecTraits {
  const hasHints = zoneHints.length > 0 || nodeHints.length > 0;
  const key = hasHints ? JSON.stringify([nodeName, zoneHints, nodeHints]) : nodeName;
  if (knownTraits.size > maxKnownTraits) knownTraits.clear();
  const ofKey = knownTraits.get(key) ?? [];
  knownTraits.set(key, ofKey);
  const { isReady, isServing, isTerminating } = conditions;
  return (ofKey[Number(isReady) * 4 + Number(isServing) * 2 + Number(isTerminating)] ??= {
    state: stateOf(conditions),
    nodeName: nodeName.toLowerCase(),
    zoneHints,
    nodeHints,
    ...conditions,
  });
}

/** Ready wins even over terminating: publishNotReadyAddresses makes terminating endpoints ready, and means it. */
function stateOf({ isReady, isServing, isTerminating }: Conditions): EndpointState {
  if (isReady) return 'ready';
  return isServing && isTerminating ? 'terminating' : 'unavailable';
}

const noHints: Json = {};
const noNames: readonly string[] = [];

/** Only the first address counts: the others were never given a meaning (EndpointSlice API). */
function readAddress(item: Json, family: Family, report: Report): Ip | undefined {
  const value = readList(item, 'addresses', report)[0];
  const ip = anIp.parse(value);
  if (ip === undefined) {
    report(
      value === undefined
        ? 'has no address; it is skipped'
        : `address ${quote(value)} is not an IP address; it is skipped`,
    );
    return undefined;
  }
  if (familyOf(ip) !== family) {
    report(`address ${quote(ip)} is not ${familyName[family]}, which is the slice's addressType; it is skipped`);
    return undefined;
  }
  // Through such an endpoint a Service would reach what listens on the node alone (CVE-2021-25737).
  const range = specialAddress(ip);
  if (range === undefined) return ip;
  report(`address ${quote(ip)} is a ${range} address, which an endpoint may not have; it is skipped`);
  return undefined;
}

function readHints(hints: Json, field: string, report: Report): readonly string[] {
  if (hints[field] === undefined || hints[field] === null) return noNames;
  const names: string[] = [];
  readRecords(hints, field, report, (hint) => {
    const name = readField(hint, 'name', aText, 'the hint is skipped', report);
    if (name !== undefined) names.push(name);
  });
  return names.sort();
}
