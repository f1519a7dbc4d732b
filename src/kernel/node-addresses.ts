import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { type Ip, parseIp } from '../net/ip.ts';
import { interfaceName } from '../ruleset/ipvs/virtual-server.ts';

/** As os.networkInterfaces gives them, which leaves out interfaces that are down. */
type Interfaces = Readonly<Record<string, readonly { readonly address: string }[] | undefined>>;

/**
 * The addresses of this node's interfaces that are up, loopback among them, in the order in which the kernel gives them. Those of the
 * interface with services' addresses (interfaceName), ours or kube-proxy's, are never among them, even if somebody brought it up; an
 * address that another interface has too is.
 */
export function readNodeAddresses(interfaces: Interfaces = networkInterfaces()): readonly Ip[] {
  const ips = Object.entries(interfaces)
    .filter(([name]) => name !== interfaceName)
    .flatMap(([, addresses]) => addresses ?? [])
    // An IPv6 link-local address comes with its zone; node ports are never on those.
    .map(({ address }) => parseIp(address.split('%')[0] ?? ''));
  return [...new Set(ips.filter((ip) => ip !== undefined))];
}

/** Whether our interface exists, in this network namespace. */
export function hasOwnInterface(): boolean {
  return existsSync(`/sys/class/net/${interfaceName}`);
}
