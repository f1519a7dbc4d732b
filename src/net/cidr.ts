import ipaddr from 'ipaddr.js';
import { compareText, type Family, type Ip, parseIp } from './ip.ts';

/** A block of addresses, host bits zero, e.g. `{ family: 'ip', address: '10.244.0.0', prefixLength: 16 }`. */
export interface Cidr {
  readonly family: Family;
  readonly address: Ip;
  readonly prefixLength: number;
}

/** The block in canonical form, its host bits cleared, or undefined if the text is none. Sloppy octets and prefix lengths (`203.0.113.000/025`) are read as decimal. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text.trim());
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1]);
  if (match === null || ip === undefined) return undefined;
  const family: Family = ip.includes(':') ? 'ip6' : 'ip';
  const prefixLength = Number(match[2]);
  if (prefixLength > (family === 'ip' ? 32 : 128)) return undefined;
  const network =
    family === 'ip'
      ? ipaddr.IPv4.networkAddressFromCIDR(`${ip}/${prefixLength}`).toString()
      : ipaddr.IPv6.networkAddressFromCIDR(`${ip}/${prefixLength}`).toRFC5952String();
  return { family, address: network as Ip, prefixLength };
}

/** The block that is this one address. */
export function hostCidr(ip: Ip): Cidr {
  const family: Family = ip.includes(':') ? 'ip6' : 'ip';
  return { family, address: ip, prefixLength: family === 'ip' ? 32 : 128 };
}

/** As nft prints it: `10.244.0.0/16`, and a single address without its prefix length. */
export function printCidr(cidr: Cidr): string {
  const isHost = cidr.prefixLength === (cidr.family === 'ip' ? 32 : 128);
  return isHost ? cidr.address : `${cidr.address}/${cidr.prefixLength}`;
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  if ((cidr.family === 'ip6') !== ip.includes(':')) return false;
  return ipaddr.parse(ip).match(ipaddr.parse(cidr.address), cidr.prefixLength);
}

/** True if the block is the whole family: `0.0.0.0/0` or `::/0`. */
export function isWholeFamily(cidr: Cidr): boolean {
  return cidr.prefixLength === 0;
}

/**
 * The same addresses without blocks that lie in another one, sorted by value: the kernel refuses overlapping intervals. Blocks either lie
 * in one another or are apart, so in order of their first addresses a block can only lie in the last one kept.
 */
export function disjointCidrs(cidrs: readonly Cidr[]): readonly Cidr[] {
  if (cidrs.length < 2) return cidrs;
  const inOrder = cidrs
    .map((cidr) => ({ cidr, value: Buffer.from(ipaddr.parse(cidr.address).toByteArray()).toString('hex') }))
    .sort(
      (a, b) =>
        a.value.length - b.value.length || compareText(a.value, b.value) || a.cidr.prefixLength - b.cidr.prefixLength,
    );
  const kept: Cidr[] = [];
  for (const { cidr } of inOrder) {
    const last = kept.at(-1);
    if (last === undefined || !cidrContains(last, cidr.address)) kept.push(cidr);
  }
  return kept;
}
