import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../test/cluster/command.ts';
import { NetlinkSocket } from '../../src/kernel/netlink/socket.ts';

/** linux/netfilter/nfnetlink.h */
const NFNLGRP_NFTABLES = 7;

/** Hears from the kernel of every change of rules that it has taken. Unlike `nft monitor` it needs no copy of the ruleset. */
export class CommitMonitor {
  readonly #socket: NetlinkSocket;

  constructor() {
    const socket = NetlinkSocket.open({ groups: [NFNLGRP_NFTABLES] });
    if (socket === undefined) throw new Error('netlink cannot be used: the package koffi is missing');
    this.#socket = socket;
  }

  /** Forgets what has been heard so far. */
  drain(): void {
    while (this.#socket.receive() !== undefined);
  }

  /**
   * The time, by performance.now(), at which a transaction with an IPv4 address in it was committed: to a millisecond, or half a percent of
   * the wait, so that looking takes no processor from who is waited for.
   */
  async committed(address: string, timeoutMs: number): Promise<number> {
    const bytes = Buffer.from(address.split('.').map(Number));
    const start = performance.now();
    for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs = performance.now() - start) {
      for (let datagram = this.#socket.receive(); datagram !== undefined; datagram = this.#socket.receive()) {
        if (datagram.includes(bytes)) return performance.now();
      }
      await sleep(Math.max(1, waitedMs / 200));
    }
    throw new Error(`no rule with ${address} within ${timeoutMs / 1000} s`);
  }

  close(): void {
    this.#socket.close();
  }
}

/** How many elements a map of IPv4 has, as nft lists them. */
export async function countElements(nft: string, table: string, map: string): Promise<number> {
  const text = await run(nft, ['-j', 'list', 'map', 'ip', table, map], { timeoutMs: 600_000 });
  const { nftables } = JSON.parse(text) as {
    readonly nftables: readonly { readonly map?: { readonly elem?: readonly unknown[] } }[];
  };
  return nftables.find(({ map }) => map !== undefined)?.map?.elem?.length ?? 0;
}

/** An empty kernel. What was in it is freed in the background, for longer the more it was. */
export async function flushRules(nft: string): Promise<void> {
  await run(nft, ['flush', 'ruleset'], { timeoutMs: 600_000 });
  await sleep(2000);
}
