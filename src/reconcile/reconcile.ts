import { staleAffinity } from '../compile/nftables/affinity.ts';
import { affinityMap } from '../compile/nftables/names.ts';
import { compile, type Compiled, slotsOfRuleset } from '../compile/nftables/compile.ts';
import { indexOwners, type OwnerOf } from '../compile/nftables/owners.ts';
import { type Kernel, KernelError } from '../kernel/kernel.ts';
import type { ProxyState } from '../model/proxy-state.ts';
import { families } from '../net/ip.ts';
import { protocols } from '../net/protocol.ts';
import type { Ruleset, SetDeclaration, Table } from '../ruleset/nftables/ruleset.ts';
import type { ElementCommand, Transaction } from '../ruleset/nftables/transaction.ts';
import { applyTransaction, type ApplyResult } from './apply-transaction.ts';
import { planTransaction } from './plan-transactions.ts';
import { readRuleset } from './read-ruleset.ts';

/** What a state asks for, against what a kernel holds. */
export interface Comparison {
  readonly compiled: Compiled;
  readonly actual: Ruleset;
  readonly transaction: Transaction;
  readonly ownerOf: OwnerOf;
}

export interface Reconciliation extends Comparison, ApplyResult {
  /** Entries of remembered session affinity that led nowhere any more and were removed. */
  readonly forgotten: number;
  /** Why they could not be removed, if so: the rules themselves are in place all the same. */
  readonly forgetError?: KernelError;
}

/** Times of the parts of a run, in milliseconds. */
export type Observe = (part: 'read' | 'compile' | 'diff' | 'apply', durationMs: number) => void;
const unobserved: Observe = () => undefined;

/** Reads the kernel, compiles the state on the slots found there, and says what would have to change. Changes nothing. */
export async function compareWithKernel(kernel: Kernel, state: ProxyState, observe = unobserved): Promise<Comparison> {
  const lap = stopwatch(observe);
  const actual = await readRuleset(kernel);
  lap('read');
  const compiled = compile(state, slotsOfRuleset(actual));
  lap('compile');
  const transaction = planTransaction(compiled.ruleset, actual);
  const ownerOf = indexOwners(state.servicePorts);
  lap('diff');
  return { compiled, actual, transaction, ownerOf };
}

/** Makes the kernel hold what the state asks for. Doing it again changes nothing. */
export async function reconcile(kernel: Kernel, state: ProxyState, observe = unobserved): Promise<Reconciliation> {
  const comparison = await compareWithKernel(kernel, state, observe);
  const lap = stopwatch(observe);
  const result = await applyTransaction(kernel, comparison.transaction, comparison.ownerOf);
  const forgotten = await forgetStaleAffinity(kernel, comparison);
  lap('apply');
  return { ...comparison, ...result, ...forgotten };
}

/** How often a removal is tried anew: entries expire by themselves, and one that is gone makes the kernel refuse the whole transaction. */
const attempts = 3;

/**
 * Removes remembered affinity to endpoints that left. In a transaction of its own, after the main one: were it part of that, an entry
 * that expires in between would take the whole change down.
 */
async function forgetStaleAffinity(
  kernel: Kernel,
  { compiled, actual }: Comparison,
): Promise<Pick<Reconciliation, 'forgotten' | 'forgetError'>> {
  for (let attempt = 1; ; attempt++) {
    try {
      const commands: ElementCommand[] = [];
      for (const family of families) {
        // A table that was just made, or made anew, remembers nothing.
        if (actual[family] !== undefined) commands.push(...(await staleIn(kernel, compiled.ruleset[family])));
      }
      await kernel.apply({ commands });
      return { forgotten: commands.length };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.failure !== 'refused' || attempt === attempts) return { forgotten: 0, forgetError: error };
    }
  }
}

async function staleIn(kernel: Kernel, table: Table): Promise<readonly ElementCommand[]> {
  const commands: ElementCommand[] = [];
  for (const protocol of protocols) {
    const set = table.sets.get(affinityMap(protocol)) as SetDeclaration;
    const remembered = await kernel.readElements(table.family, set);
    for (const [key, value] of staleAffinity(table, protocol, remembered)) {
      commands.push({ kind: 'element', verb: 'delete', family: table.family, set, key, value });
    }
  }
  return commands;
}

function stopwatch(observe: Observe) {
  let start = performance.now();
  return (part: Parameters<Observe>[0]) => {
    const now = performance.now();
    observe(part, now - start);
    start = now;
  };
}
