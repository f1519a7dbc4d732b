import type { Family } from '../../net/ip.ts';
import type { Protocol } from '../../net/protocol.ts';
import { concat, type Expression, l4proto, payload } from '../../ruleset/nftables/expression.ts';

/** Sets and maps of a table, whose names people see in `nft list table ip vipmap`. What each holds is said in sets.ts. */
export const sets = {
  clusterIps: 'cluster-ips',
  serviceCidrs: 'service-cidrs',
  podCidrs: 'pod-cidrs',
  nodePortIps: 'nodeport-ips',
  hairpin: 'hairpin-connections',
  firewallIps: 'firewall-ips',
  firewallSources: 'firewall-sources',
  healthCheckNodePorts: 'health-check-nodeports',
  /** What of IPVS is ours, for whoever comes after us to know. */
  virtualServers: 'ipvs-servers',
  /** Services' addresses on our interface. */
  boundIps: 'ipvs-ips',
} as const;

/** Does a frontend have an address, or is it a node port? */
export type FrontendShape = 'ip' | 'nodeport';
export const shapes: readonly FrontendShape[] = ['ip', 'nodeport'];

/** From the number that a frontend has in the maps below to the chain that it stands for. */
export const balancingMap = 'balancing';

/** Sets and maps that exist once for frontends with an address and once for node ports. */
export const maps = {
  service: { ip: 'service-ips', nodeport: 'service-nodeports' },
  policyLocal: { ip: 'policy-local-ips', nodeport: 'policy-local-nodeports' },
  shortCircuit: { ip: 'short-circuit-ips', nodeport: 'short-circuit-nodeports' },
  noEndpoint: { ip: 'no-endpoint-services', nodeport: 'no-endpoint-nodeports' },
  masquerade: { ip: 'masquerade-ips', nodeport: 'masquerade-nodeports' },
  masqueradeNode: { ip: 'masquerade-node-ips', nodeport: 'masquerade-node-nodeports' },
  affinity: { ip: 'affinity-ips', nodeport: 'affinity-nodeports' },
} as const;

/** What frontends have in service-* of which the client decides who serves it: external policy Local. */
export const policyLocalNumbers = { ip: '0:1', nodeport: '0:2' } as const;

/** The list of endpoints that a chain balances over: all usable in the cluster, or those on this node. */
export type ListName = 'cluster' | 'local';
export const lists: readonly ListName[] = ['cluster', 'local'];

export function endpointMap(shape: FrontendShape, list: ListName, protocol: Protocol): string {
  return endpointMaps[shape][list][protocol];
}

const ofProtocols = (name: string): Readonly<Record<Protocol, string>> => ({
  tcp: `${name}-tcp`,
  udp: `${name}-udp`,
  sctp: `${name}-sctp`,
});
/** Made once: every service keeps one of these names. */
const endpointMaps = {
  ip: { cluster: ofProtocols('cluster-endpoints'), local: ofProtocols('local-endpoints') },
  nodeport: { cluster: ofProtocols('nodeport-cluster-endpoints'), local: ofProtocols('nodeport-local-endpoints') },
} as const;

/** Maps from a frontend and a slot to an endpoint. */
export function isEndpointMap(set: string): boolean {
  return set.includes('-endpoints-');
}

/** The map in which the kernel itself remembers which client uses which endpoint. */
export function affinityMap(protocol: Protocol): string {
  return `affinity-${protocol}`;
}

/** Expressions that differ by family. */
export function fields(family: Family) {
  const original = (key: 'saddr' | 'daddr'): Expression => ({ kind: 'ct-original', key: `${family} ${key}` });
  const saddr = payload(family, 'saddr');
  const daddr = payload(family, 'daddr');
  const originalDaddr = original('daddr');
  const originalDport: Expression = { kind: 'ct-original', key: 'proto-dst' };
  return {
    saddr,
    daddr,
    originalSaddr: original('saddr'),
    originalDaddr,
    originalDport,
    /** What identifies a frontend before destination NAT, by its shape. */
    frontend: {
      ip: concat(daddr, l4proto, payload('th', 'dport')),
      nodeport: concat(l4proto, payload('th', 'dport')),
    },
    /** The same after it: what the connection was first sent to. */
    originalFrontend: {
      ip: concat(originalDaddr, l4proto, originalDport),
      nodeport: concat(l4proto, originalDport),
    },
  };
}
