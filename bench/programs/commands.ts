import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { podCidr } from '../generate.ts';
import { nftProgram } from '../node-rig.ts';

const bundle = join(import.meta.dirname, '..', '..', 'dist', 'vipmap.mjs');
const nodeArgs = ['--node', 'node-1', '--cluster-cidr', podCidr, '--node-addresses', '192.168.0.2'];

/** Node as the image starts it for the daemon, which trades time for memory. */
export const daemonNode: readonly [string, ...string[]] = [
  'env',
  'MALLOC_ARENA_MAX=1',
  process.execPath,
  '--max-semi-space-size=4',
];

/** As a user starts it. */
export const vipmap = (command: string, ...args: readonly string[]): readonly string[] => [
  ...(command === 'run' ? daemonNode : [process.execPath]),
  bundle,
  command,
  ...nodeArgs,
  ...args,
];

/** Gives what the command wrote to both its outputs. Throws if it failed. */
export function run([program = '', ...args]: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 30, input });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${error?.message ?? stderr.slice(-2000)}`);
  return stdout + stderr;
}

export function flushRuleset(): void {
  run([nftProgram, 'flush', 'ruleset']);
}

/** From the start of the process to its end, in milliseconds; without the page cache's help no program could be compared. */
export function timeCommand(command: readonly string[]): number {
  const start = performance.now();
  run(command);
  return performance.now() - start;
}

export interface Watched {
  /** Milliseconds from the start of the process until a line of its output matched. */
  readonly readyMs: number;
  /** The line. */
  readonly line: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a process that stays, and waits for a line. */
export async function startUntil([program = '', ...args]: readonly string[], ready: RegExp): Promise<Watched> {
  const start = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let said = '';
  const line = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        const found = said.split('\n').find((each) => ready.test(each));
        if (found !== undefined) resolve(found);
      });
    }
    child.once('error', reject);
    void ended.then(() => reject(new Error(`${program} ${args.join(' ')} ended: ${said.slice(-2000)}`)));
  });
  return {
    readyMs: performance.now() - start,
    line,
    pid: child.pid ?? 0,
    stop: async () => {
      process.removeListener('exit', kill);
      child.kill('SIGKILL');
      await ended;
    },
  };
}
