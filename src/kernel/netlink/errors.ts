import os from 'node:os';

/** A socket call that failed, a request that the kernel refused, or an answer that did not come (code ETIMEDOUT). */
export class NetlinkError extends Error {
  override readonly name: string = 'NetlinkError';
  /** The name of the error, e.g. `EMSGSIZE`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Bytes that are no netlink message: cut off, or an attribute of another length than its kind has. */
export class MalformedMessage extends NetlinkError {
  override readonly name = 'MalformedMessage';

  constructor(message: string) {
    super('EBADMSG', `netlink: ${message}`);
  }
}

/** The name of an error number, e.g. `EEXIST` for 17. */
export function errnoName(errno: number): string {
  return Object.entries(os.constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}
