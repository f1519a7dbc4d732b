import { join } from 'node:path';
import { fixtureNames } from '../fixtures.ts';
import type { Mode } from '../mode-differences.ts';

/** What is asked of a machine: a suite, or a part of it. */
export interface Request {
  readonly suite: SuiteName;
  /** Of suite packets alone, and needed there. */
  readonly mode?: Mode;
  /** Fixtures, or a part of the checks' names; empty: all. */
  readonly only: readonly string[];
}

/** What became of a request. Written by the machine, read outside. */
export interface Result {
  readonly seconds: number;
  /** By fixture or check: what was wrong, or nothing. */
  readonly faults: Readonly<Record<string, readonly string[]>>;
  /** By check: why it could not run. */
  readonly skipped: Readonly<Record<string, string>>;
  /** Why the suite did not come to an end. */
  readonly error?: string;
}

interface Suite {
  readonly about: string;
  /**
   * A script that prints one JSON object: name to a fault, to a list of faults, or to `SKIPPED` and why; '' and [] are right. Or a line
   * for each check, as inside.ts reads them.
   */
  readonly script: string;
  /** Its arguments, for each of the processes among which the work is divided. */
  readonly shares: (request: Request, processes: number) => readonly (readonly string[])[];
}

const tests = join(import.meta.dirname, '..');

/** The suites in the order in which they run. All are the ones of other folders, with a network namespace for each process. */
export const suites = {
  packets: {
    about: 'every fixture through the command line into the kernel, and its packets as real packets; needs a mode',
    script: join(tests, 'kernel', 'run-fixtures.ts'),
    shares: ({ mode = 'nftables', only }, processes) => {
      const names = only.length > 0 ? only : fixtureNames;
      const count = Math.min(processes, names.length);
      // By turns, since neighbours are alike and take alike long.
      return Array.from({ length: count }, (_, i) => [
        '--slow',
        '--mode',
        mode,
        ...names.filter((_name, n) => n % count === i),
      ]);
    },
  },
  kernel: {
    about: 'the kernel takes every compiled ruleset and gives the same back, and what else is promised of it',
    script: join(tests, 'kernel', 'run-kernel-checks.ts'),
    shares: ({ only }) => [only],
  },
  ipvs: {
    about: 'what is promised of IPVS, by netlink and by ipvsadm, with real packets',
    script: join(tests, 'ipvs', 'run-ipvs-checks.ts'),
    shares: () => [[]],
  },
  daemon: {
    about: 'the daemon in mode ipvs, with connections that stay and a load: leaving, restarts, others, changes of mode',
    script: join(tests, 'ipvs', 'run-daemon-checks.ts'),
    shares: () => [[]],
  },
  leftovers: {
    about:
      'the clean-up after kube-proxy: what needs IPVS (other checks only by name: the usual kernel has what they need)',
    script: join(tests, 'leftovers', 'run-leftovers-checks.ts'),
    shares: ({ only }) => [only.length > 0 ? only.slice(0, 1) : ['of mode ipvs virtual servers']],
  },
} as const satisfies Record<string, Suite>;

export type SuiteName = keyof typeof suites;

/** What npm test runs, in one machine. */
export const usualRequests: readonly Request[] = [
  { suite: 'packets', mode: 'nftables', only: [] },
  { suite: 'packets', mode: 'ipvs', only: [] },
  // Suite packets reads back every ruleset too, and hundreds at random take ten minutes here.
  { suite: 'kernel', only: ['!every compiled ruleset', '!drawn at random'] },
  { suite: 'ipvs', only: [] },
  { suite: 'daemon', only: [] },
  { suite: 'leftovers', only: [] },
];

/** `packets, mode nftables`. */
export function titleOf({ suite, mode }: Request): string {
  return mode === undefined ? suite : `${suite}, mode ${mode}`;
}
