import { compile, type Compiled, slotsOfRuleset } from '../compile/nftables/compile.ts';
import { indexOwners, type OwnerOf } from '../compile/nftables/owners.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { ProxyState } from '../model/proxy-state.ts';
import { families } from '../net/ip.ts';
import type { Ruleset } from '../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../ruleset/nftables/transaction.ts';
import { applyTransaction, type ApplyResult } from './apply-transaction.ts';
import { type Forgotten, forgetStaleAffinity } from './forget-affinity.ts';
import { planTransaction } from './plan-transactions.ts';
import { readRuleset } from './read-ruleset.ts';

/** What a state asks for, against what a kernel holds. */
export interface Comparison {
  readonly compiled: Compiled;
  readonly actual: Ruleset;
  readonly transaction: Transaction;
  readonly ownerOf: OwnerOf;
}

export interface Reconciliation extends Comparison, ApplyResult, Forgotten {}

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
  const { actual, compiled } = comparison;
  // A table that was just made, or made anew, remembers nothing.
  const known = families.filter((family) => actual[family] !== undefined);
  const forgotten = await forgetStaleAffinity(
    kernel,
    known.map((family) => compiled.ruleset[family]),
  );
  lap('apply');
  return { ...comparison, ...result, ...forgotten };
}

function stopwatch(observe: Observe) {
  let start = performance.now();
  return (part: Parameters<Observe>[0]) => {
    const now = performance.now();
    observe(part, now - start);
    start = now;
  };
}
