import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';

const here = import.meta.dirname;
export const repository = join(here, '..', '..');
const script = (name: string) => join(here, name);

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Written to standard input. */
  readonly input?: string;
}

export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that ended with another exit code than 0, or was ended after its time. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly result: CommandResult;

  constructor(words: readonly string[], result: CommandResult, timedOutAfterMs: number | undefined) {
    const cause = timedOutAfterMs === undefined ? `exit code ${result.status}` : `no end after ${timedOutAfterMs} ms`;
    const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
    super(`${cause}: ${words.join(' ')}${said === '' ? '' : `\n${said}`}`);
    this.result = result;
  }
}

/** What a command printed; fails with a CommandError. Two minutes unless another time is given. */
export async function run(program: string, words: readonly string[], options: CommandOptions = {}): Promise<string> {
  return (await attempt(program, words, options, true)).stdout;
}

/** The same, whatever the exit code; a command that takes too long still fails. */
export function tryRun(
  program: string,
  words: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return attempt(program, words, options, false);
}

function attempt(
  program: string,
  words: readonly string[],
  options: CommandOptions,
  mustSucceed: boolean,
): Promise<CommandResult> {
  const { timeoutMs = 120_000 } = options;
  return new Promise((resolve, reject) => {
    let timedOut = false;
    const child = execFile(
      program,
      words,
      { env: { ...process.env, ...options.env }, maxBuffer: 1 << 29 },
      (error, stdout, stderr) => {
        clearTimeout(timer);
        const code = error?.code;
        const status = error === null ? 0 : typeof code === 'number' ? code : 1;
        const result = {
          status,
          stdout,
          stderr: stderr === '' && error !== null && typeof code === 'string' ? error.message : stderr,
        };
        if (timedOut || (status !== 0 && mustSucceed))
          reject(new CommandError([program, ...words], result, timedOut ? timeoutMs : undefined));
        else resolve(result);
      },
    );
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 3000).unref();
    }, timeoutMs);
    // It may end without having read anything.
    child.stdin?.on('error', () => undefined).end(options.input ?? '');
  });
}

/** The words that run another in the network of a place: node1, node2, control or fabric, or that of a process. */
export function enterNetwork(place: string | { readonly pid: number }): readonly [string, ...string[]] {
  return typeof place === 'string'
    ? [clusterScript, 'in', place]
    : ['nsenter', `--net=/proc/${place.pid}/ns/net`, '--'];
}

/** Starts one of this folder's programs in another network; its standard output is for the caller. */
export function startProgram(
  place: string | { readonly pid: number },
  file: string,
  words: readonly string[],
): ChildProcess {
  const [program, ...enter] = enterNetwork(place);
  return spawn(program, [...enter, process.execPath, script(file), ...words], { stdio: ['pipe', 'pipe', 'inherit'] });
}

/** One of this folder's programs in another network: the JSON that it prints. */
export async function runProgram<T>(
  place: string | { readonly pid: number },
  file: string,
  words: readonly string[],
  timeoutMs: number,
): Promise<T> {
  const [program, ...enter] = enterNetwork(place);
  return JSON.parse(await run(program, [...enter, process.execPath, script(file), ...words], { timeoutMs })) as T;
}

export const clusterScript = script('cluster.sh');
export const clusterSh = (words: readonly string[], options?: CommandOptions) => run(clusterScript, words, options);
export const kubectl = (words: readonly string[], options?: CommandOptions) => clusterSh(['ctl', ...words], options);
export const inNode = (node: string, words: readonly string[], options?: CommandOptions) =>
  clusterSh(['in', node, ...words], options);
