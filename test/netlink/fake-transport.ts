import { MessageWriter, readMessages } from '../../src/kernel/netlink/message.ts';
import { NetlinkError } from '../../src/kernel/netlink/errors.ts';
import type { NetlinkTransport } from '../../src/kernel/netlink/socket.ts';

/** What a kernel that is played gives to a request: datagrams, or errors of recv. */
export type Replies = readonly (Buffer | NetlinkError)[];

/** A socket to a kernel that is played: for each request, what it is answered with. */
export class FakeTransport implements NetlinkTransport {
  readonly portId = 77;
  readonly requests: Buffer[] = [];
  isClosed = false;
  #waiting: (Buffer | NetlinkError)[] = [];
  readonly #answer: (request: Buffer) => Replies;

  constructor(answer: (request: Buffer) => Replies) {
    this.#answer = answer;
  }

  send(bytes: Uint8Array): void {
    const request = Buffer.from(bytes);
    this.requests.push(request);
    this.#waiting.push(...this.#answer(request));
  }
  sendAside(bytes: Uint8Array): Promise<void> {
    return Promise.resolve().then(() => this.send(bytes));
  }
  receive(): Buffer | undefined {
    const next = this.#waiting.shift();
    if (next instanceof NetlinkError) throw next;
    return next;
  }
  receiveAside(): Promise<Buffer | undefined> {
    return Promise.resolve().then(() => this.receive());
  }
  async receiveManyAside(): Promise<readonly Buffer[]> {
    const datagram = await this.receiveAside();
    return datagram === undefined ? [] : [datagram];
  }
  close(): void {
    this.isClosed = true;
  }
}

/** An answer of the kernel's: 0 for an ack, or a negative error number; with NETLINK_EXT_ACK's place of the fault where there is one. */
export function errorAnswer(sequence: number, error: number, offset?: number): Buffer {
  const bytes = Buffer.alloc(36 + (offset === undefined ? 0 : 8));
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(2, 4);
  bytes.writeUInt16LE(offset === undefined ? 0x100 : 0x300, 6);
  bytes.writeUInt32LE(sequence, 8);
  bytes.writeInt32LE(error, 16);
  if (offset !== undefined) {
    bytes.writeUInt16LE(8, 36);
    bytes.writeUInt16LE(2, 38);
    bytes.writeUInt32LE(offset, 40);
  }
  return bytes;
}

/** The end of a dump; NLM_F_DUMP_INTR as a flag says that it was interrupted. */
export function dumpEnd(error = 0, flags = 0): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32LE(20, 0);
  bytes.writeUInt16LE(3, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeInt32LE(error, 16);
  return bytes;
}

export function message(type: number, family: number, write: (writer: MessageWriter) => void): Buffer {
  const writer = new MessageWriter();
  const at = writer.beginMessage(type, 0, 1, family);
  write(writer);
  writer.endMessage(at);
  return Buffer.from(writer.bytes());
}

/** The sequence numbers in a request. */
export function sequencesOf(request: Buffer): number[] {
  return [...readMessages(request)].map(({ sequence }) => sequence);
}
