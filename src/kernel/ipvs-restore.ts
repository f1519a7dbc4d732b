import { type IpvsStep, printRestoreLine, printStep } from '../ruleset/ipvs/print-step.ts';
import type { FailedStep, KernelVirtualServer } from './ipvs-kernel.ts';
import { type Program, runProgram, wordsOf } from './ipvs-programs.ts';
import { addsAsEdits, explainRefusal, unacceptable, unmetSteps } from './ipvs-unmet.ts';
import { KernelError } from './kernel.ts';

/** ipvsadm's exit code for a line that it does not take; it stops there. */
const stoppedCode = 2;

/** So many times it is started again after a line where it stops, and so many steps are tried by themselves; more would take too long. */
const mostRuns = 16;
const mostAlone = 64;

/** A step that came to nothing, and what is tried in its place. */
interface Retry {
  readonly step: IpvsStep;
  readonly tried: IpvsStep;
}

type Read = () => Promise<ReadonlyMap<string, KernelVirtualServer>>;

/**
 * Carries the steps out by one `ipvsadm --restore` and gives those that failed.
 *
 * A refused line makes ipvsadm print the reason and go on; neither line nor object is named, and the exit code is the last line's. So
 * after any word the kernel's servers are read back: steps that came to nothing are run again by themselves, each prints one reason,
 * and in that order they belong together.
 */
export async function restoreSteps(program: Program, steps: readonly IpvsStep[], read: Read): Promise<FailedStep[]> {
  const failed: FailedStep[] = [];
  const accepted = steps.filter((step) => {
    const reason = unacceptable(step);
    if (reason !== undefined) failed.push(refused(step, reason));
    return reason === undefined;
  });
  if (accepted.length === 0) return failed;
  const first = await restore(program, accepted);
  if (first.words.length === 0 && first.exitCode === 0) return failed;
  const actual = await read();
  let pending: readonly Retry[] = unmetSteps(accepted, actual).map((step) => ({
    step,
    tried: addsAsEdits(step, actual),
  }));
  for (let runs = 1; pending.length > 0; runs++) {
    const result = await restore(
      program,
      pending.map(({ tried }) => tried),
    );
    const after = await read();
    const unmet = pending.filter(({ tried }) => unmetSteps([tried], after).length > 0);
    const hasStopped = result.exitCode === stoppedCode && runs < mostRuns;
    if (!hasStopped && result.words.length !== unmet.length) {
      failed.push(...(await tryAlone(program, unmet, result.words, read)));
      return failed;
    }
    // Each unmet step up to the one where it stopped has said one word; those after it have not been tried.
    const said = hasStopped ? Math.max(1, result.words.length) : unmet.length;
    for (const [i, { step }] of unmet.slice(0, said).entries()) failed.push(refused(step, result.words[i] ?? ''));
    pending = unmet.slice(said);
  }
  return failed;
}

/** Where words and steps cannot be matched, as when somebody else changes the same servers: each gets its own. */
async function tryAlone(
  program: Program,
  retries: readonly Retry[],
  words: readonly string[],
  read: Read,
): Promise<FailedStep[]> {
  const failed: FailedStep[] = [];
  const own: (string | undefined)[] = [];
  for (const { tried } of retries.slice(0, mostAlone)) own.push((await restore(program, [tried])).words[0]);
  const after = await read();
  for (const [i, { step, tried }] of retries.entries()) {
    if (unmetSteps([tried], after).length > 0) failed.push(refused(step, own[i] ?? [...new Set(words)].join(', ')));
  }
  return failed;
}

async function restore(program: Program, steps: readonly IpvsStep[]) {
  const lines = steps.map((step) => `${printRestoreLine(step)}\n`).join('');
  const result = await runProgram(program, ['--restore'], lines);
  return { words: wordsOf(result), exitCode: result.exitCode };
}

export function refused(step: IpvsStep, words: string): FailedStep {
  const reason = words === '' ? 'no reason was given' : words;
  const details = { command: printStep(step), stderr: words };
  return { step, error: new KernelError('refused', explainRefusal(step, reason), details) };
}
