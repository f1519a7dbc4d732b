import { run, type RunResult } from './run.ts';

/** What became of another proxy's leftovers, each as a line for people. */
export interface Leftovers {
  /** `table ip kube-proxy` */
  readonly removed: readonly string[];
  /** What looks like a leftover and stays on purpose, with the reason. */
  readonly kept: readonly string[];
  /** What could not be removed, with the reason. */
  readonly failed: readonly string[];
  /** What could not be looked for, with the program that is missing. */
  readonly notLookedFor: readonly string[];
}

export const nothing: Leftovers = { removed: [], kept: [], failed: [], notLookedFor: [] };

export function joinLeftovers(all: readonly Leftovers[]): Leftovers {
  return {
    removed: all.flatMap(({ removed }) => removed),
    kept: all.flatMap(({ kept }) => kept),
    failed: all.flatMap(({ failed }) => failed),
    notLookedFor: all.flatMap(({ notLookedFor }) => notLookedFor),
  };
}

/** A node with 20,000 services has some 100,000 chains, which iptables needs a while for. */
const timeoutMs = 300_000;

/** Runs a program to its end; undefined if it is not installed. */
export async function runIfInstalled(
  program: string,
  args: readonly string[],
  input = '',
): Promise<RunResult | undefined> {
  try {
    return await run(program, args, input, timeoutMs);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Why a run failed, in the program's words; undefined if it did not. */
export function failureOf({ exitCode, signal, timedOut, stderr }: RunResult): string | undefined {
  if (exitCode === 0) return undefined;
  if (timedOut) return `it did not end within ${timeoutMs / 1000} s and was stopped`;
  const words = stderr.split('\n').filter((line) => line.trim() !== '' && !/^\s*(?:#|Try |Perhaps )/.test(line));
  return words[0]?.trim() ?? (signal === null ? `exit code ${exitCode}` : `it ended by ${signal}`);
}

/** `a, b, c and 7 more` */
export function some(names: readonly string[], most = 5): string {
  const listed = names.slice(0, most).join(', ');
  return names.length > most ? `${listed} and ${names.length - most} more` : listed;
}

/** `1 chain`, `2 chains` */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
