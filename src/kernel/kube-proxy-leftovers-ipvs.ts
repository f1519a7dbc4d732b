import { readFile } from 'node:fs/promises';
import { type Ip, parseIp } from '../net/ip.ts';
import type { KnownServers } from './kube-proxy-leftovers-ipset.ts';
import { count, failureOf, type Leftovers, nothing, runIfInstalled, some } from './kube-proxy-leftovers-report.ts';

/** A virtual server of IPVS; those by firewall mark are never kube-proxy's and are left out. */
export interface VirtualServer {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly address: Ip;
  readonly port: number;
}

/** The interface that kube-proxy puts services' addresses on; it is never up. */
const interfaceName = 'kube-ipvs0';

/** The node's addresses, and those on kube-proxy's interface. */
export interface Interfaces {
  /** `dummy`; undefined if there is no such interface. */
  readonly kind: string | undefined;
  readonly services: ReadonlySet<Ip>;
  readonly node: ReadonlySet<Ip>;
}

/**
 * The virtual servers in the kernel's words (/proc/net/ip_vs): `TCP  0A600001:01BB rr`, `TCP  [fd00:...:0001]:01BB rr`, in which
 * addresses and ports are hexadecimal.
 */
export function parseVirtualServers(text: string): readonly VirtualServer[] {
  return text.split('\n').flatMap((line) => {
    const [, name = '', four, six, port = ''] =
      /^(TCP|UDP|SCTP)\s+(?:([0-9A-F]{8})|\[([0-9a-fA-F:]+)\]):([0-9A-F]{4}) /.exec(line) ?? [];
    const octets = four?.match(/../g)?.map((octet) => parseInt(octet, 16));
    const address = parseIp(octets?.join('.') ?? six ?? '');
    if (address === undefined) return [];
    return [{ protocol: name.toLowerCase() as VirtualServer['protocol'], address, port: parseInt(port, 16) }];
  });
}

/**
 * Whether kube-proxy made it: its address is on kube-proxy's interface, or kube-proxy's sets name it. By the port alone it is told only
 * on the node's own addresses. Those of keepalived, kube-vip and others are none of this, and stay; kube-proxy's own clean-up takes
 * every virtual server away.
 */
export function isKubeProxyServer(server: VirtualServer, interfaces: Interfaces, known: KnownServers): boolean {
  const { protocol, address, port } = server;
  if (interfaces.kind === 'dummy' && interfaces.services.has(address)) return true;
  if (known.servers.has(`${address} ${protocol} ${port}`)) return true;
  return interfaces.node.has(address) && known.nodePorts.has(`${protocol} ${port}`);
}

interface IpAddress {
  readonly ifname?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly { readonly local?: string }[];
}

/** From `ip -json -details address show`. */
export function parseInterfaces(json: string): Interfaces {
  const links = JSON.parse(json || '[]') as readonly IpAddress[];
  const own = links.find(({ ifname }) => ifname === interfaceName);
  const addresses = (of: readonly IpAddress[]) => {
    const texts = of.flatMap(({ addr_info = [] }) => addr_info.map(({ local = '' }) => local));
    return new Set(texts.map(parseIp).filter((ip) => ip !== undefined));
  };
  return {
    kind: own === undefined ? undefined : (own.linkinfo?.info_kind ?? 'device'),
    services: addresses(own === undefined ? [] : [own]),
    node: addresses(links.filter((link) => link !== own)),
  };
}

export interface IpvsLeftovers extends Leftovers {
  /** Virtual servers of kube-proxy's are still there, and what they are told by must stay with them. */
  readonly hasServers: boolean;
}

/** The programs, and the kernel's list of virtual servers. */
export interface IpvsPaths {
  readonly ip: string;
  readonly ipvsadm: string;
  readonly servers: string;
}

const defaultPaths: IpvsPaths = { ip: 'ip', ipvsadm: 'ipvsadm', servers: '/proc/net/ip_vs' };

/** What is not kube-proxy's though it looks like it: ours in mode ipvs. */
export interface Kept {
  readonly ips: ReadonlySet<string>;
  /** By `10.96.0.10 . tcp . 80`. */
  readonly servers: ReadonlySet<string>;
}

const nothingKept: Kept = { ips: new Set(), servers: new Set() };

/** Removes kube-proxy's virtual servers, then its interface; where we use that too, only the addresses that are not ours. */
export async function removeVirtualServers(
  known: KnownServers,
  paths = defaultPaths,
  ours: Kept = nothingKept,
): Promise<IpvsLeftovers> {
  const all = await readVirtualServers(paths);
  const servers = all.filter(({ address, protocol, port }) => !ours.servers.has(`${address} . ${protocol} . ${port}`));
  const found = await runIfInstalled(paths.ip, ['-json', '-details', 'address', 'show']);
  const failure = found && failureOf(found);
  if (found === undefined || failure !== undefined) return unknownInterfaces(servers, failure);
  const interfaces = parseInterfaces(found.stdout);
  const isOurs = (server: VirtualServer) => isKubeProxyServer(server, interfaces, known);
  const others = servers.filter((server) => !isOurs(server));
  const kept = others.length > 0 ? [`${list(others)}: nothing shows kube-proxy to have made them`] : [];
  const { removed, left, reason } = await removeServers(servers.filter(isOurs), paths);
  if (left.length > 0) {
    const stays = `${list(left)}: ${reason}; ${interfaceName} and the sets of ipset stay with them, for they tell which are kube-proxy's`;
    return { ...nothing, removed, failed: [stays], kept, hasServers: true };
  }
  const link = await (ours.ips.size > 0
    ? removeAddresses(interfaces, ours, paths)
    : removeInterface(interfaces, paths));
  return { ...link, removed: [...removed, ...link.removed], kept: [...kept, ...link.kept], hasServers: false };
}

function unknownInterfaces(servers: readonly VirtualServer[], failure: string | undefined): IpvsLeftovers {
  const reason = failure ?? 'ip is not installed';
  const what = `interface ${interfaceName}`;
  const report = failure === undefined ? { notLookedFor: [`${what}: ${reason}`] } : { failed: [`${what}: ${reason}`] };
  if (servers.length === 0) return { ...nothing, ...report, hasServers: false };
  return { ...nothing, failed: [`${what} and ${list(servers)}: ${reason}`], hasServers: true };
}

async function readVirtualServers({ servers: file }: IpvsPaths): Promise<readonly VirtualServer[]> {
  // No such file: a kernel without IPVS.
  return parseVirtualServers(await readFile(file, 'utf8').catch(() => ''));
}

interface Removal {
  readonly removed: readonly string[];
  readonly left: readonly VirtualServer[];
  /** Why some are left. */
  readonly reason: string;
}

async function removeServers(servers: readonly VirtualServer[], paths: IpvsPaths): Promise<Removal> {
  if (servers.length === 0) return { removed: [], left: [], reason: '' };
  const commands = servers.map((server) => `-D ${optionOf[server.protocol]} ${print(server)}\n`).join('');
  // A server that is gone already costs a message, and the others are removed all the same.
  const result = await runIfInstalled(paths.ipvsadm, ['--restore'], commands);
  if (result === undefined) return { removed: [], left: servers, reason: 'ipvsadm is not installed' };
  const present = new Set((await readVirtualServers(paths)).map(keyOf));
  const left = servers.filter((server) => present.has(keyOf(server)));
  const gone = servers.filter((server) => !present.has(keyOf(server)));
  const reason = failureOf(result) ?? (result.stderr.trim().split('\n')[0] || 'the kernel still has them');
  return { removed: gone.length > 0 ? [list(gone)] : [], left, reason };
}

const optionOf = { tcp: '-t', udp: '-u', sctp: '--sctp-service' } as const;

function print({ address, port }: VirtualServer): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const keyOf = (server: VirtualServer) => `${print(server)}/${server.protocol}`;

function list(servers: readonly VirtualServer[]): string {
  return `${count(servers.length, 'virtual server')} of IPVS (${some(servers.map(keyOf))})`;
}

async function removeAddresses({ services }: Interfaces, ours: Kept, { ip }: IpvsPaths): Promise<Leftovers> {
  const others = [...services].filter((address) => !ours.ips.has(address));
  if (others.length === 0) return nothing;
  const what = `${others.length} address${others.length === 1 ? '' : 'es'} of ${interfaceName} (${some(others)})`;
  const script = others
    .map((address) => `address delete ${address}/${address.includes(':') ? 128 : 32} dev ${interfaceName}\n`)
    .join('');
  const result = await runIfInstalled(ip, ['-force', '-batch', '-'], script);
  const failure = result && failureOf(result);
  return failure === undefined ? { ...nothing, removed: [what] } : { ...nothing, failed: [`${what}: ${failure}`] };
}

async function removeInterface({ kind, services }: Interfaces, { ip }: IpvsPaths): Promise<Leftovers> {
  const what = `interface ${interfaceName}`;
  if (kind === undefined) return nothing;
  if (kind !== 'dummy') {
    return { ...nothing, kept: [`${what}: it is a ${kind}, and kube-proxy makes a dummy of that name`] };
  }
  const result = await runIfInstalled(ip, ['link', 'delete', interfaceName]);
  const failure = result && failureOf(result);
  if (failure !== undefined) return { ...nothing, failed: [`${what}: ${failure}`] };
  const number = services.size;
  return { ...nothing, removed: [`${what} with ${number} address${number === 1 ? '' : 'es'}`] };
}
