import { compareServicePorts } from '../compile/nftables/claims.ts';
import type { Compiled } from '../compile/nftables/compile.ts';
import type { LiveRuleset } from '../compile/nftables/live-ruleset.ts';
import { serverOwner } from '../compile/ipvs/describe.ts';
import type { OwnerOf } from '../compile/nftables/owners.ts';
import type { FailedStep } from '../kernel/ipvs-kernel.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { ProxyState } from '../model/proxy-state.ts';
import { families } from '../net/ip.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import type { Ruleset } from '../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../ruleset/nftables/transaction.ts';
import { adopt } from './adopt.ts';
import { applyTransaction, type ApplyResult } from './apply-transaction.ts';
import { type Forgotten, forgetStaleAffinity } from './forget-affinity.ts';
import { planTransaction, splitAround } from './plan-transactions.ts';
import { readMost } from './read-ruleset.ts';
import { recordOf, type ServersKeeper } from './servers.ts';

/** What a state asks for, against what a kernel holds. */
export interface Comparison {
  readonly compiled: Compiled;
  readonly actual: Ruleset;
  readonly transaction: Transaction;
  /** Mode ipvs, or where it was before. */
  readonly steps: readonly Step[];
  readonly servers: ServersKeeper | undefined;
  readonly ownerOf: OwnerOf;
}

export interface Reconciliation extends Comparison, ApplyResult, Forgotten {
  readonly failedSteps: readonly FailedStep[];
}

export interface ReconcileOptions {
  readonly observe?: Observe;
  /** readMost, where somebody has begun it already. */
  readonly read?: Promise<Ruleset>;
  /** What keeps IPVS beside the tables, where that is used or was before. */
  readonly servers?: ServersKeeper | undefined;
  /** In another mode than ipvs, where that mode left virtual servers: what takes them away. */
  readonly openLeftovers?: () => Promise<ServersKeeper | undefined>;
}

/** Times of the parts of a run, in milliseconds. */
export type Observe = (part: 'read' | 'compile' | 'diff' | 'apply', durationMs: number) => void;
const unobserved: Observe = () => undefined;

/** Reads the kernel, compiles the state on the slots found there, and says what would have to change. Changes nothing. */
export async function compareWithKernel(
  kernel: Kernel,
  state: ProxyState,
  options: ReconcileOptions = {},
): Promise<Comparison> {
  const { observe = unobserved } = options;
  const lap = stopwatch(observe);
  const read = await (options.read ?? readMost(kernel));
  lap('read');
  const { servicePorts, ...node } = state;
  const sorted = [...servicePorts].sort(compareServicePorts);
  const { live, actual } = await adopt(kernel, node, sorted, { read, isThorough: true });
  lap('compile');
  const record = recordOf(actual);
  const servers =
    options.servers ?? (record.servers.size + record.ips.size > 0 ? await options.openLeftovers?.() : undefined);
  const steps = (await servers?.planWhole(live, record))?.steps ?? [];
  const transaction = planTransaction(live.ruleset, actual);
  lap('diff');
  return { compiled: live, actual, transaction, servers, steps, ownerOf: live.ownerOf };
}

/** Makes the kernel hold what the state asks for. Doing it again changes nothing. */
export async function reconcile(
  kernel: Kernel,
  state: ProxyState,
  options: ReconcileOptions = {},
): Promise<Reconciliation> {
  const { observe = unobserved } = options;
  const comparison = await compareWithKernel(kernel, state, options);
  const lap = stopwatch(observe);
  const { actual, compiled, transaction, servers, steps, ownerOf } = comparison;
  const [before, after] = splitAround(transaction, steps.length > 0, state.ipvs !== undefined);
  const first = await applyTransaction(kernel, before, ownerOf);
  // A service whose source ranges the kernel refused, for one, must not be reachable without them.
  const refused = new Set(first.setAside.map(({ owner }) => owner));
  const isRefused = (step: Step) =>
    refused.size > 0 && 'server' in step && step.verb !== 'delete' && refused.has(serverOwner(step.server, ownerOf));
  const wanted = steps.filter((step) => !isRefused(step));
  const firstFailed = (await servers?.apply(wanted)) ?? [];
  const last = await applyTransaction(kernel, after, ownerOf);
  const drained = servers?.hasPending === true ? await drain(kernel, servers, compiled, ownerOf, isRefused) : undefined;
  const parts = [first, last, ...(drained === undefined ? [] : [drained])];
  const result = {
    applied: parts.flatMap(({ applied }) => applied),
    setAside: parts.flatMap(({ setAside }) => setAside),
    steps: [...wanted.filter((step) => !firstFailed.some((failed) => failed.step === step)), ...(drained?.steps ?? [])],
  };
  // What failed was tried again.
  const failedSteps = drained?.failedSteps ?? firstFailed;
  // A table that was just made, or made anew, remembers nothing.
  const known = families.filter((family) => actual[family] !== undefined);
  const forgotten = await forgetStaleAffinity(
    kernel,
    known.map((family) => compiled.ruleset[family]),
  );
  lap('apply');
  return { ...comparison, ...result, failedSteps, ...forgotten };
}

/** What leaves and has no connections (any more) goes at once. */
async function drain(
  kernel: Kernel,
  servers: ServersKeeper,
  live: LiveRuleset,
  ownerOf: OwnerOf,
  isRefused: (step: Step) => boolean,
) {
  live.takeChanges();
  const plan = await servers.planPending(live);
  const transaction = live.takeChanges();
  const steps = servers.stepsOf(live, plan, transaction).filter((step) => !isRefused(step));
  const failedSteps = await servers.apply(steps);
  const result = await applyTransaction(kernel, transaction, ownerOf);
  servers.keepFailed(live);
  await applyTransaction(kernel, live.takeChanges(), ownerOf);
  return { steps, failedSteps, ...result };
}

function stopwatch(observe: Observe) {
  let start = performance.now();
  return (part: Parameters<Observe>[0]) => {
    const now = performance.now();
    observe(part, now - start);
    start = now;
  };
}
