import { aligned, Attributes } from './attributes.ts';
import { errnoName, MalformedMessage } from './errors.ts';

// linux/netlink.h
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
const NLMSG_OVERRUN = 4;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;
const NLA_F_NESTED = 0x8000;

// linux/netfilter/nfnetlink.h
export const NFNL_SUBSYS_CTNETLINK = 1;
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;

/** Bytes of a message's header; netfilter's messages have nfgenmsg after it, and generic ones genlmsghdr, which is as long. */
const headerBytes = 16;
const netfilterHeaderBytes = 20;

/** One message in a datagram. Attributes lie from start to end, after netfilter's own header. */
export interface Message {
  readonly buffer: Buffer;
  /** The subsystem times 256, and what is asked of it or told by it. */
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** In an event: who caused it. */
  readonly portId: number;
  /** AF_INET, AF_INET6 ...; 0 where there is none. Of generic netlink: the command. */
  readonly family: number;
  /** The place of the whole message, header first. */
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

/** The messages in a datagram, in order. Throws MalformedMessage at one that is cut off, after those before it. */
export function* readMessages(datagram: Buffer): Generator<Message> {
  let at = 0;
  while (at < datagram.length) {
    if (at + headerBytes > datagram.length) throw new MalformedMessage('a message is cut off');
    const length = datagram.readUInt32LE(at);
    if (length < headerBytes || length > datagram.length - at) throw new MalformedMessage('a message is cut off');
    const isNetfilters = length >= netfilterHeaderBytes;
    yield {
      buffer: datagram,
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      portId: datagram.readUInt32LE(at + 12),
      family: isNetfilters ? (datagram[at + 16] ?? 0) : 0,
      at,
      start: at + (isNetfilters ? netfilterHeaderBytes : headerBytes),
      end: at + length,
    };
    at += aligned(length);
  }
}

export function attributesOf(message: Message): Attributes {
  return new Attributes(message.buffer, message.start, message.end);
}

/** What the kernel says to a request: no code for an ack. */
export interface Answer {
  /** Of the request. */
  readonly sequence: number;
  /** E.g. `EEXIST`; undefined where all went well. */
  readonly code: string | undefined;
  /** The kernel's own words, which it has for a few errors. */
  readonly words?: string;
  /** Where in the request, from its header on, the attribute is that the kernel does not like. */
  readonly offset?: number;
}

/** The error or ack that a message is; undefined for all others. The end of a dump is one, too. */
export function readAnswer(message: Message): Answer | undefined {
  const { buffer, type, at, end, sequence } = message;
  if (type === NLMSG_OVERRUN) return { sequence, code: 'ENOBUFS' };
  if (type !== NLMSG_ERROR && type !== NLMSG_DONE) return undefined;
  const errorAt = at + headerBytes;
  if (errorAt + 4 > end) {
    if (type === NLMSG_DONE) return { sequence, code: undefined };
    throw new MalformedMessage('an error is cut off');
  }
  const error = buffer.readInt32LE(errorAt);
  const code = error < 0 ? errnoName(-error) : undefined;
  return { sequence, code, ...(type === NLMSG_ERROR ? readErrorDetails(message, errorAt + 4) : {}) };
}

function readErrorDetails({ buffer, flags, end }: Message, requestAt: number): { words?: string; offset?: number } {
  const details: { words?: string; offset?: number } = {};
  if ((flags & NLM_F_ACK_TLVS) === 0 || requestAt + headerBytes > end) return details;
  // A copy of the request's header stands here, and of all of it unless NLM_F_CAPPED.
  const copied = (flags & NLM_F_CAPPED) === 0 ? aligned(buffer.readUInt32LE(requestAt)) : headerBytes;
  for (const attribute = new Attributes(buffer, requestAt + copied, end); attribute.next();) {
    if (attribute.type === NLMSGERR_ATTR_MSG) details.words = attribute.text();
    if (attribute.type === NLMSGERR_ATTR_OFFS) details.offset = attribute.u32le();
  }
  return details;
}

/** Writes messages and their attributes into one growing buffer. What is opened must be closed, the innermost first. */
export class MessageWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 1 << 12) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, as a view that the next write may overwrite. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** What is being written into, which the next write may replace by a larger one. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Starts a message of netfilter's; the result is for endMessage. */
  beginMessage(type: number, flags: number, sequence: number, family = AF_UNSPEC, resource = 0): number {
    const at = this.#take(netfilterHeaderBytes);
    const buffer = this.#buffer;
    buffer.writeUInt32LE(0, at);
    buffer.writeUInt16LE(type, at + 4);
    buffer.writeUInt16LE(flags, at + 6);
    buffer.writeUInt32LE(sequence, at + 8);
    buffer.writeUInt32LE(0, at + 12);
    buffer[at + 16] = family;
    buffer[at + 17] = 0;
    buffer.writeUInt16BE(resource, at + 18);
    return at;
  }

  endMessage(at: number): void {
    this.#buffer.writeUInt32LE(this.#length - at, at);
  }

  /** A message already written gets another flag. */
  addFlag(at: number, flag: number): void {
    this.#buffer.writeUInt16LE(this.#buffer.readUInt16LE(at + 6) | flag, at + 6);
  }

  open(type: number): number {
    const at = this.#take(4);
    this.#buffer.writeUInt16LE(type | NLA_F_NESTED, at + 2);
    return at;
  }

  close(at: number): void {
    const length = this.#length - at;
    if (length > 0xffff) throw new MalformedMessage(`an attribute of ${length} bytes: 65,535 are the most`);
    this.#buffer.writeUInt16LE(length, at);
  }

  u8(type: number, value: number): void {
    // In two steps: making room may replace the buffer.
    const at = this.#attribute(type, 1);
    this.#buffer[at] = value;
  }
  u16be(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#buffer.writeUInt16BE(value, at);
  }
  u16le(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#buffer.writeUInt16LE(value, at);
  }
  u32le(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
  }
  u32be(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#buffer.writeUInt32BE(value >>> 0, at);
  }
  bytesOf(type: number, value: Uint8Array): void {
    const at = this.#attribute(type, value.length);
    this.#buffer.set(value, at);
  }
  /** An attribute of zeros, and the place of its value, to be filled in `buffer`. */
  blank(type: number, length: number): number {
    const at = this.#attribute(type, length);
    this.#buffer.fill(0, at, at + length);
    return at;
  }
  /** With the zero byte that nf_tables wants at the end of its names. */
  text(type: number, value: string): void {
    const length = Buffer.byteLength(value);
    const at = this.#attribute(type, length + 1);
    this.#buffer.write(value, at, 'utf8');
    this.#buffer[at + length] = 0;
  }

  /** The header of an attribute, and room for its value and padding. */
  #attribute(type: number, length: number): number {
    if (length > 0xffff - 4) throw new MalformedMessage(`an attribute of ${length} bytes: 65,531 are the most`);
    const at = this.#take(aligned(length + 4));
    this.#buffer.writeUInt16LE(length + 4, at);
    this.#buffer.writeUInt16LE(type, at + 2);
    this.#buffer.fill(0, at + 4 + length, this.#length);
    return at + 4;
  }

  #take(length: number): number {
    const at = this.#length;
    if (at + length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + length));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#length = at + length;
    return at;
  }
}
