import { type Family, familyOf, type Ip } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import type { Protocol } from '../../net/protocol.ts';

/** What tells a virtual server from others: a protocol, an address and a port. */
export interface VirtualServerId {
  readonly protocol: Protocol;
  readonly ip: Ip;
  readonly port: Port;
}

/** A real server: an endpoint to which IPVS translates (forwarding method masquerading, ipvsadm -m). */
export interface RealServer {
  readonly ip: Ip;
  readonly port: Port;
  /** 0: takes no new connections, while those that exist go on. */
  readonly weight: number;
}

/** How a virtual server chooses among its real servers. */
export interface Scheduling {
  /** As ipvsadm -s takes it, e.g. `rr`. */
  readonly scheduler: string;
  /** As ipvsadm -b takes them, sorted, e.g. `mh-port`. */
  readonly schedulerFlags: readonly string[];
  /** For so long a client stays with its real server (ipvsadm -p); absent: each connection is scheduled anew. */
  readonly persistenceSeconds?: number;
}

export interface VirtualServer extends VirtualServerId, Scheduling {
  /** By realServerKey. */
  readonly realServers: ReadonlyMap<string, RealServer>;
}

/** By virtualServerKey. */
export type VirtualServers = ReadonlyMap<string, VirtualServer>;

/** `10.96.0.10 . tcp . 80`: also how the companion table names it. */
export function virtualServerKey({ ip, protocol, port }: VirtualServerId): string {
  return `${ip} . ${protocol} . ${port}`;
}

/** The virtual server that virtualServerKey gave this name. */
export function parseVirtualServerKey(key: string): VirtualServerId {
  const [ip, protocol, port] = key.split(' . ') as [Ip, Protocol, string];
  return { ip, protocol, port: Number(port) as Port };
}

/** `10.244.1.5 . 8080`. */
export function realServerKey({ ip, port }: Pick<RealServer, 'ip' | 'port'>): string {
  return `${ip} . ${port}`;
}

/** `10.96.0.10:80` and `[fd00::a]:80`, as ipvsadm takes and prints it. */
export function hostPort({ ip, port }: Pick<RealServer, 'ip' | 'port'>): string {
  return familyOf(ip) === 'ip6' ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export function serverFamily({ ip }: VirtualServerId): Family {
  return familyOf(ip);
}

/** The interface that services' addresses are on, so that the kernel takes their packets in. A dummy, never up; kube-proxy's name, which other programs know. */
export const interfaceName = 'kube-ipvs0';
