import type { Compiled } from '../compile/nftables/compile.ts';
import { categorizeEndpoints, type EndpointList, type TopologyMode } from '../model/categorize-endpoints.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { type Frontend, frontendsOf, printFrontend } from '../model/frontend.ts';
import type { ProxyState } from '../model/proxy-state.ts';
import { servicePortName } from '../model/service-port.ts';
import { cidrContains, printCidr } from '../net/cidr.ts';
import { familyOf, type Ip } from '../net/ip.ts';
import { printRule } from '../ruleset/nftables/print-text.ts';
import type { VirtualServer } from '../ruleset/ipvs/virtual-server.ts';
import { type Packet, tracePacket, type TraceOutcome, type TraceStep } from '../ruleset/nftables/trace.ts';

/** A line of the explanation: what it is about, and what is to be said. */
export type Explanation = readonly (readonly [label: string, text: string])[];

/** The way of a connection's first packet through the compiled ruleset, in words. The verdict is what the ruleset does (traced), the reasons come from the state. */
export function explainPacket(
  state: ProxyState,
  compiled: Compiled,
  packet: Packet,
  nodeAddresses: readonly Ip[],
): Explanation {
  const { ruleset, servers, boundIps } = compiled;
  const localAddresses = new Set([...nodeAddresses, ...boundIps]);
  const outcomes = tracePacket(ruleset, packet, { localAddresses, servers });
  const first = outcomes[0] as TraceOutcome;
  const source = sourceOf(state, packet);
  const frontend = findFrontend(state, compiled, packet, nodeAddresses);
  return [
    [
      'packet',
      `${packet.protocol.toUpperCase()} from ${packet.source} (${source.words}) to ${hostPort(packet.destination, packet.port)}`,
    ],
    ...(frontend === undefined ? [noFrontend(state, packet)] : explainFrontend(state, frontend, source.isInside)),
    ...first.steps
      .filter(({ rule }) => rule?.statements.at(-1)?.kind !== 'jump')
      .map((step): readonly [string, string] => ['rule', stepWords(step, first.server)]),
    ['masquerade', masqueradeWords(first, packet)],
    ['verdict', verdictWords(outcomes, packet)],
  ];
}

function stepWords({ hook, chain, rule, element }: TraceStep, server: VirtualServer | undefined): string {
  if (rule !== undefined)
    return `${hook}: ${chain}: ${printRule(rule)}${element === undefined ? '' : `   [${element}]`}`;
  const { scheduler, schedulerFlags, persistenceSeconds } = server as VirtualServer;
  const flags = schedulerFlags.length > 0 ? ` (${schedulerFlags.join(', ')})` : '';
  const persistence = persistenceSeconds === undefined ? '' : `, clients stay for ${persistenceSeconds} s`;
  return `${hook}: ${chain}: virtual server with scheduler ${scheduler}${flags}${persistence}   [${element}]`;
}

function sourceOf(state: ProxyState, packet: Packet): { words: string; isInside: boolean } {
  if (packet.device === undefined) return { words: 'the node itself', isInside: true };
  const { detectLocal } = state;
  const podCidr = detectLocal.kind === 'cidr' ? detectLocal.cidrs[familyOf(packet.source)] : undefined;
  if (podCidr !== undefined && cidrContains(podCidr, packet.source))
    return { words: `a pod, being in ${printCidr(podCidr)}`, isInside: true };
  if (
    detectLocal.kind === 'interface' &&
    (detectLocal.isPrefix ? packet.device.startsWith(detectLocal.name) : packet.device === detectLocal.name)
  ) {
    return { words: `a pod, coming in by ${packet.device}`, isInside: true };
  }
  if (detectLocal.kind === 'none' || (detectLocal.kind === 'cidr' && podCidr === undefined)) {
    return { words: 'outside: nothing is configured that tells pods from others', isInside: false };
  }
  return { words: 'outside the cluster', isInside: false };
}

/** Who owns the frontend is what the ruleset says: of two services that claim one, only one is in it. */
function findFrontend(
  state: ProxyState,
  compiled: Compiled,
  packet: Packet,
  nodeAddresses: readonly Ip[],
): Frontend | undefined {
  const family = familyOf(packet.destination);
  const losers = new Set(
    compiled.conflicts.map(({ frontend }) => `${servicePortName(frontend.servicePort)} ${printFrontend(frontend)}`),
  );
  const addresses = state.nodePortAddresses[family];
  const takesNodePorts =
    addresses.kind === 'some' ? addresses.ips.includes(packet.destination) : nodeAddresses.includes(packet.destination);
  const candidates = state.servicePorts
    .filter((servicePort) => servicePort.family === family && servicePort.protocol === packet.protocol)
    .flatMap(frontendsOf)
    .filter(({ ip, port }) => port === packet.port && (ip === undefined ? takesNodePorts : ip === packet.destination))
    .filter((frontend) => !losers.has(`${servicePortName(frontend.servicePort)} ${printFrontend(frontend)}`));
  return candidates.find(({ kind }) => kind !== 'node-port') ?? candidates[0];
}

function noFrontend(state: ProxyState, packet: Packet): readonly [string, string] {
  const owner = state.servicePorts.find(({ clusterIp }) => clusterIp === packet.destination);
  if (owner !== undefined) {
    return [
      'frontend',
      `none: ${packet.destination} is the cluster IP of ${owner.namespace}/${owner.service}, which has no port ${packet.port}/${packet.protocol}`,
    ];
  }
  const range = state.serviceCidrs.find((cidr) => cidrContains(cidr, packet.destination));
  if (range !== undefined)
    return [
      'frontend',
      `none: ${packet.destination} lies in the service range ${printCidr(range)}, and no service has it`,
    ];
  return ['frontend', `none: no service has ${hostPort(packet.destination, packet.port)}/${packet.protocol}`];
}

function explainFrontend(state: ProxyState, frontend: Frontend, isInside: boolean): Explanation {
  const { servicePort, kind, policy } = frontend;
  const categorized = categorizeEndpoints(servicePort, state.nodeName, state.zone);
  const isShortCircuit = kind !== 'cluster-ip' && policy === 'Local' && isInside;
  const list = policy === 'Local' && !isShortCircuit ? categorized.local : categorized.cluster;
  const policyName = kind === 'cluster-ip' ? 'internalTrafficPolicy' : 'externalTrafficPolicy';
  const lines: [string, string][] = [
    ['frontend', `${printFrontend(frontend)} is ${kindWords[kind]} of ${servicePortName(servicePort)}`],
    [
      'policy',
      isShortCircuit
        ? `${policyName} Local does not bind pods and the node itself: they may use all endpoints`
        : `${policyName} ${policy}: ${policy === 'Local' ? 'endpoints on this node only' : 'endpoints anywhere in the cluster'}`,
    ],
    ['endpoints', listWords(list, servicePort.endpoints, categorized.hasAnyEndpoints)],
  ];
  if (list === categorized.cluster && servicePort.endpoints.some(hasHints))
    lines.push(['hints', hintWords(categorized.topology, state)]);
  if (kind === 'load-balancer-ip' && servicePort.loadBalancerSourceRanges.length > 0) {
    lines.push(['source ranges', `only from ${servicePort.loadBalancerSourceRanges.map(printCidr).join(', ')}`]);
  }
  if (servicePort.affinityTimeoutSeconds !== undefined) {
    lines.push([
      'affinity',
      `a client stays with its endpoint for ${servicePort.affinityTimeoutSeconds} s after its last new connection; below is what a new client meets`,
    ]);
  }
  return lines;
}

const kindWords: Readonly<Record<Frontend['kind'], string>> = {
  'cluster-ip': 'the cluster IP',
  'load-balancer-ip': 'a load balancer address',
  'external-ip': 'an external IP',
  'node-port': 'the node port',
};

function listWords({ endpoints, reason }: EndpointList, all: readonly Endpoint[], hasAny: boolean): string {
  const names = endpoints.map(({ ip, port }) => hostPort(ip, port)).join(', ');
  switch (reason) {
    case 'ready':
      return `${endpoints.length} of ${all.length}: ready ${names}`;
    case 'terminating-fallback':
      return `${endpoints.length} of ${all.length}: none is ready, so those that terminate but still serve: ${names}`;
    case 'empty':
    case 'unused':
      if (all.length === 0) return 'none: no EndpointSlice of the service has this port';
      return hasAny
        ? `none of ${all.length} is on this node and usable`
        : `none of ${all.length} is ready or still serving`;
  }
}

const hasHints = ({ traits }: Endpoint) => traits.zoneHints.length > 0 || traits.nodeHints.length > 0;

function hintWords(topology: TopologyMode, state: ProxyState): string {
  switch (topology) {
    case 'same-node':
      return `endpoints hinted for this node (${state.nodeName})`;
    case 'same-zone':
      return `endpoints hinted for this zone (${state.zone})`;
    case 'none':
      return `ignored: some ready endpoint has none, or none names ${state.zone === undefined ? 'this node, whose zone is unknown' : 'this node or its zone'}`;
  }
}

function masqueradeWords({ verdict, isMasqueraded, destination, port }: TraceOutcome, packet: Packet): string {
  if (verdict !== 'passed') return 'does not come to it';
  if (!isMasqueraded)
    return destination === packet.destination && port === packet.port
      ? 'no: nothing of ours concerns it'
      : `no: the endpoint sees ${packet.source}`;
  return destination === packet.source
    ? 'yes: the endpoint reaches itself, and would otherwise answer itself directly'
    : "yes: the endpoint sees the node's address, and answers through the node";
}

function verdictWords(outcomes: readonly TraceOutcome[], packet: Packet): string {
  const [first] = outcomes as [TraceOutcome];
  if (first.verdict === 'rejected') return 'rejected (ICMP port unreachable)';
  if (first.verdict === 'dropped') return 'dropped, without an answer';
  if (first.destination === packet.destination && first.port === packet.port)
    return 'left alone: it goes where the node’s routes send it';
  const targets = [...new Set(outcomes.map(({ destination, port }) => hostPort(destination, port)))];
  return targets.length === 1
    ? `sent to ${targets[0]}`
    : `sent to one of ${targets.join(', ')}, ${first.server === undefined ? 'at random' : `as IPVS schedules (${first.server.scheduler})`}`;
}

function hostPort(ip: Ip, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
