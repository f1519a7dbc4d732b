import { clusterObjects, endpointsOf, endpointSlice, service } from '../generate.ts';
import { collectRows } from '../measure.ts';
import { NodeRig, openTimedKernel } from '../node-rig.ts';
import { flushRuleset } from '../programs/commands.ts';
import type { Context, Question, Row, Size } from '../question.ts';

export const manyChanges: Question = {
  name: 'many-changes',
  title: 'How long do many changes at once take?',
  about:
    'A service of 1,000 endpoints in ten slices is rolled over, 50 endpoints at a time; and one in ten of all endpoints changes at once. ' +
    'From the objects in hand to the kernel.',
  quick: ['100x10', '1000x10'],
  full: ['100x10', '1000x10', '5000x10', '20000x10'],
  run,
};

const sliceSize = 100;
const slices = 10;
const rolledAtOnce = 50;

async function* run({ sizes, runs, say }: Context): AsyncIterable<Row> {
  for (const size of sizes) {
    flushRuleset();
    const { kernel } = await openTimedKernel();
    const rig = new NodeRig(kernel);
    await rig.start(clusterObjects(size));
    const rows = collectRows('many-changes', size);
    for (let i = 0; i < runs; i++) {
      for (const ms of await rollOver(rig, size))
        rows.add('a step of a rolling update: 50 of 1,000 endpoints', 'vipmap', 'ms', ms);
      for (const ms of await changeATenth(rig, size)) rows.add('one in ten of all endpoints', 'vipmap', 'ms', ms);
    }
    yield* rows.all();
    say(rows.summary('one in ten of all endpoints'));
  }
  flushRuleset();
}

async function rollOver(rig: NodeRig, size: Size): Promise<readonly number[]> {
  const s = size.services;
  const first = size.services * size.endpoints;
  const numbers = Array.from({ length: slices * sliceSize }, (_, e) => first + e);
  const put = (slice: number) =>
    rig.upsert(endpointSlice(s, numbers.slice(slice * sliceSize, (slice + 1) * sliceSize), slice));
  rig.upsert(service(s));
  for (let slice = 0; slice < slices; slice++) put(slice);
  await rig.sync();
  const times: number[] = [];
  for (let from = 0; from < numbers.length; from += rolledAtOnce) {
    for (let e = from; e < from + rolledAtOnce; e++) numbers[e] = (numbers[e] ?? 0) + numbers.length;
    const start = performance.now();
    put(Math.floor(from / sliceSize));
    await rig.sync();
    times.push(performance.now() - start);
  }
  rig.remove(service(s));
  for (let slice = 0; slice < slices; slice++) rig.remove(endpointSlice(s, [], slice));
  await rig.sync();
  return times;
}

/** There, and back again. */
async function changeATenth(rig: NodeRig, size: Size): Promise<readonly number[]> {
  const others = size.services * size.endpoints;
  const objects = [others, 0].map((shift) =>
    Array.from({ length: size.services }, (_, s) =>
      endpointSlice(
        s,
        endpointsOf(s, size).map((e) => (e % 10 === 0 ? e + shift : e)),
      ),
    ),
  );
  const times: number[] = [];
  for (const slicesThen of objects) {
    const start = performance.now();
    for (const object of slicesThen) rig.upsert(object);
    await rig.sync();
    times.push(performance.now() - start);
  }
  return times;
}
