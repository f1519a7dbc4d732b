import { readdirSync, readFileSync } from 'node:fs';
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
    'The resident set of the daemon, which lists the cluster from an API server (a small one of the tests) and loads an empty kernel: the ' +
    'most that it and its children had at once (looked at a hundred times a second), and what stays five seconds later. Pages of files, which processes share, are counted.',
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
      const watched = new Processes();
      const daemon = await starting;
      watched.stop();
      const own = kilobytes(daemon.pid, 'VmHWM');
      rows.add(peak, 'vipmap', 'MB', Math.max(own, watched.largestSum) / 1e3);
      rows.add('peak of the daemon alone', 'vipmap', 'MB', own / 1e3);
      rows.add('peak of nft', 'vipmap', 'MB', watched.largestChild / 1e3);
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

/** Watches the daemon, which this process has started, and what it starts itself: nft, for a moment each time. In kilobytes. */
class Processes {
  /** What the daemon and its children had at once. */
  largestSum = 0;
  largestChild = 0;
  readonly #timer = setInterval(() => this.#look(), 10);

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    let sum = 0;
    for (const daemon of childrenOf(process.pid)) {
      sum += kilobytes(daemon, 'VmRSS');
      for (const child of childrenOf(daemon)) {
        sum += kilobytes(child, 'VmRSS');
        this.largestChild = Math.max(this.largestChild, kilobytes(child, 'VmHWM'));
      }
    }
    this.largestSum = Math.max(this.largestSum, sum);
  }
}

/** A program's loader or wrapper may stand in its place, so names do not tell. A child belongs to the thread that started it. */
function childrenOf(pid: number): readonly number[] {
  return threadsOf(pid)
    .flatMap((thread) => readText(`/proc/${pid}/task/${thread}/children`).split(' '))
    .filter((text) => text.trim() !== '')
    .map(Number);
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
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
