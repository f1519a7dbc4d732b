import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clusterState } from '../generate.ts';
import { collectRows } from '../measure.ts';
import { flushRuleset, startUntil, vipmap } from '../programs/commands.ts';
import type { Context, Question, Row } from '../question.ts';

export const restart: Question = {
  name: 'restart',
  title: 'How long does a restart take?',
  about:
    'From the start of the daemon to all rules in place: with an empty kernel, and with everything in the kernel from before, in an ' +
    'unchanged cluster. Then nothing may be sent, and the rules work all along.',
  quick: ['100x10', '1000x10', '5000x10'],
  full: ['100x10', '1000x10', '5000x10', '10000x10', '20000x10', '30000x10'],
  run,
};

async function* run({ sizes, runs, folder, say }: Context): AsyncIterable<Row> {
  const state = join(folder, 'state.json');
  const command = vipmap('run', '--state', state, '--metrics-bind-address', '', '--healthz-bind-address', '');
  for (const size of sizes) {
    const rows = collectRows('restart', size);
    writeFileSync(state, clusterState(size.services, size.endpoints));
    for (let i = 0; i < runs; i++) {
      flushRuleset();
      const first = await startUntil(command, /services? in place/);
      rows.add('daemon, empty kernel: process start to rules in place', 'vipmap', 'ms', first.readyMs);
      await first.stop();
      const again = await startUntil(command, /services? in place/);
      rows.add(adopting, 'vipmap', 'ms', again.readyMs);
      rows.add('commands sent at a restart', 'vipmap', 'count', commandsIn(again.line));
      await again.stop();
    }
    yield* rows.all();
    say(rows.summary(adopting));
  }
  flushRuleset();
}

const adopting = 'daemon, all rules there: process start to ready';

function commandsIn(line: string): number {
  if (line.includes('nothing to change')) return 0;
  return Number(/([\d,]+) commands?/.exec(line)?.[1]?.replaceAll(',', '') ?? Number.NaN);
}
