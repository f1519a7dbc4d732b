import { MalformedMessage } from './errors.ts';

/** How many bytes a message or attribute of that length takes: the next one starts at a multiple of 4 (linux/netlink.h, NLA_ALIGN). */
export function aligned(length: number): number {
  return (length + 3) & ~3;
}

// Nested, and in network byte order: what a type's two highest bits may say besides.
const typeMask = 0x3fff;
const headerBytes = 4;

/**
 * Walks the attributes between two places of a buffer, without an object for each: a dump has millions.
 *
 *     for (const at = new Attributes(buffer, start, end); at.next(); ) if (at.type === 1) name = at.text();
 *
 * Every method throws MalformedMessage, and nothing else, where the bytes are not what is asked for.
 */
export class Attributes {
  readonly buffer: Buffer;
  /** Of the attribute that next() came to. */
  type = 0;
  /** Where its value lies. */
  start: number;
  end: number;
  #next: number;
  readonly #limit: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    if (start < 0 || start > end || end > buffer.length) throw new MalformedMessage('attributes outside the message');
    this.buffer = buffer;
    this.start = start;
    this.end = start;
    this.#next = start;
    this.#limit = end;
  }

  /** Goes to the next attribute; false if there is none. */
  next(): boolean {
    const at = this.#next;
    // The last one's padding may be missing.
    if (at >= this.#limit) return false;
    if (at + headerBytes > this.#limit) throw new MalformedMessage('an attribute is cut off');
    const length = this.buffer.readUInt16LE(at);
    if (length < headerBytes || at + length > this.#limit) throw new MalformedMessage('an attribute is cut off');
    this.type = this.buffer.readUInt16LE(at + 2) & typeMask;
    this.start = at + headerBytes;
    this.end = at + length;
    this.#next = at + aligned(length);
    return true;
  }

  /** The attributes inside this one. */
  nested(): Attributes {
    return new Attributes(this.buffer, this.start, this.end);
  }

  u8(): number {
    return this.buffer[this.#ofLength(1)] ?? 0;
  }
  u16be(): number {
    return this.buffer.readUInt16BE(this.#ofLength(2));
  }
  u16le(): number {
    return this.buffer.readUInt16LE(this.#ofLength(2));
  }
  u32be(): number {
    return this.buffer.readUInt32BE(this.#ofLength(4));
  }
  u32le(): number {
    return this.buffer.readUInt32LE(this.#ofLength(4));
  }
  /** The value up to its first zero byte, as UTF-8. */
  text(): string {
    const zero = this.buffer.indexOf(0, this.start);
    return this.buffer.toString('utf8', this.start, zero < 0 ? this.end : Math.min(zero, this.end));
  }
  /** A view, overwritten when the buffer is. */
  bytes(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }

  #ofLength(length: number): number {
    if (this.end - this.start !== length) {
      throw new MalformedMessage(`attribute ${this.type} has ${this.end - this.start} bytes, not ${length}`);
    }
    return this.start;
  }
}
