import uniq from 'lodash-es/uniq.js';
import type { IpvsState, NodeState, Problem, ProxyState } from '../model/proxy-state.ts';
import { disjointCidrs } from '../net/cidr.ts';
import { compareText, families, type Family, type Ip } from '../net/ip.ts';
import { indexSlices } from './endpoints.ts';
import { isKnownScheduler, unknownScheduler } from './ipvs-scheduler.ts';
import { configuration, detectLocalOf, nodeIpsOf, nodePortAddressesOf } from './node.ts';
import type { ClusterObjects, Node } from './objects.ts';
import { type ServicePortOptions, servicePortsOf } from './service-ports.ts';
import type { Settings } from './settings.ts';

export interface StateOptions {
  /** The node that rules are made for. */
  readonly nodeName: string;
  /** Addresses of the node's interfaces; without them, those of the Node object stand in. */
  readonly nodeAddresses?: readonly Ip[];
  /** Those of nodeAddresses that somebody named on purpose, the primary ones first: they stand in for a Node without addresses. */
  readonly namedAddresses?: readonly Ip[];
  readonly settings: Settings;
}

/** What the proxy of one node must do, and what was wrong with the objects it follows from. Pure; the order of the objects changes nothing. */
export function buildProxyState(
  objects: ClusterObjects,
  options: StateOptions,
): { readonly state: ProxyState; readonly nodeAddresses: readonly Ip[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const servicePorts = servicePortsOf(
    [...objects.services].sort(byTitle),
    indexSlices(objects.endpointSlices),
    servicePortOptions(options),
    problems,
  );
  const usedFamilies = families.filter((family) => servicePorts.some((servicePort) => servicePort.family === family));
  const { node, nodeAddresses, problems: nodeProblems } = buildNodeState(objects, options, usedFamilies);
  return { state: { ...node, servicePorts }, nodeAddresses, problems: [...nodeProblems, ...problems] };
}

/** What the service ports of every Service follow from, besides the Service and its slices. */
export function servicePortOptions({ settings }: StateOptions): ServicePortOptions {
  return {
    allowsExternalIps: settings.featureGates['AllowServiceExternalIPs'] ?? true,
    hasSchedulers: settings.mode === 'ipvs',
  };
}

/** What decides rules besides services, and the addresses of the node's interfaces. `usedFamilies`: those with services. */
export function buildNodeState(
  objects: Pick<ClusterObjects, 'nodes' | 'serviceCidrs'>,
  options: StateOptions,
  usedFamilies: readonly Family[],
): { readonly node: NodeState; readonly nodeAddresses: readonly Ip[]; readonly problems: readonly Problem[] } {
  const { nodeName, settings } = options;
  const problems: Problem[] = [];
  const node = findNode(objects.nodes, nodeName, problems);
  const nodeIps = nodeIpsOf(node, settings.bindAddress, options.namedAddresses ?? []);
  const interfaceAddresses = options.nodeAddresses ?? uniq([...(node?.addresses ?? []), ...Object.values(nodeIps)]);
  const state: NodeState = {
    nodeName,
    ...(node?.zone === undefined ? {} : { zone: node.zone }),
    nodeIps,
    nodePortAddresses: nodePortAddressesOf(settings, nodeIps, interfaceAddresses, problems),
    detectLocal: detectLocalOf(settings, node, usedFamilies, problems),
    masqueradeAll: settings.masqueradeAll,
    serviceCidrs: disjointCidrs(objects.serviceCidrs.flatMap(({ cidrs }) => cidrs)),
    ...(settings.mode === 'ipvs' ? { ipvs: ipvsStateOf(settings, interfaceAddresses, problems) } : {}),
  };
  return { node: state, nodeAddresses: interfaceAddresses, problems };
}

function ipvsStateOf(settings: Settings, interfaceAddresses: readonly Ip[], problems: Problem[]): IpvsState {
  const scheduler = settings.ipvsScheduler;
  if (!isKnownScheduler(scheduler)) problems.push({ object: configuration, message: unknownScheduler(scheduler) });
  return {
    scheduler,
    // Each pod's interface has a link-local address of its own, which comes and goes with the pod and is no service's.
    interfaceIps: uniq(interfaceAddresses.filter((ip) => !ip.startsWith('fe80:'))).sort(compareText),
    excludeCidrs: disjointCidrs(settings.ipvsExcludeCidrs),
  };
}

/** The name of the node that rules are made for: the requested one, else that of the only Node there is, else the host's, as kube-proxy has it. */
export function chooseNodeName(objects: ClusterObjects, requested: string | undefined, hostname: string): string {
  const wanted = requested?.trim() ?? '';
  if (wanted !== '') return wanted.toLowerCase();
  const [only, ...others] = objects.nodes;
  return only !== undefined && others.length === 0 ? only.name : hostname.trim().toLowerCase();
}

function findNode(nodes: readonly Node[], nodeName: string, problems: Problem[]): Node | undefined {
  const node = nodes.find(({ name }) => name.toLowerCase() === nodeName);
  if (node !== undefined) return node;
  const others = nodes.map(({ name }) => name).sort();
  const known = others.length === 0 ? 'there is no Node at all' : `there are ${abridged(others)}`;
  problems.push({
    object: `Node ${nodeName}`,
    message: `is not among the objects (${known}); its zone, addresses and pod CIDRs are unknown, and no topology hint for its zone applies`,
  });
  return undefined;
}

function abridged(names: readonly string[]): string {
  return names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
}

/** Problems are told in this order, whatever the order of the objects. */
function byTitle(a: { namespace: string; name: string }, b: { namespace: string; name: string }): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}
