import isEqual from 'lodash-es/isEqual.js';
import sortedUniq from 'lodash-es/sortedUniq.js';
import { categorizeEndpoints, type CategorizedEndpoints, type EndpointList } from '../../model/categorize-endpoints.ts';
import { type Endpoint, isOnNode } from '../../model/endpoint.ts';
import { type Frontend, frontendsOf } from '../../model/frontend.ts';
import type { NodeState } from '../../model/proxy-state.ts';
import type { ServicePort } from '../../model/service-port.ts';
import { cidrContains, disjointCidrs, hostCidr, printCidr } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { concatenate } from '../../ruleset/nftables/ruleset.ts';
import { contributeServers } from '../ipvs/servers.ts';
import { learningChain, learningChainName, learningHook } from './affinity.ts';
import { frontendKey } from './claims.ts';
import { Contribution } from './contribution.ts';
import { maps, policyLocalNumbers, sets } from './names.ts';
import type { Slots } from './slots.ts';

/** What comes from the node and the cluster's settings rather than from services. */
export function contributeNode(node: NodeState, family: Family): Contribution {
  const contribution = new Contribution(family);
  const serviceCidrs = node.serviceCidrs.filter((cidr) => cidr.family === family);
  for (const cidr of disjointCidrs(serviceCidrs)) contribution.add(sets.serviceCidrs, printCidr(cidr));
  const podCidr = node.detectLocal.kind === 'cidr' ? node.detectLocal.cidrs[family] : undefined;
  if (podCidr !== undefined) contribution.add(sets.podCidrs, printCidr(podCidr));
  const addresses = node.nodePortAddresses[family];
  if (addresses.kind === 'some') for (const ip of [...addresses.ips].sort()) contribution.add(sets.nodePortIps, ip);
  return contribution;
}

/** What a service port adds to its family's table. Of its frontends only those that it owns (see Claims). */
export function contributeServicePort(
  node: NodeState,
  servicePort: ServicePort,
  isOwner: (frontend: Frontend, key: string) => boolean,
  previous: Slots,
): Contribution {
  const contribution = new Contribution(servicePort.family, previous, servicePort);
  const categorized = categorizeEndpoints(servicePort, node.nodeName, node.zone);
  contribution.add(sets.clusterIps, servicePort.clusterIp);
  if (servicePort.healthCheckNodePort !== undefined) {
    contribution.add(sets.healthCheckNodePorts, String(servicePort.healthCheckNodePort));
  }
  const localIps = [categorized.cluster, categorized.local].flatMap((list) => localIpsOf(list, node.nodeName));
  for (const ip of localIps.sort()) contribution.add(sets.hairpin, concatenate(ip, ip));
  const balanced = {
    cluster: endpointTexts(categorized.cluster.endpoints),
    local: endpointTexts(categorized.local.endpoints),
  };
  for (const frontend of frontendsOf(servicePort)) {
    const key = frontendKey(frontend);
    if (!isOwner(frontend, key)) continue;
    const serves = addFrontend(contribution, frontend, key, categorized, balanced, node.ipvs === undefined);
    if (node.ipvs !== undefined) contributeServers(contribution, node, node.ipvs, frontend, serves);
    if (frontend.kind === 'load-balancer-ip') addSourceRanges(contribution, frontend, node);
  }
  return contribution.seal();
}

function localIpsOf({ endpoints }: EndpointList, nodeName: string): readonly Ip[] {
  return endpoints.filter((endpoint) => isOnNode(endpoint, nodeName)).map(({ ip }) => ip);
}

/** Sorted, so that equal lists give equal slots whatever the order in the state. */
function endpointTexts(endpoints: readonly Endpoint[]): readonly string[] {
  if (endpoints.length === 0) return noTexts;
  const texts = endpoints.map(({ ip, port }) => concatenate(ip, String(port))).sort();
  // Seldom any is there twice, and lodash's list keeps more room than it needs.
  return texts.some((text, i) => text === texts[i - 1]) ? sortedUniq(texts) : texts;
}

const noTexts: readonly string[] = [];

type Balanced = Readonly<Record<'cluster' | 'local', readonly string[]>>;

/** Gives the endpoints that new connections to the frontend go to, short circuits aside. `isWhole`: nobody else balances them. */
function addFrontend(
  contribution: Contribution,
  frontend: Frontend,
  key: string,
  categorized: CategorizedEndpoints,
  balanced: Balanced,
  isWhole: boolean,
): readonly string[] {
  const { protocol, port, ip, servicePort } = frontend;
  const shape = ip === undefined ? 'nodeport' : 'ip';
  if (!categorized.hasAnyEndpoints) {
    contribution.add(maps.noEndpoint[shape], key, 'goto reject-chain');
    return [];
  }
  const isExternal = frontend.kind !== 'cluster-ip';
  const slotKey = ip === undefined ? String(port) : concatenate(ip, String(port));
  const timeoutSeconds = servicePort.affinityTimeoutSeconds;
  const balance = (list: 'cluster' | 'local') =>
    contribution.balance(slotKey, balanced[list], { shape, list, protocol, hasAffinity: timeoutSeconds !== undefined });

  const isLocalPolicy = frontend.policy === 'Local';
  const list = isLocalPolicy ? 'local' : 'cluster';
  const dependsOnClient = isExternal && isLocalPolicy;
  if (isWhole && dependsOnClient) contribution.add(maps.service[shape], key, policyLocalNumbers[shape]);
  if (balanced[list].length === 0) contribution.add(maps.noEndpoint[shape], key, 'drop');
  else if (isWhole) contribution.add(maps[dependsOnClient ? 'policyLocal' : 'service'][shape], key, balance(list));
  const hasShortCircuit = dependsOnClient && (isWhole || !isEqual(balanced.cluster, balanced.local));
  if (hasShortCircuit) contribution.add(maps.shortCircuit[shape], key, balance('cluster'));
  if (isExternal) contribution.add(maps[isLocalPolicy ? 'masqueradeNode' : 'masquerade'][shape], key);
  if (timeoutSeconds !== undefined && (isWhole || hasShortCircuit)) {
    contribution.addChain(learningHook);
    contribution.addChain(learningChain(contribution.family, protocol, timeoutSeconds));
    contribution.add(maps.affinity[shape], key, `goto ${learningChainName(protocol, timeoutSeconds)}`);
  }
  return balanced[list];
}

/**
 * Who may use a load balancer's address. If the node may, so may the address itself: a load balancer that puts its address on the
 * node's interfaces makes the node's own connections to it come from that very address.
 */
function addSourceRanges(contribution: Contribution, frontend: Frontend, node: NodeState): void {
  const { servicePort } = frontend;
  const ranges = servicePort.loadBalancerSourceRanges;
  if (ranges.length === 0) return;
  const key = frontendKey(frontend);
  contribution.add(sets.firewallIps, key);
  const nodeIp = node.nodeIps[contribution.family];
  const nodeMay = nodeIp !== undefined && ranges.some((range) => cidrContains(range, nodeIp));
  const sources = nodeMay ? [...ranges, ...servicePort.loadBalancerIps.map(hostCidr)] : ranges;
  for (const cidr of disjointCidrs(sources)) contribution.add(sets.firewallSources, concatenate(key, printCidr(cidr)));
}
