import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { nodeAddresses } from './api.ts';
import { startProgram } from './command.ts';
import { percentile } from './wait.ts';
import type { Backends } from './backends.ts';

export interface LoadFailure {
  readonly at: number;
  readonly target: string;
  readonly reason: string;
}

/** What a load client prints, a line each. */
export type LoadLine =
  | { readonly kind: 'started' }
  | ({ readonly kind: 'failure' } & LoadFailure)
  | { readonly kind: 'totals'; readonly seconds: number; readonly targets: readonly TargetTotals[] };

interface TargetTotals {
  readonly name: string;
  readonly ok: number;
  readonly failed: number;
  readonly connectMs: readonly number[];
}

export interface LoadResult {
  readonly connections: number;
  readonly seconds: number;
  readonly failures: readonly LoadFailure[];
  /** One line. */
  readonly summary: string;
}

interface Client {
  readonly child: ChildProcess;
  readonly started: Promise<void>;
  readonly ended: Promise<void>;
}

/** Which share of the connections comes from where and goes where; together 200 new ones a second. */
function clientsOf(backends: Backends) {
  const { ip, ip6, port, nodePort, podPid } = backends;
  return [
    {
      from: 'fabric',
      rate: 80,
      targets: [
        `outside to node1=${nodeAddresses.node1}:${nodePort}`,
        `outside to node2=${nodeAddresses.node2}:${nodePort}`,
      ],
    },
    {
      from: 'node1',
      rate: 60,
      targets: [`node1 to cluster IP=${ip}:${port}`, `node1 to IPv6 cluster IP=[${ip6}]:${port}`],
    },
    {
      from: { pid: podPid },
      rate: 60,
      targets: [`pod to cluster IP=${ip}:${port}`, `pod to node port=${nodeAddresses.node1}:${nodePort}`],
    },
  ];
}

/** Clients that make connections until they are stopped. */
export class Load {
  readonly failures: LoadFailure[] = [];
  readonly #totals: Extract<LoadLine, { kind: 'totals' }>[] = [];
  readonly #clients: readonly Client[];

  constructor(backends: Backends) {
    this.#clients = clientsOf(backends).map(({ from, rate, targets }) => {
      const child = startProgram(from, 'load-client.ts', [
        '--rate',
        String(rate),
        '--kept',
        '2',
        ...targets.flatMap((target) => ['--target', target]),
      ]);
      return this.#listen(child);
    });
  }

  #listen(child: ChildProcess): Client {
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const started = new Promise<void>((resolve, reject) => {
      lines.on('line', (text) => {
        const line = JSON.parse(text) as LoadLine;
        if (line.kind === 'started') resolve();
        else if (line.kind === 'failure') this.failures.push(line);
        else this.#totals.push(line);
      });
      child.once('exit', () => reject(new Error('a load client ended before it began')));
    });
    const ended = new Promise<void>((resolve) => lines.once('close', () => resolve()));
    return { child, started, ended };
  }

  async started(): Promise<void> {
    await Promise.all(this.#clients.map(({ started }) => started));
  }

  kill(): void {
    for (const { child } of this.#clients) child.kill('SIGKILL');
  }

  async stop(): Promise<LoadResult> {
    for (const { child } of this.#clients) child.stdin?.end();
    const late = setTimeout(() => this.kill(), 20_000);
    await Promise.all(this.#clients.map(({ ended }) => ended));
    clearTimeout(late);
    if (this.#totals.length < this.#clients.length) throw new Error('a load client ended without its totals');
    return this.#result();
  }

  #result(): LoadResult {
    const targets = this.#totals.flatMap((totals) => totals.targets);
    const connections = targets.reduce((sum, { ok, failed }) => sum + ok + failed, 0);
    const seconds = Math.max(...this.#totals.map((totals) => totals.seconds));
    const connectMs = targets.flatMap((target) => target.connectMs);
    const failing = targets.filter(({ failed }) => failed > 0).map(({ name, failed }) => `${name} ${failed}`);
    const summary =
      `${connections} connections in ${seconds.toFixed(0)} s, connected in ${percentile(connectMs, 0.5).toFixed(1)} ms (p50), ` +
      `${percentile(connectMs, 0.99).toFixed(1)} ms (p99), ${Math.max(...connectMs).toFixed(0)} ms (longest); ` +
      (failing.length === 0 ? 'none failed' : `failed: ${failing.join(', ')}`);
    return { connections, seconds, failures: this.failures, summary };
  }
}

/** The first failures, a line each. */
export function describeFailures(failures: readonly LoadFailure[], limit = 10): string {
  const lines = failures
    .slice(0, limit)
    .map(({ at, target, reason }) => `${new Date(at).toISOString().slice(11, 23)} ${target}: ${reason}`);
  if (failures.length > limit) lines.push(`... and ${failures.length - limit} more`);
  return lines.join('\n');
}
