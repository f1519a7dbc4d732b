import { sleep } from '../../test/cluster/wait.ts';
import { clusterObjects, endpointIp, endpointSlice, endpointsOf } from '../generate.ts';
import type { Size } from '../question.ts';
import type { Cluster } from './cluster.ts';
import { CommitMonitor, countElements, flushRules } from './kernel.ts';
import { PeakMemory } from './peak-memory.ts';
import { patienceMs, type Proxy, RunningProxy } from './proxy.ts';

/** What one run of a proxy gave; changes in their order. */
export interface Measured {
  readonly coldStartMs: number;
  readonly firstSyncMs: number;
  readonly changesMs: readonly number[];
  readonly changeSyncsMs: readonly number[];
  readonly memoryMegabytes: number;
  readonly restartMs: number;
}

/**
 * Starts a proxy with an empty kernel, changes endpoints one by one, and starts it once more. The cluster is left as it was, the kernel
 * empty.
 */
export async function measureRun(cluster: Cluster, proxy: Proxy, size: Size, changes: number): Promise<Measured> {
  const { nft } = cluster.binaries;
  const started: RunningProxy[] = [];
  const start = () => {
    const running = new RunningProxy(cluster, proxy);
    started.push(running);
    return running;
  };
  await flushRules(nft);
  try {
    const first = start();
    const memory = new PeakMemory(first.pid);
    try {
      const coldStartMs = await first.firstSync();
      const { count, ms } = await first.syncs();
      await checkServices(nft, proxy, size);
      const changed = await changeEndpoints(cluster, first, size, changes);
      const memoryMegabytes = memory.bytes / 1e6;
      await first.stop();
      const restartMs = await start().firstSync();
      await checkServices(nft, proxy, size);
      return { coldStartMs, firstSyncMs: ms / count, ...changed, memoryMegabytes, restartMs };
    } finally {
      memory.stop();
    }
  } finally {
    for (const each of started) await each.stop();
    await flushRules(nft);
    await cluster.fill(clusterObjects(size));
  }
}

/** Numbers that no size gives to an endpoint. */
const spareEndpoints = 120 << 16;

/** Replaces the first endpoint of one service after the other. */
async function changeEndpoints(cluster: Cluster, running: RunningProxy, size: Size, changes: number) {
  const changesMs: number[] = [];
  const changeSyncsMs: number[] = [];
  const monitor = new CommitMonitor();
  try {
    for (let index = 0; index < changes; index++) {
      const service = Math.floor((index * size.services) / changes);
      const [, ...others] = endpointsOf(service, size);
      const endpoint = spareEndpoints + index;
      const before = await settled(running);
      monitor.drain();
      const start = performance.now();
      const [end] = await Promise.all([
        monitor.committed(endpointIp(endpoint), patienceMs),
        cluster.write(endpointSlice(service, [endpoint, ...others])),
      ]);
      changesMs.push(end - start);
      const after = await running.syncs(before);
      changeSyncsMs.push((after.ms - before.ms) / (after.count - before.count));
    }
  } finally {
    monitor.close();
  }
  return { changesMs, changeSyncsMs };
}

/** Waits until it has been idle for longer than minSyncPeriod, so that no change has to wait for the one before it. */
async function settled(running: RunningProxy) {
  for (;;) {
    const { count } = await running.syncs();
    await sleep(1200 + Math.random() * 400);
    const now = await running.syncs();
    if (now.count === count) return now;
  }
}

async function checkServices(nft: string, { name, table, map }: Proxy, { services }: Size): Promise<void> {
  const count = await countElements(nft, table, map);
  if (count !== services)
    throw new Error(`${name} said it was ready with ${count} of ${services} services in map ${map}`);
}
