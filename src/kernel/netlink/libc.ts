import { createRequire } from 'node:module';
import os from 'node:os';
import type { load } from 'koffi';

/** The C library's socket calls, which Node has no API for. A call that fails gives -1, and `errno` says why. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  /** Writes the length of the address back, as an int. */
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  /** The same in a thread of Node's pool; gives the length, or the errno as a negative number. */
  sendAside(fd: number, bytes: Uint8Array, length: number, flags: number): Promise<number>;
  recv(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  /** The same in a thread of Node's pool; gives the length, or the errno as a negative number. */
  recvAside(fd: number, bytes: Uint8Array, length: number, flags: number): Promise<number>;
  /**
   * Receives several datagrams, to where an array of struct mmsghdr says, in a thread of Node's pool; gives how many, or the errno as a
   * negative number.
   */
  recvmmsgAside(fd: number, headers: Uint8Array, count: number, flags: number): Promise<number>;
  close(fd: number): number;
  /** Of the call before. */
  errno(): number;
  /** Where the bytes lie in memory, for structs that point at others. */
  address(bytes: Uint8Array): bigint;
}

let loaded: Libc | string | undefined;

/** The C library, or undefined where it cannot be called; whyNoLibc says why. */
export function loadLibc(): Libc | undefined {
  loaded ??= tryLoad();
  return typeof loaded === 'string' ? undefined : loaded;
}

/** Why loadLibc gives nothing, e.g. `koffi cannot be loaded (Cannot find module 'koffi')`; undefined where it gives something. */
export function whyNoLibc(): string | undefined {
  loadLibc();
  return typeof loaded === 'string' ? loaded : undefined;
}

function tryLoad(): Libc | string {
  if (os.platform() !== 'linux') return `netlink is a thing of Linux, and this is ${os.platform()}`;
  // Netlink is in the host's byte order, and messages are read and written as little-endian here.
  if (os.endianness() !== 'LE') return 'this machine is big-endian';
  try {
    return loadByKoffi();
  } catch (error) {
    return `koffi cannot be loaded (${(error as Error).message.split('\n')[0]})`;
  }
}

type KoffiFunction = ReturnType<ReturnType<typeof load>['func']>;

interface Koffi {
  readonly load: typeof load;
  errno(): number;
  address(value: Uint8Array): bigint;
}

function loadByKoffi(): Libc {
  // Not a static import: a native module that is missing or does not fit the C library must not end the program.
  const requireNative = createRequire(import.meta.url);
  const koffi = requireNative('koffi') as Koffi;
  // Null means the symbols of the running program, which has libc loaded whatever its file is called.
  const library = koffi.load(null);
  const send = library.func('intptr_t send(int fd, const void *bytes, size_t length, int flags)');
  const recv = library.func('intptr_t recv(int fd, void *bytes, size_t length, int flags)');
  const recvmmsg = library.func('int recvmmsg(int fd, void *headers, unsigned int count, int flags, void *timeout)');
  // koffi hands the errno of the other thread over with the result.
  const aside =
    (call: KoffiFunction, ...more: readonly unknown[]) =>
    (fd: number, bytes: Uint8Array, length: number, flags: number) =>
      new Promise<number>((resolve, reject) => {
        call.async(fd, bytes, length, flags, ...more, (error: Error | null, result: number) => {
          if (error !== null) reject(error);
          else resolve(result < 0 ? -koffi.errno() : result);
        });
      });
  return {
    socket: library.func('int socket(int domain, int type, int protocol)'),
    bind: library.func('int bind(int fd, const void *address, uint32_t length)'),
    getsockname: library.func('int getsockname(int fd, void *address, void *length)'),
    setsockopt: library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
    send,
    sendAside: aside(send),
    recv,
    recvAside: aside(recv),
    recvmmsgAside: aside(recvmmsg, null),
    close: library.func('int close(int fd)'),
    errno: () => koffi.errno(),
    address: (bytes) => koffi.address(bytes),
  };
}
