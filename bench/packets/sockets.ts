import koffi from 'koffi';
import os from 'node:os';

/** The blocking socket calls of the C library: Node's own sockets take longer than the packets that are timed here. */

// Linux's numbers, the same on amd64 and arm64.
const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
const SOL_IP = 0;
const IP_PKTINFO = 8;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
export const SOL_TCP = 6;
export const TCP_DEFER_ACCEPT = 9;

// Null means the symbols of the running program, which has libc loaded whatever its file is called.
const libc = koffi.load(null);
const libcSocket = libc.func('int socket(int domain, int type, int protocol)');
const libcBind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const libcConnect = libc.func('int connect(int fd, const void *address, uint32_t length)');
const libcListen = libc.func('int listen(int fd, int backlog)');
const libcSetsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');
const libcSend = libc.func('intptr_t send(int fd, const void *bytes, size_t length, int flags)');
const libcRecv = libc.func('intptr_t recv(int fd, void *bytes, size_t length, int flags)');
const libcSendmsg = libc.func('intptr_t sendmsg(int fd, const void *message, int flags)');
const libcRecvmsg = libc.func('intptr_t recvmsg(int fd, void *message, int flags)');
const libcClose = libc.func('int close(int fd)');
const libcGetaffinity = libc.func('int sched_getaffinity(int thread, size_t length, void *mask)');
const libcSetaffinity = libc.func('int sched_setaffinity(int thread, size_t length, const void *mask)');

function check(call: string, result: number): number {
  if (result >= 0) return result;
  const errno = koffi.errno();
  throw new Error(`${call}: ${Object.entries(os.constants.errno).find(([, value]) => value === errno)?.[0] ?? errno}`);
}

export const openSocket = (type: number) => check('socket', libcSocket(AF_INET, type, 0));
export const close = (fd: number) => void check('close', libcClose(fd));
export const listen = (fd: number) => void check('listen', libcListen(fd, 4096));

/** A `struct sockaddr_in`; setAddress changes it. */
export function socketAddress(address: number, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes[os.endianness() === 'LE' ? 0 : 1] = AF_INET;
  setAddress(bytes, address, port);
  return bytes;
}

export function setAddress(bytes: Buffer, address: number, port: number): void {
  bytes.writeUInt16BE(port, 2);
  bytes.writeUInt32BE(address, 4);
}

export const bind = (fd: number, address: Buffer) => void check('bind', libcBind(fd, address, address.length));
export const connect = (fd: number, address: Buffer) => void check('connect', libcConnect(fd, address, address.length));
export const send = (fd: number, bytes: Buffer) => void check('send', libcSend(fd, bytes, bytes.length, 0));
export const receive = (fd: number, bytes: Buffer): number => check('recv', libcRecv(fd, bytes, bytes.length, 0));

/** The option's value as ints, or longs for those that take a `struct timeval`. */
export function setOption(fd: number, level: number, name: number, value: Int32Array | BigInt64Array): void {
  check(`setsockopt ${level} ${name}`, libcSetsockopt(fd, level, name, value, value.byteLength));
}

/** Connecting, sending and receiving fail after a second, so that nothing waits for a packet that was lost. */
export function giveUpSoon(fd: number): void {
  setOption(fd, SOL_SOCKET, SO_RCVTIMEO, oneSecond);
  setOption(fd, SOL_SOCKET, SO_SNDTIMEO, oneSecond);
}
const oneSecond = new BigInt64Array([1n, 0n]);

/** Closing resets the connection: neither side keeps anything of it. */
export function resetOnClose(fd: number): void {
  setOption(fd, SOL_SOCKET, SO_LINGER, lingerNot);
}
const lingerNot = new Int32Array([1, 0]);

/** Sends every datagram back from the address that it was sent to, forever; `whenIdle` runs after every second without one. */
export function echo(fd: number, whenIdle: () => void): never {
  setOption(fd, SOL_IP, IP_PKTINFO, new Int32Array([1]));
  giveUpSoon(fd);
  // One piece of memory, by hand: koffi's structs would cost more than the calls, and what only a pointer leads to may be freed.
  const memory = Buffer.alloc(2048);
  const [header, vector, name, control, bytes] = [0, 64, 128, 192, 256] as const;
  const start = koffi.address(memory);
  const pointer = (to: number, at: number) => memory.writeBigUInt64LE(start + BigInt(to), at);
  const size = (value: number, at: number) => memory.writeBigUInt64LE(BigInt(value), at);
  // struct msghdr and struct iovec of 64-bit machines.
  pointer(name, header);
  size(16, header + 8);
  pointer(vector, header + 16);
  size(1, header + 24);
  pointer(control, header + 32);
  size(bytes - control, header + 40);
  pointer(bytes, vector);
  size(memory.length - bytes, vector + 8);
  const asked = Buffer.from(memory.subarray(0, name));
  for (;;) {
    asked.copy(memory);
    const length = libcRecvmsg(fd, memory, 0) as number;
    if (length < 0) whenIdle();
    else {
      size(length, vector + 8);
      // The control message says which address of ours and which interface it came to; for sending the same one says where from.
      libcSendmsg(fd, memory, 0);
    }
  }
}

/** This thread stays on one of the processors it may use, counted from the last one. */
export function pinToProcessor(fromLast: number): void {
  const mask = Buffer.alloc(128);
  check('sched_getaffinity', libcGetaffinity(0, mask.length, mask));
  const allowed = Array.from({ length: mask.length * 8 }, (_, n) => n).filter(
    (n) => (mask[n >> 3] ?? 0) & (1 << (n & 7)),
  );
  const chosen = allowed.at(-1 - (fromLast % allowed.length)) ?? 0;
  mask.fill(0);
  mask[chosen >> 3] = 1 << (chosen & 7);
  check('sched_setaffinity', libcSetaffinity(0, mask.length, mask));
}
