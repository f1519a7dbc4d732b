import { join } from 'node:path';
import { clusterObjects } from '../generate.ts';
import { findBinaries } from '../kube-proxy/binaries.ts';
import { type Cluster, openCluster } from '../kube-proxy/cluster.ts';
import { measureRun } from '../kube-proxy/one-run.ts';
import { kubeProxy, vipmap } from '../kube-proxy/proxy.ts';
import { recordedRows } from '../kube-proxy/recorded.ts';
import { collectRows } from '../measure.ts';
import { type Context, printSize, type Question, type Row, type Size } from '../question.ts';

const name = 'beside-kube-proxy';

export const besideKubeProxy: Question = {
  name,
  title: 'How does it compare with kube-proxy?',
  about:
    'kube-proxy in mode nftables and vipmap, one after the other with one configuration, an empty kernel and the same objects in a real ' +
    'API server: from the start of the process, or from a request to the API server, until the kernel has the rules.',
  quick: ['100x2', '1000x10'],
  full: ['100x2', '1000x10', '5000x10', '10000x2', '10000x10', '20000x10'],
  run,
};

async function* run(context: Context): AsyncIterable<Row> {
  const { sizes, folder, say } = context;
  const binaries = await findBinaries();
  if (typeof binaries === 'string') {
    say(`kube-proxy cannot run here (${binaries}): what follows was recorded earlier`);
    yield* recordedRows(sizes);
    return;
  }
  const cluster = await openCluster(binaries, join(folder, 'cluster'));
  try {
    for (const size of sizes) {
      say(`${printSize(size)}: the API server gets its objects`);
      await cluster.fill(clusterObjects(size));
      yield* await measureSize(cluster, size, context);
    }
  } finally {
    await cluster.close();
  }
}

async function measureSize(cluster: Cluster, size: Size, { runs, say }: Context): Promise<readonly Row[]> {
  const rows = collectRows(name, size);
  // Above this kube-proxy takes minutes for a sync, and a run has several.
  const runsOfSize = size.services > 10_000 ? 1 : runs;
  const changes = size.services > 5000 ? 5 : 20;
  for (let run = 1; run <= runsOfSize; run++) {
    for (const proxy of [kubeProxy, vipmap]) {
      say(`${printSize(size)}: ${proxy.name}, run ${run} of ${runsOfSize}`);
      const measured = await measureRun(cluster, proxy, size, changes);
      rows.add(coldStart, proxy.name, 'ms', measured.coldStartMs);
      rows.add('first sync, by its own metric', proxy.name, 'ms', measured.firstSyncMs);
      rows.add(change, proxy.name, 'ms', ...measured.changesMs);
      rows.add(
        'one endpoint changed: event in hand to committed, by its own metric',
        proxy.name,
        'ms',
        ...measured.changeSyncsMs,
      );
      rows.add('memory: peak of the process and its children', proxy.name, 'MB', measured.memoryMegabytes);
      rows.add('restart with all rules there: process start to ready', proxy.name, 'ms', measured.restartMs);
    }
  }
  for (const what of [coldStart, change]) say(rows.summary(what));
  return rows.all();
}

const coldStart = 'cold start: process start to all rules in the kernel';
const change = 'one endpoint changed: request to the API server to committed in the kernel';
