import type { Kernel } from '../kernel/kernel.ts';
import { whyNoLibc } from '../kernel/netlink/libc.ts';
import { NetlinkKernel } from '../kernel/netlink/netlink-kernel.ts';
import { RulesetMonitor } from '../kernel/netlink/monitor.ts';
import { type Reporter, UsageError } from './terminal.ts';

/** How long after its end a process of ours may still be named as the author of a change: events are read a little later. */
const rememberedMs = 10_000;

/** The processes that work for us on the kernel, by process id, as long as events may speak of them. */
export class OwnProcesses {
  readonly #startedMs = new Map<number, number>();

  readonly note = (pid: number): void => {
    const now = performance.now();
    this.#startedMs.delete(pid);
    this.#startedMs.set(pid, now);
    for (const [old, startedMs] of this.#startedMs) {
      // A run may take minutes; few are under way at once.
      if (this.#startedMs.size <= 64 || now - startedMs < rememberedMs) break;
      this.#startedMs.delete(old);
    }
  };

  has(pid: number): boolean {
    return this.#startedMs.has(pid);
  }
}

export type KernelWriter = 'auto' | 'netlink' | 'nft';

export interface Writers {
  readonly kernel: Kernel;
  /** The netlink socket that changes come from, if there is one. */
  readonly ownPortId?: number;
}

/** The quick way into the kernel for elements, over nft for all else; nft alone where that is asked for or the other cannot be had. */
export function openWriters(
  nft: Kernel,
  writer: KernelWriter,
  reporter: Reporter,
  onApplied: (writer: 'nft' | 'netlink', durationSeconds: number) => void = () => undefined,
): Writers {
  let byNft = 0;
  const measuredNft = measured(nft, (seconds) => {
    byNft++;
    onApplied('nft', seconds);
  });
  if (writer === 'nft') return { kernel: measuredNft };
  const netlink = NetlinkKernel.open(measuredNft);
  if (netlink === undefined) {
    const why = whyNoLibc() ?? 'the kernel has no netlink socket for it';
    if (writer === 'netlink') throw new UsageError(`--kernel-writer netlink cannot be had (${why}); use auto or nft`);
    reporter.warn(`elements are written by nft, which is slower: ${why}`);
    return { kernel: measuredNft };
  }
  let counted = 0;
  const kernel = measured(netlink, (seconds) => {
    // It hands on to nft what is not for netlink, which has counted that.
    if (byNft === counted) onApplied('netlink', seconds);
    counted = byNft;
  });
  return { kernel, ownPortId: netlink.portId };
}

function measured(kernel: Kernel, onApplied: (seconds: number) => void): Kernel {
  return {
    apply: async (transaction) => {
      if (transaction.commands.length === 0) return;
      const start = performance.now();
      await kernel.apply(transaction);
      onApplied((performance.now() - start) / 1000);
    },
    readTable: (family) => kernel.readTable(family),
    readElements: (family, set) => kernel.readElements(family, set),
    ...(kernel.lookUpElements && { lookUpElements: kernel.lookUpElements.bind(kernel) }),
  };
}

export interface KernelWatchOptions {
  readonly processes: OwnProcesses;
  /** A netlink socket of ours that changes the ruleset. */
  readonly ownPortId?: number;
  readonly reporter: Reporter;
  /** Somebody else changed our tables, or may have. */
  readonly onForeignChange: (reason: string) => void;
}

/** Looks once a fifth of a second whether somebody else changed our tables. Returns what ends it. */
export function watchKernel({ processes, ownPortId, reporter, onForeignChange }: KernelWatchOptions): () => void {
  const without = (why: string) =>
    reporter.warn(`changes that others make to our tables are noticed by the periodic audit only: ${why}`);
  try {
    const monitor = RulesetMonitor.open({
      isOurs: (portId) => portId === ownPortId || processes.has(portId),
      ...(ownPortId === undefined ? {} : { ownPortId }),
      onEvent: (event) => {
        switch (event.kind) {
          case 'foreign-change':
            return onForeignChange(`${event.program ?? 'another program'} changed table ${event.family} vipmap`);
          case 'overrun':
            return onForeignChange('more was changed at once than could be followed');
        }
      },
    });
    if (monitor !== undefined) return () => monitor.close();
    without(whyNoLibc() ?? 'netlink cannot be used here');
  } catch (error) {
    without(error instanceof Error ? error.message : String(error));
  }
  return () => undefined;
}
