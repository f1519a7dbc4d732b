import os from 'node:os';
import koffi from 'koffi';

/** The few socket calls that Node has no API for: raw IP sockets and packet sockets. All sockets here are nonblocking. */

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;
export const IPPROTO_RAW = 255;

const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_IPV6 = 41;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const ETH_P_ALL = 0x0003;

// Null means the symbols of the running program, which has libc loaded whatever its file is called.
const libc = koffi.load(null);

koffi.struct('iovec', { iov_base: 'void *', iov_len: 'size_t' });
koffi.struct('msghdr', {
  msg_name: 'void *',
  msg_namelen: 'uint32_t',
  msg_iov: 'iovec *',
  msg_iovlen: 'size_t',
  msg_control: 'void *',
  msg_controllen: 'size_t',
  msg_flags: 'int',
});

const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');
const read = libc.func('intptr_t read(int fd, void *buffer, size_t length)');
const recvmsg = libc.func('intptr_t recvmsg(int fd, msghdr *message, int flags)');
const send = libc.func('intptr_t send(int fd, const void *buffer, size_t length, int flags)');
const sendto = libc.func(
  'intptr_t sendto(int fd, const void *buffer, size_t length, int flags, const void *address, uint32_t addressLength)',
);
const if_nametoindex = libc.func('unsigned int if_nametoindex(const char *name)');

/** A failed libc call. */
export class LibcError extends Error {
  readonly code: string;
  constructor(call: string, errno: number) {
    const code = Object.entries(os.constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.code = code;
  }
}

function check(call: string, result: number): number {
  if (result < 0) throw new LibcError(call, koffi.errno());
  return result;
}

/** A raw IP socket of the given protocol; IPPROTO_RAW gives one that sends packets with their IP header as given. */
export function openRawSocket(family: typeof AF_INET | typeof AF_INET6, protocol: number): number {
  const fd = check('socket', socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
  if (family === AF_INET6 && protocol !== IPPROTO_RAW) {
    const on = Buffer.from(new Int32Array([1]).buffer);
    check('setsockopt IPV6_RECVPKTINFO', setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, on, on.length));
  }
  return fd;
}

/** A packet socket that receives all frames of one device and sends frames out of it. */
export function openPacketSocket(device: string): number {
  const index: number = if_nametoindex(device);
  if (index === 0) throw new LibcError(`if_nametoindex ${device}`, koffi.errno());
  const fd = check('socket AF_PACKET', socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const address = Buffer.alloc(20);
  hostOrder(address, 0, AF_PACKET);
  address.writeUInt16BE(ETH_P_ALL, 2);
  new DataView(address.buffer, address.byteOffset).setInt32(4, index, os.endianness() === 'LE');
  check(`bind to ${device}`, bind(fd, address, address.length));
  return fd;
}

/** Sends a whole frame through a packet socket. */
export function sendFrame(fd: number, frame: Buffer): void {
  check('send', send(fd, frame, frame.length, 0));
}

/** Sends a whole IP packet through a raw socket of IPPROTO_RAW. Throws LibcError EPERM when a ruleset refuses it. */
export function sendRaw(fd: number, packet: Buffer, destination: Uint8Array): void {
  const v6 = destination.length === 16;
  const address = Buffer.alloc(v6 ? 28 : 16);
  hostOrder(address, 0, v6 ? AF_INET6 : AF_INET);
  address.set(destination, v6 ? 8 : 4);
  check('sendto', sendto(fd, packet, packet.length, 0, address, address.length));
}

/** The next frame or packet, undefined when none waits. IPv4 raw sockets give the IP header too, IPv6 ones do not. */
export function receive(fd: number, scratch: Buffer): Buffer | undefined {
  const length: number = read(fd, scratch, scratch.length);
  return length < 0 ? nothingWaits('read') : Buffer.from(scratch.subarray(0, length));
}

/** What an IPv6 raw socket received, with the addresses that its packet had. */
export interface ReceivedPayload {
  readonly source: Buffer;
  readonly destination: Buffer;
  readonly payload: Buffer;
}

/** The next packet of an IPv6 raw socket, undefined when none waits. */
export function receiveWithAddresses(fd: number, scratch: Buffer): ReceivedPayload | undefined {
  const name = Buffer.alloc(28);
  const control = Buffer.alloc(256);
  const header = {
    msg_name: name,
    msg_namelen: name.length,
    msg_iov: [{ iov_base: scratch, iov_len: scratch.length }],
    msg_iovlen: 1,
    msg_control: control,
    msg_controllen: control.length,
    msg_flags: 0,
  };
  const length: number = recvmsg(fd, header, 0);
  if (length < 0) return nothingWaits('recvmsg');
  const destination = packetInfoAddress(control);
  return { source: name.subarray(8, 24), destination, payload: Buffer.from(scratch.subarray(0, length)) };
}

// Only IPV6_PKTINFO is asked for, so that the first control message is it: its header (a size_t and two ints), then the address.
function packetInfoAddress(control: Buffer): Buffer {
  const start = koffi.sizeof('size_t') + 8;
  const type = control.readInt32LE(start - 4);
  if (type !== IPV6_PKTINFO) throw new Error(`recvmsg: a control message of type ${type}, not IPV6_PKTINFO`);
  return control.subarray(start, start + 16);
}

function nothingWaits(call: string): undefined {
  const errno = koffi.errno();
  if (errno !== os.constants.errno.EAGAIN) throw new LibcError(call, errno);
  return undefined;
}

function hostOrder(buffer: Buffer, offset: number, value: number): void {
  new DataView(buffer.buffer, buffer.byteOffset).setUint16(offset, value, os.endianness() === 'LE');
}
