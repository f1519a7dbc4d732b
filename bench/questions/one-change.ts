import { clusterObjects, endpointsOf, endpointSlice, service } from '../generate.ts';
import { collectRows } from '../measure.ts';
import { NodeRig, openTimedKernel } from '../node-rig.ts';
import { flushRuleset } from '../programs/commands.ts';
import type { Context, Question, Row, Size } from '../question.ts';

export const oneChange: Question = {
  name: 'one-change',
  title: 'How long does one change take?',
  about:
    'From an object of the API server in hand to its rules committed in the kernel, in a process that is warm and in a kernel that holds ' +
    'everything else. Each value is one change. Not in it: what the daemon waits to gather changes (5 ms).',
  quick: ['100x10', '1000x10', '5000x10'],
  full: ['100x10', '300x10', '5000x10', '10000x2', '20000x10', '30000x10', '100000x2'],
  run,
};

/** Changes before those that count: V8 compiles what is used often. */
const warmUp = 300;
const changes = 500;

async function* run({ sizes, say }: Context): AsyncIterable<Row> {
  for (const size of sizes) {
    flushRuleset();
    const { kernel } = await openTimedKernel();
    const rig = new NodeRig(kernel);
    await rig.start(clusterObjects(size));
    const rows = collectRows('one-change', size);
    for (let i = -warmUp; i < changes; i++) {
      const isCounted = i >= 0;
      for (const [what, change] of changesOf(rig, size, i + warmUp)) {
        const start = performance.now();
        change();
        const { commands } = await rig.sync();
        const us = (performance.now() - start) * 1000;
        if (commands === 0) throw new Error(`${what} changed nothing`);
        if (isCounted) rows.add(what, 'vipmap', 'us', us);
      }
    }
    yield* rows.all();
    say(rows.summary('one endpoint added'));
  }
  flushRuleset();
}

/** Four changes, after which all is as it was. */
function changesOf(rig: NodeRig, size: Size, i: number): readonly (readonly [what: string, change: () => void])[] {
  // Spread over all services.
  const s = (i * 7919) % size.services;
  const endpoints = endpointsOf(s, size);
  const more = endpointSlice(s, [...endpoints, size.services * size.endpoints + i]);
  const asBefore = endpointSlice(s, endpoints);
  const added = size.services + i;
  const newService = service(added);
  const newSlice = endpointSlice(added, endpointsOf(added, size));
  return [
    ['one endpoint added', () => rig.upsert(more)],
    ['one endpoint removed', () => rig.upsert(asBefore)],
    [
      'one service added',
      () => {
        rig.upsert(newService);
        rig.upsert(newSlice);
      },
    ],
    [
      'one service removed',
      () => {
        rig.remove(newService);
        rig.remove(newSlice);
      },
    ],
  ];
}
