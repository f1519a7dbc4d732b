import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { sleep, waitFor } from '../../test/cluster/wait.ts';

/** A program that runs beside this one, with its output in a file, and that never outlives it. */
export class BackgroundProcess {
  readonly pid: number;
  /** Just before it was started, in milliseconds since 1970. */
  readonly startedMs: number;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #ended: Promise<unknown>;

  constructor([program, ...words]: readonly [string, ...string[]], logFile: string, env: NodeJS.ProcessEnv = {}) {
    this.#logFile = logFile;
    const log = openSync(logFile, 'a');
    this.startedMs = Date.now();
    // Replaces itself by the program; the kernel ends that with this process, however this one ends.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...words], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.#ended = once(this.#child, 'exit');
    // Told below, and by nothing else.
    this.#ended.catch(() => undefined);
    if (this.#child.pid === undefined) throw new Error('setpriv (Debian: util-linux) could not be started');
    this.pid = this.#child.pid;
    // Before anybody deletes the folder that it works in.
    process.prependOnceListener('exit', this.#kill);
    void this.#ended.then(() => process.removeListener('exit', this.#kill));
  }

  readonly #kill = () => this.#child.kill('SIGKILL');

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The first value of `look` that is not undefined; fails at once when the program has ended. */
  async waitFor<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined>, everyMs?: number): Promise<T> {
    const lookOrEnd = async () => (this.hasEnded ? { hasEnded: true as const } : wrapped(await look()));
    const { value } = await waitFor(what, timeoutMs, lookOrEnd, everyMs);
    if ('hasEnded' in value) throw new Error(`${what}: the program has ended\n${this.logEnd()}`);
    return value.value;
  }

  logEnd(): string {
    return readFileSync(this.#logFile, 'utf8').slice(-2000);
  }

  /** Asks it to end, and makes it after 10 s. */
  async stop(): Promise<void> {
    if (this.hasEnded) return;
    this.#child.kill('SIGTERM');
    await Promise.race([this.#ended, sleep(10_000, undefined, { ref: false })]);
    if (this.hasEnded) return;
    this.#kill();
    await this.#ended;
  }
}

const wrapped = <T>(value: T | undefined) => (value === undefined ? undefined : { value });
