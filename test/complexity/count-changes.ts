import { type Profiler, Session } from 'node:inspector/promises';
import { clusterObjects, endpointsOf, endpointSlice, service } from '../../bench/generate.ts';
import { NodeRig } from '../../bench/node-rig.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { Turns } from '../../src/kernel/netlink/dump.ts';
import { encodeBatch } from '../../src/kernel/netlink/write-elements.ts';

/*
 * What one change costs with so many services, in counts: count-changes.ts SERVICES. Prints one JSON object, change to counts:
 * `commands` sent, `bytes` of their netlink messages, and how often every function and every block (loop body, branch) of ours and of
 * lodash ran, as V8's precise coverage has it. So a loop over all services is found, however quick it is.
 */
const size = { services: Number(process.argv[2]), endpoints: 3 };
const sent = { commands: 0, bytes: 0 };
const kernel: Kernel = {
  apply: async ({ commands }) => {
    sent.commands += commands.length;
    sent.bytes += (await encodeBatch(commands, 1, new Turns()))?.bytes.length ?? 0;
  },
  readTable: () => Promise.resolve(undefined),
  readElements: () => Promise.resolve(new Map()),
};
const rig = new NodeRig(kernel);
await rig.start(clusterObjects(size));

const s = Math.floor(size.services / 2);
const endpoints = endpointsOf(s, size);
const spare = size.services;
const changes: readonly (readonly [name: string, change: () => void])[] = [
  ['one endpoint added', () => rig.upsert(endpointSlice(s, [...endpoints, 4_000_000]))],
  ['one endpoint removed', () => rig.upsert(endpointSlice(s, endpoints))],
  [
    'one service added',
    () => {
      rig.upsert(service(spare));
      rig.upsert(endpointSlice(spare, endpointsOf(spare, size)));
    },
  ],
  [
    'one service removed',
    () => {
      rig.remove(service(spare));
      rig.remove(endpointSlice(spare, []));
    },
  ],
];

const session = new Session();
session.connect();
await session.post('Profiler.enable');
const results: Record<string, Readonly<Record<string, number>>> = {};
// The first round makes what is made once: chains, memos.
for (const isCounted of [false, true]) {
  for (const [name, change] of changes) {
    sent.commands = sent.bytes = 0;
    await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    change();
    await rig.sync();
    const { result } = await session.post('Profiler.takePreciseCoverage');
    await session.post('Profiler.stopPreciseCoverage');
    if (isCounted) results[name] = { ...sent, ...blockCounts(result) };
  }
}
process.stdout.write(JSON.stringify(results));

/** By file and function: how often its blocks ran, all together. */
function blockCounts(scripts: readonly Profiler.ScriptCoverage[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { url, functions } of scripts) {
    const file = /\/(src\/.*|node_modules\/lodash-es\/.*)$/.exec(url)?.[1];
    if (file === undefined) continue;
    for (const { functionName, ranges } of functions) {
      const count = ranges.reduce((sum, range) => sum + range.count, 0);
      const key = `${file} ${functionName}`;
      if (count > 0) counts[key] = (counts[key] ?? 0) + count;
    }
  }
  return counts;
}
