/** How long something took, and the longest that the event loop was kept waiting by it. */
export async function longestWait<T>(
  run: () => Promise<T>,
): Promise<{ readonly longestMs: number; readonly tookMs: number; readonly result: T }> {
  const start = performance.now();
  let longestMs = 0;
  let last = start;
  let isRunning = true;
  const tick = () => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
    if (isRunning) setImmediate(tick);
  };
  setImmediate(tick);
  const result = await run();
  isRunning = false;
  const end = performance.now();
  return { longestMs: Math.max(longestMs, end - last), tookMs: end - start, result };
}
