import type { DetectLocal, NodePortAddresses, Problem } from '../model/proxy-state.ts';
import { type Cidr, cidrContains, hostCidr, isWholeFamily, printCidr } from '../net/cidr.ts';
import { compareText, families, type Family, familyName, familyOf, type Ip } from '../net/ip.ts';
import { isLoopback, specialAddress } from './addresses.ts';
import type { Node } from './objects.ts';
import type { Settings } from './settings.ts';

export type NodeIps = Readonly<Partial<Record<Family, Ip>>>;

/**
 * The node's own address by family: the first of each in status.addresses, internal ones before external, unless bindAddress names
 * another. Of a node without any such address, or without a Node object, the first of each family that were named stand in.
 */
export function nodeIpsOf(node: Node | undefined, bindAddress: Ip, named: readonly Ip[]): NodeIps {
  const ips: Partial<Record<Family, Ip>> = {};
  const known = node?.addresses ?? [];
  const candidates = known.length > 0 ? known : named.filter((ip) => !isLoopback(ip));
  for (const ip of candidates) ips[familyOf(ip)] ??= ip;
  if (specialAddress(bindAddress) !== 'unspecified') ips[familyOf(bindAddress)] = bindAddress;
  return ips;
}

/** What problems of settings are told of; the flag or file that a value came from is no longer known here. */
export const configuration = 'Configuration';

/**
 * Where node ports answer, by family. Blocks choose from the node's interface addresses; a family without a block answers on all, as
 * does `primary` where the node's address is unknown. Loopback never answers: nftables cannot do what iptables mode did there. In mode
 * ipvs it is always a list, and IPv6 link-local addresses, which mean nothing without their interface, are not in it, as for kube-proxy.
 */
export function nodePortAddressesOf(
  settings: Settings,
  nodeIps: NodeIps,
  interfaceAddresses: readonly Ip[],
  problems: Problem[],
): Readonly<Record<Family, NodePortAddresses>> {
  const entries = settings.nodePortAddresses;
  const loopback = entries.filter(
    (entry) => entry === 'localhost' || (typeof entry !== 'string' && isLoopback(entry.address)),
  );
  for (const entry of loopback) {
    const text = typeof entry === 'string' ? entry : printCidr(entry);
    const message = `nodePortAddresses "${text}" is loopback, where node ports are not offered; it is ignored`;
    problems.push({ object: configuration, message });
  }
  const isOnlyLocalhost = entries.length > 0 && entries.every((entry) => entry === 'localhost');
  const inFamily = (family: Family): NodePortAddresses => {
    if (isOnlyLocalhost) return { kind: 'some', ips: [] };
    const blocks = entries.flatMap((entry) => blocksOf(entry, family, nodeIps));
    const isAll = blocks.length === 0 || blocks.some(isWholeFamily);
    if (isAll && settings.mode === 'nftables') return { kind: 'all' };
    const candidates = interfaceAddresses.filter((ip) => familyOf(ip) === family && canAnswer(ip, settings.mode));
    const ips = isAll ? candidates : candidates.filter((ip) => blocks.some((block) => cidrContains(block, ip)));
    if (ips.length === 0 && candidates.length > 0) problems.push(answersNowhere(blocks, candidates, family));
    return { kind: 'some', ips: [...new Set(ips)].sort(compareText) };
  };
  return { ip: inFamily('ip'), ip6: inFamily('ip6') };
}

function canAnswer(ip: Ip, mode: Settings['mode']): boolean {
  if (isLoopback(ip)) return false;
  return mode === 'nftables' || familyOf(ip) === 'ip' || specialAddress(ip) !== 'link-local';
}

function blocksOf(entry: Settings['nodePortAddresses'][number], family: Family, nodeIps: NodeIps): readonly Cidr[] {
  switch (entry) {
    case 'localhost':
      return [];
    case 'all':
      return [{ family, address: (family === 'ip' ? '0.0.0.0' : '::') as Ip, prefixLength: 0 }];
    case 'primary': {
      const ip = nodeIps[family];
      return ip === undefined || isLoopback(ip) ? [] : [hostCidr(ip)];
    }
    default:
      return entry.family === family ? [entry] : [];
  }
}

function answersNowhere(blocks: readonly Cidr[], candidates: readonly Ip[], family: Family): Problem {
  const wanted = blocks.map(printCidr).join(', ');
  const message = `nodePortAddresses ${wanted} holds none of the node's ${familyName[family]} addresses (${candidates.join(', ')})`;
  return { object: configuration, message: `${message}; node ports answer nowhere in ${familyName[family]}` };
}

/**
 * How packets of this node's pods are told, by detectLocalMode. `usedFamilies` are those with services: only there is a missing block
 * worth a word.
 */
export function detectLocalOf(
  settings: Settings,
  node: Node | undefined,
  usedFamilies: readonly Family[],
  problems: Problem[],
): DetectLocal {
  switch (settings.detectLocalMode) {
    case 'ClusterCIDR':
      return byCidr('clusterCIDR', settings.clusterCidrs);
    case 'NodeCIDR':
      return byCidr(`podCIDRs of Node ${node?.name ?? '(not found)'}`, node?.podCidrs ?? []);
    case 'BridgeInterface':
      return byInterface('bridgeInterface', settings.bridgeInterface, false);
    case 'InterfaceNamePrefix':
      return byInterface('interfaceNamePrefix', settings.interfaceNamePrefix, true);
  }

  function byCidr(source: string, blocks: readonly Cidr[]): DetectLocal {
    const cidrs: Partial<Record<Family, Cidr>> = {};
    for (const block of blocks) cidrs[block.family] ??= block;
    for (const family of usedFamilies) {
      if (cidrs[family] === undefined) missing(`${source} names no ${familyName[family]} block`);
    }
    return families.some((family) => cidrs[family] !== undefined) ? { kind: 'cidr', cidrs } : { kind: 'none' };
  }

  function byInterface(field: string, name: string, isPrefix: boolean): DetectLocal {
    if (name !== '') return { kind: 'interface', name, isPrefix };
    missing(`detectLocal.${field} is empty`);
    return { kind: 'none' };
  }

  function missing(what: string): void {
    const message = `detectLocalMode "${settings.detectLocalMode}": ${what}; pods are not told from others: no short-circuit for them, and no masquerading on the way to cluster IPs`;
    problems.push({ object: configuration, message });
  }
}
