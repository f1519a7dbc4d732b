import ipaddr from 'ipaddr.js';

/** An IPv4 address in canonical text, e.g. `10.96.0.10`; two are equal exactly if their text is. */
export type IPv4 = string & { readonly __family: 'ip' };
/** An IPv6 address in canonical text (RFC 5952), e.g. `fd00:10:96::a`. */
export type IPv6 = string & { readonly __family: 'ip6' };
export type Ip = IPv4 | IPv6;

/** nft's word for an address family; also the family of the tables that we write. */
export type Family = 'ip' | 'ip6';
export const families: readonly Family[] = ['ip', 'ip6'];

export const familyName: Readonly<Record<Family, string>> = { ip: 'IPv4', ip6: 'IPv6' };

export function familyOf(ip: Ip): Family {
  return ip.includes(':') ? 'ip6' : 'ip';
}

const canonicalIPv4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.|$)){4}(?<!\.)$/;
const paddedIPv4 = /^\d+(?:\.\d+){3}$/;

/**
 * The address in canonical form, or undefined if the text is none.
 *
 * Old objects hold sloppy addresses: `172.30.0.041` is read as decimal (as Go's ParseIPSloppy does), not as octal, and an
 * IPv4-mapped IPv6 address is the IPv4 address that it maps. A zone (`fe80::1%eth0`) is not accepted.
 */
export function parseIp(text: string): Ip | undefined {
  if (canonicalIPv4.test(text)) return text as IPv4;
  if (paddedIPv4.test(text)) {
    const octets = text.split('.').map(Number);
    return octets.every((octet) => octet <= 255) ? (octets.join('.') as IPv4) : undefined;
  }
  const plain = withoutDottedTail(text);
  if (text.includes('%') || !ipaddr.IPv6.isValid(plain)) return undefined;
  const address = ipaddr.IPv6.parse(plain);
  if (address.isIPv4MappedAddress()) return address.toIPv4Address().toString() as IPv4;
  return address.toRFC5952String() as IPv6;
}

/** `::1.2.3.4` as `::102:304`: ipaddr.js takes every such address for an IPv4-mapped one (`::ffff:1.2.3.4`). */
function withoutDottedTail(text: string): string {
  return text.replace(/(?<=:)\d+\.\d+\.\d+\.\d+$/, (tail) => {
    if (!canonicalIPv4.test(tail)) return tail;
    const [a = 0, b = 0, c = 0, d = 0] = tail.split('.').map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
}

/** Orders text by code units: the same everywhere, unlike localeCompare. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
