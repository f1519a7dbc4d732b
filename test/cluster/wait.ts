import { setTimeout as sleep } from 'node:timers/promises';

export { sleep };

/** The first value of `look` that is not undefined, and how long it took; fails after `timeoutMs` with the last error, if there was one. */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined>,
  everyMs = 250,
): Promise<{ readonly value: T; readonly ms: number }> {
  const start = performance.now();
  for (;;) {
    let problem = '';
    try {
      const value = await look();
      if (value !== undefined) return { value, ms: performance.now() - start };
    } catch (error) {
      problem = `: ${(error as Error).message}`;
    }
    if (performance.now() - start > timeoutMs) throw new Error(`${what}: not within ${timeoutMs / 1000} s${problem}`);
    await sleep(everyMs);
  }
}

/** Runs `work` on every item, so many at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++] as T);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** The value below which a share of the values is, by nearest rank; NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}
