import type { Family } from '../../net/ip.ts';
import { protocolNumber, protocols } from '../../net/protocol.ts';
import type { Expression } from '../../ruleset/nftables/expression.ts';
import type { SetDeclaration } from '../../ruleset/nftables/ruleset.ts';
import { addressLength, readAddress, writeAddress } from './address-bytes.ts';
import { aligned } from './attributes.ts';

/** A part of a key or value: what its bytes mean. */
type Part = Family | 'port' | 'protocol' | 'number' | 'priority';

interface Field {
  readonly part: Part;
  readonly at: number;
}

/** How a key or a value lies in bytes, e.g. `10.96.0.10 . tcp . 80` in 12: every part of a concatenation begins at a multiple of 4. */
export interface Layout {
  readonly length: number;
  readonly fields: readonly Field[];
}

export interface SetLayout {
  readonly key: Layout;
  /** Undefined where the declaration does not say it: nft lists a map's data by type alone. */
  readonly data: Layout | 'verdict' | 'none' | undefined;
}

/** Undefined for sets of intervals, which are another thing in the kernel, and for what none of our sets has. */
export function layoutOfSet({ key, data, flags }: SetDeclaration): SetLayout | undefined {
  const keyLayout = layoutOfExpression(key);
  if (flags.includes('interval') || keyLayout === undefined) return undefined;
  if (data === undefined) return { key: keyLayout, data: 'none' };
  return { key: keyLayout, data: data === 'verdict' ? data : layoutOfExpression(data) };
}

function layoutOfExpression(expression: Expression): Layout | undefined {
  return layout(expression.kind === 'concat' ? expression.parts.map(partOf) : [partOf(expression)]);
}

function layout(parts: readonly (Part | undefined)[]): Layout | undefined {
  const fields: Field[] = [];
  let length = 0;
  for (const part of parts) {
    if (part === undefined) return undefined;
    fields.push({ part, at: length });
    // A part that stands alone is not padded.
    length += parts.length === 1 ? partLength(part) : aligned(partLength(part));
  }
  return fields.length === 0 ? undefined : { length, fields };
}

function partOf(expression: Expression): Part | undefined {
  switch (expression.kind) {
    case 'payload':
      if (expression.field === 'dport') return 'port';
      return expression.protocol === 'ip' || expression.protocol === 'ip6' ? expression.protocol : undefined;
    case 'ct-original':
      if (expression.key === 'proto-dst') return 'port';
      return expression.key.startsWith('ip6') ? 'ip6' : 'ip';
    case 'meta':
      if (expression.key === 'iifname') return undefined;
      return expression.key === 'l4proto' ? 'protocol' : 'priority';
    case 'random':
      return 'number';
    case 'ct':
    case 'fib-type':
    case 'concat':
      return undefined;
  }
}

function partLength(part: Part): number {
  switch (part) {
    case 'ip':
    case 'ip6':
      return addressLength(part);
    case 'port':
      return 2;
    case 'protocol':
      return 1;
    case 'number':
    case 'priority':
      return 4;
  }
}

/** nft's own numbers for types (datatype.h, enum datatypes), which the kernel keeps for it: 6 bits for each part of a concatenation. */
const partOfType: ReadonlyMap<number, Part> = new Map([
  [7, 'ip'],
  [8, 'ip6'],
  [12, 'protocol'],
  [13, 'port'],
  [23, 'priority'],
]);

/** The layout of what nft declared by this type; undefined for parts of other types. */
export function layoutOfType(type: number): Layout | undefined {
  const parts: (Part | undefined)[] = [];
  for (let rest = type; rest > 0; rest = rest >>> 6) parts.unshift(partOfType.get(rest & 0x3f));
  return layout(parts);
}

const protocolNames = new Map<number, string>(protocols.map((protocol) => [protocolNumber[protocol], protocol]));

/** The text of what lies there, in the one form that Elements has, e.g. `10.96.0.10 . tcp . 80`. */
export function readText(bytes: Buffer, at: number, { fields }: Layout): string {
  let text = '';
  for (const field of fields) {
    const part = readPart(bytes, at + field.at, field.part);
    text = text === '' ? part : `${text} . ${part}`;
  }
  return text;
}

function readPart(bytes: Buffer, at: number, part: Part): string {
  switch (part) {
    case 'ip':
    case 'ip6':
      return readAddress(bytes, at, part);
    case 'port':
      return String(bytes.readUInt16BE(at));
    case 'protocol': {
      const number = bytes[at] ?? 0;
      return protocolNames.get(number) ?? String(number);
    }
    case 'number':
      // What numgen draws, in the host's byte order, unlike what comes from packets.
      return String(bytes.readUInt32LE(at));
    case 'priority':
      // As tc(8) writes it: two numbers of 16 bits, in hexadecimal.
      return `${bytes.readUInt16LE(at + 2).toString(16)}:${bytes.readUInt16LE(at).toString(16)}`;
  }
}

/** Writes a text where zeros are; false if the text is not of that layout. */
export function writeText(bytes: Buffer, at: number, { fields }: Layout, text: string): boolean {
  let start = 0;
  let left = fields.length;
  for (const field of fields) {
    left--;
    const end = left === 0 ? text.length : text.indexOf(' . ', start);
    if (end < 0 || !writePart(bytes, at + field.at, field.part, text.slice(start, end))) return false;
    start = end + 3;
  }
  return true;
}

function writePart(bytes: Buffer, at: number, part: Part, text: string): boolean {
  switch (part) {
    case 'ip':
    case 'ip6':
      return writeAddress(bytes, at, part, text);
    case 'port': {
      const port = parseNumber(text, 0xffff);
      if (port !== undefined) bytes.writeUInt16BE(port, at);
      return port !== undefined;
    }
    case 'protocol': {
      const number = protocolNumber[text as keyof typeof protocolNumber] ?? parseNumber(text, 0xff);
      if (number !== undefined) bytes[at] = number;
      return number !== undefined;
    }
    case 'number': {
      const number = parseNumber(text, 0xffff_ffff);
      if (number !== undefined) bytes.writeUInt32LE(number, at);
      return number !== undefined;
    }
    case 'priority': {
      const [, major, minor] = handle.exec(text) ?? [];
      if (major === undefined || minor === undefined) return false;
      bytes.writeUInt16LE(parseInt(major, 16), at + 2);
      bytes.writeUInt16LE(parseInt(minor, 16), at);
      return true;
    }
  }
}

const handle = /^([\da-f]{1,4}):([\da-f]{1,4})$/;
const digits = /^\d{1,10}$/;

function parseNumber(text: string, max: number): number | undefined {
  const number = digits.test(text) ? Number(text) : Number.NaN;
  return number <= max ? number : undefined;
}
