import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entrance } from '../packets/namespace.ts';
import { type Request, type Result, titleOf } from './suites.ts';

const vm = join(import.meta.dirname, 'vm.sh');
/** Enough for all suites on a machine that has other things to do, and less than what the caller of a test waits for. */
export const limitSeconds = 3600;

/** How commands are run in a machine, or why there can be none. Fetches the kernel at the first time. */
export function findMachine(): Promise<Entrance> {
  return new Promise((resolve) => {
    execFile('bash', [vm, '--prepare'], (error, _stdout, stderr) => {
      if (error === null) resolve({ command: ['bash', vm, '-t', `${limitSeconds}`] });
      else resolve({ unavailable: stderr.trim().replace('vm: error: ', '') || error.message });
    });
  });
}

/** Starts one machine, runs all requests in it one after the other, and gives the result of each; of a machine that ended early, why. */
export async function runInMachine(
  { command }: Extract<Entrance, { command: unknown }>,
  requests: readonly Request[],
  onText: (text: string) => void = () => undefined,
): Promise<readonly Result[]> {
  const folder = mkdtempSync(join(tmpdir(), 'vipmap-vm-results.'));
  try {
    writeFileSync(join(folder, 'requests.json'), JSON.stringify(requests));
    const [program = '', ...args] = command;
    const inside = [process.execPath, join(import.meta.dirname, 'inside.ts'), folder];
    // Last in line for the processor: other tests at the same time are in a hurry, this one is not.
    const child = spawn('nice', ['-n', '10', program, ...args, '-o', folder, ...inside], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    });
    const said = await readToEnd(child, onText);
    return requests.map((request, i): Result => {
      const file = join(folder, `${i}.json`);
      const result: Result = existsSync(file)
        ? (JSON.parse(readFileSync(file, 'utf8')) as Result)
        : { seconds: 0, faults: {}, skipped: {}, error: `${titleOf(request)}: the machine ended before it` };
      if (result.error === undefined) return result;
      return { ...result, error: `${result.error}\nThe machine's last words:\n${said.slice(-4000)}` };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function readToEnd(child: ChildProcess, onText: (text: string) => void): Promise<string> {
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      onText(text);
    });
  }
  await new Promise((resolve) => child.once('close', resolve));
  return said;
}
