import os from 'node:os';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { errnoName, NetlinkError } from './errors.ts';
import { type Libc, loadLibc } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

/** What requests and watches need of a socket; tests stand in for it. */
export interface NetlinkTransport {
  /** The socket's address, which the kernel puts into the messages that it causes. */
  readonly portId: number;
  /** Throws a NetlinkError. The kernel works off a request before this returns, and its answers wait in the socket. */
  send(bytes: Uint8Array): void;
  /** As send, but the kernel works while the event loop goes on: for requests that take it long. */
  sendAside(bytes: Uint8Array): Promise<void>;
  /** The next datagram, undefined if none waits. What it gives is overwritten by the next call. Throws a NetlinkError; ENOBUFS: datagrams were lost. */
  receive(): Buffer | undefined;
  /** As receive, but the kernel works while the event loop goes on: it makes the parts of a dump as they are received. */
  receiveAside(): Promise<Buffer | undefined>;
  /** As receiveAside, but all that wait, up to a thousand or so, none longer than manyBytes; empty if none waits. */
  receiveManyAside(): Promise<readonly Buffer[]>;
  close(): void;
}

/** Numbers of linux/netlink.h. netfilter: nf_tables and conntrack; generic: everything that has no number of its own, e.g. IPVS. */
const protocolNumbers = { netfilter: 12, generic: 16 } as const;

export interface NetlinkSocketOptions {
  /** Default netfilter. */
  readonly protocol?: keyof typeof protocolNumbers;
  /** Multicast groups to join. */
  readonly groups?: readonly number[];
  /** How much one request may hold; less where the process has no CAP_NET_ADMIN over the machine (a user namespace). */
  readonly sendBufferBytes?: number;
  /** How much may wait to be received. */
  readonly receiveBufferBytes?: number;
}

const defaultBufferBytes = 64 << 20;

// The kernel gives dumps in datagrams of up to 32 kB (NLMSG_GOODSIZE and netlink_recvmsg), to those who have room for them.
const datagramBytes = 1 << 17;

/** Enough for the answer about one element. */
const manyBytes = 1 << 9;
const manyCount = 1 << 10;

/** Room for many short datagrams, and the array of struct mmsghdr (recvmmsg(2)) that points there. */
class ManyDatagrams {
  readonly headers = Buffer.alloc(manyCount * mmsghdrBytes);
  readonly #vectors = Buffer.alloc(manyCount * iovecBytes);
  readonly #bytes = Buffer.alloc(manyCount * manyBytes);
  /** Views that were given before: mostly the next ones are as long. */
  readonly #views: Buffer[] = [];

  constructor(libc: Libc) {
    const [vectors, bytes] = [libc.address(this.#vectors), libc.address(this.#bytes)];
    for (let i = 0; i < manyCount; i++) {
      this.#vectors.writeBigUInt64LE(bytes + BigInt(i * manyBytes), i * iovecBytes);
      this.#vectors.writeBigUInt64LE(BigInt(manyBytes), i * iovecBytes + 8);
      this.headers.writeBigUInt64LE(vectors + BigInt(i * iovecBytes), i * mmsghdrBytes + msgIovAt);
      this.headers.writeBigUInt64LE(1n, i * mmsghdrBytes + msgIovAt + 8);
    }
  }

  first(count: number): readonly Buffer[] {
    const views: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      // One that was cut off is found so when it is read.
      const length = Math.min(this.headers.readUInt32LE(i * mmsghdrBytes + msgLenAt), manyBytes);
      const known = this.#views[i];
      const view = known?.length === length ? known : this.#bytes.subarray(i * manyBytes, i * manyBytes + length);
      this.#views[i] = view;
      views.push(view);
    }
    return views;
  }
}

// On 64-bit machines: struct msghdr has 56 bytes, and struct mmsghdr the length after it.
const iovecBytes = 16;
const mmsghdrBytes = 64;
const msgIovAt = 16;
const msgLenAt = 56;

/** A netlink socket in the network namespace of this process. */
export class NetlinkSocket implements NetlinkTransport {
  readonly portId: number;
  readonly #libc: Libc;
  readonly #scratch = Buffer.alloc(datagramBytes);
  #many: ManyDatagrams | undefined;
  #fd: number;

  /** Undefined where libc cannot be called (see whyNoLibc). Throws a NetlinkError where the kernel has no such socket. */
  static open(options: NetlinkSocketOptions = {}): NetlinkSocket | undefined {
    const libc = loadLibc();
    return libc && new NetlinkSocket(libc, options);
  }

  private constructor(libc: Libc, options: NetlinkSocketOptions) {
    this.#libc = libc;
    const { protocol = 'netfilter' } = options;
    this.#fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocolNumbers[protocol]);
    this.#check(`socket ${protocol}`, this.#fd);
    try {
      const address = Buffer.alloc(12);
      address.writeUInt16LE(AF_NETLINK, 0);
      this.#check('bind', libc.bind(this.#fd, address, address.length));
      this.#check('getsockname', libc.getsockname(this.#fd, address, int(address.length)));
      this.portId = address.readUInt32LE(4);
      this.#setBuffer(SO_SNDBUFFORCE, SO_SNDBUF, options.sendBufferBytes ?? defaultBufferBytes);
      this.#setBuffer(SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBufferBytes ?? defaultBufferBytes);
      // Errors with the offending attribute's place, and without a copy of the request. Old kernels know neither, and do without.
      this.#trySet(SOL_NETLINK, NETLINK_EXT_ACK, 1);
      this.#trySet(SOL_NETLINK, NETLINK_CAP_ACK, 1);
      for (const group of options.groups ?? []) {
        if (!this.#trySet(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)) this.#check(`join group ${group}`, -1);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  send(bytes: Uint8Array): void {
    this.#check('send', this.#libc.send(this.#fd, bytes, bytes.length, MSG_DONTWAIT));
  }

  async sendAside(bytes: Uint8Array): Promise<void> {
    const result = await this.#libc.sendAside(this.#fd, bytes, bytes.length, MSG_DONTWAIT);
    if (result < 0) throw failedCall('send', -result);
  }

  receive(): Buffer | undefined {
    const length = this.#libc.recv(this.#fd, this.#scratch, this.#scratch.length, MSG_DONTWAIT | MSG_TRUNC);
    return this.#received(length < 0 ? -this.#libc.errno() : length);
  }

  async receiveAside(): Promise<Buffer | undefined> {
    const { length } = this.#scratch;
    return this.#received(await this.#libc.recvAside(this.#fd, this.#scratch, length, MSG_DONTWAIT | MSG_TRUNC));
  }

  async receiveManyAside(): Promise<readonly Buffer[]> {
    const many = (this.#many ??= new ManyDatagrams(this.#libc));
    const count = await this.#libc.recvmmsgAside(this.#fd, many.headers, manyCount, MSG_DONTWAIT | MSG_TRUNC);
    if (count >= 0) return many.first(count);
    const { EAGAIN, EINTR } = os.constants.errno;
    if (count === -EAGAIN || count === -EINTR) return [];
    throw failedCall('recvmmsg', -count);
  }

  #received(lengthOrErrno: number): Buffer | undefined {
    // A datagram that is longer than there is room for is cut off, and found so when it is read.
    if (lengthOrErrno >= 0) return this.#scratch.subarray(0, lengthOrErrno);
    const { EAGAIN, EINTR } = os.constants.errno;
    if (lengthOrErrno === -EAGAIN || lengthOrErrno === -EINTR) return undefined;
    throw failedCall('recv', -lengthOrErrno);
  }

  /**
   * Lets the kernel drop datagrams whose first message says that the given socket caused it, before they take room here. An event
   * datagram of nf_tables is about one transaction only.
   */
  dropFrom(portId: number): void {
    const nlmsgPid = 12;
    // Classic BPF (linux/filter.h) loads in network order; the field is in the host's.
    const swapped = Buffer.from(int(portId)).readUInt32BE();
    const program = Buffer.concat([
      instruction(0x20, 0, 0, nlmsgPid), // ld [12]
      instruction(0x15, 0, 1, swapped), // jeq portId, next, one further
      instruction(0x06, 0, 0, 0), // ret 0: nothing of it
      instruction(0x06, 0, 0, 0xffff_ffff), // ret all of it
    ]);
    const pointer = Buffer.alloc(16);
    pointer.writeUInt16LE(program.length / 8, 0);
    pointer.writeBigUInt64LE(this.#libc.address(program), 8);
    const result = this.#libc.setsockopt(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, pointer, pointer.length);
    this.#check('setsockopt SO_ATTACH_FILTER', result);
  }

  close(): void {
    if (this.#fd >= 0) this.#libc.close(this.#fd);
    this.#fd = -1;
  }

  /** More than net.core.wmem_max and rmem_max takes CAP_NET_ADMIN; without it the kernel gives what those allow. */
  #setBuffer(force: number, plain: number, bytes: number): void {
    if (!this.#trySet(SOL_SOCKET, force, bytes)) this.#trySet(SOL_SOCKET, plain, bytes);
  }

  #trySet(level: number, name: number, value: number): boolean {
    return this.#libc.setsockopt(this.#fd, level, name, int(value), 4) === 0;
  }

  #check(call: string, result: number): void {
    if (result < 0) throw failedCall(call, this.#libc.errno());
  }
}

function failedCall(call: string, errno: number): NetlinkError {
  const code = errnoName(errno);
  return new NetlinkError(code, `netlink: ${call}: ${code}`);
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function instruction(code: number, jumpTrue: number, jumpFalse: number, k: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(jumpTrue, 2);
  bytes.writeUInt8(jumpFalse, 3);
  bytes.writeUInt32LE(k, 4);
  return bytes;
}

/**
 * The next datagram, waited for. Answers to requests are there when send returns, so that this normally does
 * not wait at all. Throws a NetlinkError, ETIMEDOUT if nothing comes.
 */
export async function receiveSoon(transport: NetlinkTransport, timeoutMs: number): Promise<Buffer> {
  const deadline = performance.now() + timeoutMs;
  for (let tries = 0; ; tries++) {
    const datagram = transport.receive();
    if (datagram !== undefined) return datagram;
    if (performance.now() >= deadline) {
      throw new NetlinkError('ETIMEDOUT', `netlink: the kernel did not answer within ${timeoutMs / 1000} s`);
    }
    if (tries < 3) await nextTurn();
    else await sleep(Math.min(tries, 20));
  }
}
