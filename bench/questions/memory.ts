import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterObjects } from '../generate.ts';
import { collectRows } from '../measure.ts';
import { FakeApiServer } from '../../test/agent/fake-api-server.ts';
import { flushRuleset, startUntil, vipmap } from '../programs/commands.ts';
import type { Context, Question, Row } from '../question.ts';

export const memory: Question = {
  name: 'memory',
  title: 'How much memory does it take?',
  about:
    'The resident set of the daemon, which lists the cluster from an API server (a small one of the tests) and loads an empty kernel: its ' +
    'peak with that of its children, and what stays five seconds later. Pages of files, which processes share, are counted.',
  quick: ['100x10', '5000x10'],
  full: ['100x10', '1000x10', '5000x10', '10000x2', '10000x10', '20000x10', '30000x10'],
  run,
};

const paths: Readonly<Record<string, string>> = {
  Node: '/api/v1/nodes',
  Service: '/api/v1/services',
  EndpointSlice: '/apis/discovery.k8s.io/v1/endpointslices',
};

async function* run({ sizes, runs, say }: Context): AsyncIterable<Row> {
  for (const size of sizes) {
    const rows = collectRows('memory', size);
    const api = new FakeApiServer();
    for (const object of clusterObjects(size)) api.put(paths[String(object['kind'])] ?? '', object);
    const url = await api.listen();
    const addresses = ['--metrics-bind-address', '', '--healthz-bind-address', ''];
    for (let i = 0; i < runs; i++) {
      flushRuleset();
      const starting = startUntil(vipmap('run', '--master', url, ...addresses), /services? in place/);
      const peaks = new ChildPeaks();
      const daemon = await starting;
      peaks.stop();
      rows.add(peak, 'vipmap', 'MB', (kilobytes(daemon.pid, 'VmHWM') + peaks.largest) / 1e3);
      await sleep(5_000);
      rows.add('resident five seconds later', 'vipmap', 'MB', kilobytes(daemon.pid, 'VmRSS') / 1e3);
      rows.add('resident five seconds later, its own pages', 'vipmap', 'MB', kilobytes(daemon.pid, 'RssAnon') / 1e3);
      await daemon.stop();
    }
    await api.close();
    yield* rows.all();
    say(rows.summary(peak));
  }
  flushRuleset();
}

const peak = 'peak, with children';

/** Watches the processes called nft of this network namespace, which are few and short-lived. */
class ChildPeaks {
  largest = 0;
  readonly #timer = setInterval(() => this.#look(), 10);

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (readText(`/proc/${pid}/comm`).trim() !== 'nft' || namespaceOf(pid) !== namespaceOf('self')) continue;
      this.largest = Math.max(this.largest, kilobytes(Number(pid), 'VmHWM'));
    }
  }
}

function namespaceOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

function kilobytes(pid: number, field: string): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readText(`/proc/${pid}/status`))?.[1] ?? 0);
}

/** `''` of a process that has ended. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
