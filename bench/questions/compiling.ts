import { compile } from '../../src/compile/nftables/compile.ts';
import type { ProxyState } from '../../src/model/proxy-state.ts';
import { planTransaction } from '../../src/reconcile/plan-transactions.ts';
import { ClusterStore, observe, type WatchedKind } from '../../src/source/cluster-store.ts';
import { clusterObjects } from '../generate.ts';
import { collectRows } from '../measure.ts';
import { stateOptions } from '../node-rig.ts';
import type { Context, Question, Row, Size } from '../question.ts';

export const compiling: Question = {
  name: 'compiling',
  title: 'What do compiling and diffing cost, without a kernel?',
  about:
    'A state in memory to a ruleset, and that to the transaction of a first load, for each service; a service has one port. ' +
    'Allocated: what the heap grew by, garbage included.',
  quick: ['1000x2', '10000x2'],
  full: ['1000x2', '3000x2', '10000x2', '30000x2', '100000x2'],
  run,
};

async function* run({ sizes, runs, say }: Context): AsyncIterable<Row> {
  await Promise.resolve();
  // V8 compiles what is used often.
  const warm = stateOf({ services: 2_000, endpoints: 2 });
  for (let i = 0; i < 20; i++) planTransaction(compile(warm).ruleset, {});
  for (const size of sizes) {
    const rows = collectRows('compiling', size);
    const state = stateOf(size);
    for (let i = 0; i < Math.max(runs, 5); i++) {
      globalThis.gc?.();
      const heapBefore = process.memoryUsage().heapUsed;
      const start = performance.now();
      const { ruleset } = compile(state);
      const compiled = performance.now();
      const { commands } = planTransaction(ruleset, {});
      const end = performance.now();
      const heapAfter = process.memoryUsage().heapUsed;
      if (commands.length < size.services * size.endpoints) throw new Error('too few commands');
      rows.add(whole, 'vipmap', 'us', ((end - start) * 1000) / size.services);
      rows.add('compiling, a service', 'vipmap', 'us', ((compiled - start) * 1000) / size.services);
      rows.add('diffing, a service', 'vipmap', 'us', ((end - compiled) * 1000) / size.services);
      if (heapAfter > heapBefore) rows.add('heap after it', 'vipmap', 'MB', (heapAfter - heapBefore) / 1e6);
    }
    yield* rows.all();
    say(rows.summary(whole));
  }
}

const whole = 'compiling and diffing, a service';

function stateOf(size: Size): ProxyState {
  const store = new ClusterStore(stateOptions);
  for (const object of clusterObjects(size)) {
    const kind = object['kind'] as WatchedKind;
    store.upsert(kind, observe(kind, object));
  }
  const { services, node } = store.takeChanges();
  return { ...node, servicePorts: [...services.values()].flat() };
}
