import { networkInterfaces } from 'node:os';
import { type Ip, parseIp } from '../net/ip.ts';

/** The addresses of this node's interfaces that are up, loopback among them, in the order in which the kernel gives them. */
export function readNodeAddresses(): readonly Ip[] {
  const ips = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    // An IPv6 link-local address comes with its zone; node ports are never on those.
    .map(({ address }) => parseIp(address.split('%')[0] ?? ''));
  return [...new Set(ips.filter((ip) => ip !== undefined))];
}
