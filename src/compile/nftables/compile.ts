import sortedUniq from 'lodash-es/sortedUniq.js';
import { categorizeEndpoints, type CategorizedEndpoints } from '../../model/categorize-endpoints.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { type Frontend, frontendsOf } from '../../model/frontend.ts';
import type { ProxyState } from '../../model/proxy-state.ts';
import type { ServicePort } from '../../model/service-port.ts';
import { cidrContains, disjointCidrs, hostCidr, printCidr } from '../../net/cidr.ts';
import { compareText, families, type Family } from '../../net/ip.ts';
import type { Ruleset, Table } from '../../ruleset/nftables/ruleset.ts';
import { learningChain, learningChainName } from './affinity.ts';
import { maps, sets } from './names.ts';
import { Claims, type Conflict, frontendKey } from './claims.ts';
import { skeletonChains, skeletonSets } from './skeleton.ts';
import { slotsOfElements, type Slots } from './slots.ts';
import { TableBuilder } from './table-builder.ts';

export type FamilySlots = Readonly<Record<Family, Slots>>;

export interface Compiled {
  readonly ruleset: Readonly<Record<Family, Table>>;
  /** What the next compile takes, so that endpoints keep their slots. */
  readonly slots: FamilySlots;
  /** Frontends that two services claim: the loser is left out. */
  readonly conflicts: readonly Conflict[];
}

export const noSlots: FamilySlots = { ip: new Map(), ip6: new Map() };

/**
 * The ruleset that makes the kernel do what the state asks: both tables with all their chains, sets and elements.
 *
 * Pure. The order of service ports and endpoints in the state carries no meaning: the same state gives the same bytes. Only slots
 * depend on the past (see slots.ts). Cost grows with services and endpoints linearly.
 */
export function compile(state: ProxyState, previous: FamilySlots = noSlots): Compiled {
  const servicePorts = [...state.servicePorts].sort(compareServicePorts);
  const compiled = families.map((family) => {
    const ofFamily = servicePorts.filter((servicePort) => servicePort.family === family);
    return compileTable(state, family, ofFamily, previous[family]);
  });
  const [ip, ip6] = compiled as [FamilyResult, FamilyResult];
  return {
    ruleset: { ip: ip.table, ip6: ip6.table },
    slots: { ip: ip.slots, ip6: ip6.slots },
    conflicts: [...ip.conflicts, ...ip6.conflicts],
  };
}

/** The slots that the kernel's tables hold. */
export function slotsOfRuleset(ruleset: Ruleset): FamilySlots {
  const ofTable = (table: Table | undefined): Slots =>
    new Map(
      [...(table?.elements ?? [])]
        .filter(([set]) => set.includes('-endpoints-'))
        .map(([set, elements]) => [set, slotsOfElements(elements)]),
    );
  return { ip: ofTable(ruleset.ip), ip6: ofTable(ruleset.ip6) };
}

interface FamilyResult {
  readonly table: Table;
  readonly slots: Slots;
  readonly conflicts: readonly Conflict[];
}

function compileTable(
  state: ProxyState,
  family: Family,
  servicePorts: readonly ServicePort[],
  previous: Slots,
): FamilyResult {
  const builder = new TableBuilder(family, skeletonSets(state, family), previous);
  addNodeElements(builder, state);
  const claims = new Claims(servicePorts);
  for (const servicePort of servicePorts) addServicePort(builder, state, servicePort, claims);
  return { ...builder.build(skeletonChains(state, family)), conflicts: claims.conflicts };
}

/** What comes from the node and the cluster's settings rather than from services. */
function addNodeElements(builder: TableBuilder, state: ProxyState): void {
  const { family } = builder;
  const serviceCidrs = state.serviceCidrs.filter((cidr) => cidr.family === family);
  for (const cidr of disjointCidrs(serviceCidrs)) builder.add(sets.serviceCidrs, printCidr(cidr));
  const podCidr = state.detectLocal.kind === 'cidr' ? state.detectLocal.cidrs[family] : undefined;
  if (podCidr !== undefined) builder.add(sets.podCidrs, printCidr(podCidr));
  const addresses = state.nodePortAddresses[family];
  if (addresses.kind === 'some') for (const ip of [...addresses.ips].sort()) builder.add(sets.nodePortIps, ip);
}

function addServicePort(builder: TableBuilder, state: ProxyState, servicePort: ServicePort, claims: Claims): void {
  const categorized = categorizeEndpoints(servicePort, state.nodeName, state.zone);
  builder.add(sets.clusterIps, servicePort.clusterIp);
  if (servicePort.healthCheckNodePort !== undefined) {
    builder.add(sets.healthCheckNodePorts, String(servicePort.healthCheckNodePort));
  }
  const localIps = [...categorized.cluster.endpoints, ...categorized.local.endpoints]
    .filter(({ isLocal }) => isLocal)
    .map(({ ip }) => ip);
  for (const ip of localIps.sort()) builder.add(sets.hairpin, `${ip} . ${ip}`);
  const balanced = {
    cluster: endpointTexts(categorized.cluster.endpoints),
    local: endpointTexts(categorized.local.endpoints),
  };
  for (const frontend of frontendsOf(servicePort)) {
    if (!claims.isOwner(frontend)) continue;
    addFrontend(builder, frontend, categorized, balanced);
    if (frontend.kind === 'load-balancer-ip') addSourceRanges(builder, frontend, state);
  }
}

/** Sorted, so that equal lists give equal slots whatever the order in the state. */
function endpointTexts(endpoints: readonly Endpoint[]): readonly string[] {
  return sortedUniq(endpoints.map(({ ip, port }) => `${ip} . ${port}`).sort());
}

type Balanced = Readonly<Record<'cluster' | 'local', readonly string[]>>;

function addFrontend(
  builder: TableBuilder,
  frontend: Frontend,
  categorized: CategorizedEndpoints,
  balanced: Balanced,
): void {
  const { protocol, port, ip, servicePort } = frontend;
  const shape = ip === undefined ? 'nodeport' : 'ip';
  const key = frontendKey(frontend);
  if (!categorized.hasAnyEndpoints) {
    builder.add(maps.noEndpoint[shape], key, 'goto reject-chain');
    return;
  }
  const isExternal = frontend.kind !== 'cluster-ip';
  const slotKey = ip === undefined ? String(port) : `${ip} . ${port}`;
  const timeoutSeconds = servicePort.affinityTimeoutSeconds;
  const verdict = (list: 'cluster' | 'local') =>
    builder.balance(slotKey, balanced[list], { shape, list, protocol, hasAffinity: timeoutSeconds !== undefined });

  const list = frontend.policy === 'Local' ? 'local' : 'cluster';
  if (balanced[list].length > 0) builder.add(maps.service[shape], key, verdict(list));
  else {
    builder.add(maps.noEndpoint[shape], key, 'drop');
    // Ends the search: the address may be the node's, and the port another service's node port.
    if (isExternal && shape === 'ip') builder.add(maps.service.ip, key, 'return');
  }
  if (isExternal) {
    const isLocalPolicy = frontend.policy === 'Local';
    if (isLocalPolicy) builder.add(maps.shortCircuit[shape], key, verdict('cluster'));
    builder.add(maps.masquerade[shape], key, `goto ${isLocalPolicy ? 'masquerade-node' : 'masquerade-always'}`);
  }
  if (timeoutSeconds !== undefined) {
    builder.addChain(learningChain(builder.family, protocol, timeoutSeconds));
    builder.add(maps.affinity[shape], key, `goto ${learningChainName(protocol, timeoutSeconds)}`);
  }
}

/**
 * Who may use a load balancer's address. If the node may, so may the address itself: a load balancer that puts its address on the
 * node's interfaces makes the node's own connections to it come from that very address.
 */
function addSourceRanges(builder: TableBuilder, frontend: Frontend, state: ProxyState): void {
  const { servicePort } = frontend;
  const ranges = servicePort.loadBalancerSourceRanges;
  if (ranges.length === 0) return;
  const key = frontendKey(frontend);
  builder.add(sets.firewallIps, key);
  const nodeIp = state.nodeIps[builder.family];
  const nodeMay = nodeIp !== undefined && ranges.some((range) => cidrContains(range, nodeIp));
  const sources = nodeMay ? [...ranges, ...servicePort.loadBalancerIps.map(hostCidr)] : ranges;
  for (const cidr of disjointCidrs(sources)) builder.add(sets.firewallSources, `${key} . ${printCidr(cidr)}`);
}

function compareServicePorts(a: ServicePort, b: ServicePort): number {
  return (
    compareText(a.namespace, b.namespace) ||
    compareText(a.service, b.service) ||
    compareText(a.portName, b.portName) ||
    compareText(a.protocol, b.protocol)
  );
}
