import type { Backends } from './backends.ts';
import { describeFailures, Load, type LoadFailure } from './load.ts';
import type { ServiceProxy } from './service-proxy.ts';
import { sleep } from './wait.ts';

/** What the parts work with: a cluster on which the proxy under test runs. */
export interface Context {
  readonly proxy: ServiceProxy;
  /** What the proxy under test is compared with. */
  readonly kubeProxy: ServiceProxy;
  readonly backends: Backends;
  /** A line for the reader, at once. */
  readonly say: (line: string) => void;
}

export interface Part {
  readonly name: string;
  readonly about: string;
  /** Whether it says anything about another proxy than vipmap. */
  readonly onlyVipmap?: boolean;
  /** Says what it measures and gives what is wrong; throws where it cannot go on. */
  run(context: Context): Promise<readonly string[]>;
}

/** What is wrong with connections that were made while `act` ran; failures that `mayFail` accepts are counted only. */
export async function underLoad(
  context: Context,
  act: (load: Load) => Promise<readonly string[]>,
  mayFail: (failure: LoadFailure) => boolean = () => false,
): Promise<readonly string[]> {
  const load = new Load(context.backends);
  try {
    await load.started();
    await sleep(3000);
    const problems = await act(load);
    await sleep(3000);
    const { summary, failures } = await load.stop();
    context.say(`load: ${summary}`);
    const unexpected = failures.filter((failure) => !mayFail(failure));
    if (unexpected.length === 0) return problems;
    return [...problems, `${unexpected.length} connections failed:\n${describeFailures(unexpected)}`];
  } finally {
    load.kill();
  }
}

/** "3.2 s". */
export const inSeconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
