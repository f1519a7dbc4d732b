import type { Ip } from '../net/ip.ts';

/** What makes an address unfit to be a destination of a Service's traffic. */
export type SpecialAddress = 'loopback' | 'link-local' | 'multicast' | 'unspecified';

const special: readonly (readonly [SpecialAddress, RegExp])[] = [
  ['loopback', /^(?:127\.|::1$)/],
  ['unspecified', /^(?:0\.0\.0\.0|::)$/],
  ['link-local', /^(?:169\.254\.|fe[89ab][0-9a-f]:)/],
  ['multicast', /^(?:22[4-9]\.|23\d\.|ff[0-9a-f]{2}:)/],
];

/** What is special about the address, or undefined. By its canonical text: ipaddr.js would take half a second for a large cluster. */
export function specialAddress(ip: Ip): SpecialAddress | undefined {
  return special.find(([, pattern]) => pattern.test(ip))?.[0];
}

export function isLoopback(ip: Ip): boolean {
  return specialAddress(ip) === 'loopback';
}
