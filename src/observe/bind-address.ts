import { parseIp } from '../net/ip.ts';
import type { ListenAddress } from './http-server.ts';

/** An address to listen on that cannot be read. */
export class BindAddressError extends Error {
  override readonly name = 'BindAddressError';
}

/**
 * The address to listen on, or undefined for `''`, which asks for no server: `127.0.0.1:10249`, `[::1]:10249`, an address alone with the
 * default port. `0.0.0.0:10256`, `[::]:10256` and `:10256` are the same, all addresses of both families, as they are to Go's net package
 * and so to kube-proxy. Throws a BindAddressError; host names are refused, since they may change under a server that listens.
 */
export function parseBindAddress(text: string, defaultPort: number): ListenAddress | undefined {
  if (text === '') return undefined;
  const [, six, four, digits] = /^(?:\[([^\]]*:[^\]]*)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  const host = digits === undefined ? text : (six ?? four ?? '');
  if (host === '') return checkedPort(text, { port });
  const ip = parseIp(host);
  if (ip === undefined) throw refusal(text, 'an IP address and port, such as 0.0.0.0:10256 or [::]:10256');
  return checkedPort(text, ip === '0.0.0.0' || ip === '::' ? { port } : { host: ip, port });
}

function checkedPort(text: string, address: ListenAddress): ListenAddress {
  if (address.port <= 65535) return address;
  throw refusal(text, 'an address with a port of at most 65535');
}

function refusal(text: string, accepted: string): BindAddressError {
  return new BindAddressError(`"${text}" is not ${accepted}`);
}

/** `0.0.0.0:10256`, `[::1]:10249`; `*:10256` for all addresses. */
export function printListenAddress({ host, port }: ListenAddress): string {
  if (host === undefined) return `*:${port}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
