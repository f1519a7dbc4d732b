import { type Family, type Ip, parseIp } from '../../net/ip.ts';

/** How many bytes an address of that family has. */
export function addressLength(family: Family): 4 | 16 {
  return family === 'ip' ? 4 : 16;
}

/** The address in these 4 or 16 bytes, in the canonical form that parseIp gives: an IPv4-mapped IPv6 address is the IPv4 address. */
export function readAddress(bytes: Uint8Array, at: number, family: Family): Ip {
  return (family === 'ip' ? readIPv4(bytes, at) : readIPv6(bytes, at)) as Ip;
}

function readIPv4(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

const groups = new Uint16Array(8);

function readIPv6(bytes: Uint8Array, at: number): string {
  for (let i = 0; i < 8; i++) groups[i] = ((bytes[at + 2 * i] ?? 0) << 8) | (bytes[at + 2 * i + 1] ?? 0);
  // The first of the longest runs of zeros is left out, if it is longer than one (RFC 5952, section 4.2).
  let gapStart = -1;
  let gapLength = 1;
  for (let i = 0, zeros = 0; i < 8; i++) {
    zeros = groups[i] === 0 ? zeros + 1 : 0;
    if (zeros > gapLength) [gapStart, gapLength] = [i - zeros + 1, zeros];
  }
  if (gapStart === 0 && gapLength === 5 && groups[5] === 0xffff) return readIPv4(bytes, at + 12);
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === gapStart) {
      text += '::';
      i += gapLength - 1;
    } else {
      if (text !== '' && !text.endsWith('::')) text += ':';
      text += groups[i]?.toString(16);
    }
  }
  return text;
}

/** Writes an address given in canonical form; false, with nothing or anything written, if the text is no address of that family. */
export function writeAddress(bytes: Uint8Array, at: number, family: Family, text: string): boolean {
  if (family === 'ip') return writeIPv4(bytes, at, text);
  if (text.includes(':')) return writeIPv6(bytes, at, text);
  bytes.fill(0, at, at + 10);
  bytes.fill(0xff, at + 10, at + 12);
  return writeIPv4(bytes, at + 12, text);
}

// By hand: a transaction may have several hundred thousand addresses.
function writeIPv4(bytes: Uint8Array, at: number, text: string): boolean {
  let octet = 0;
  let digits = 0;
  let count = 0;
  for (let i = 0; i <= text.length; i++) {
    const char = i < text.length ? text.charCodeAt(i) : dot;
    if (char === dot) {
      if (digits === 0 || octet > 255 || count === 4) return false;
      bytes[at + count++] = octet;
      octet = 0;
      digits = 0;
    } else if (char >= zero && char <= zero + 9 && digits < 3) {
      octet = octet * 10 + char - zero;
      digits++;
    } else return false;
  }
  return count === 4;
}

const dot = '.'.charCodeAt(0);
const zero = '0'.charCodeAt(0);
const group = /^[\da-f]{1,4}$/;

function writeIPv6(bytes: Uint8Array, at: number, text: string): boolean {
  const canonical = text.includes('.') ? parseIp(text) : text;
  if (canonical === undefined || !canonical.includes(':')) return false;
  const [head = '', tail, rest] = canonical.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = 8 - before.length - after.length;
  if (rest !== undefined || (tail === undefined ? gap !== 0 : gap < 1)) return false;
  let place = at;
  const put = (texts: readonly string[]) => {
    for (const each of texts) {
      if (!group.test(each)) return false;
      const value = parseInt(each, 16);
      bytes[place++] = value >> 8;
      bytes[place++] = value & 0xff;
    }
    return true;
  };
  if (!put(before)) return false;
  bytes.fill(0, place, place + 2 * gap);
  place += 2 * gap;
  return put(after);
}
