import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Question, Row } from './question.ts';

const inside = join(import.meta.dirname, 'inside.ts');

export interface Outcome {
  readonly rows: readonly Row[];
  /** Why not all of it was measured. */
  readonly error?: string;
}

/** Runs a question in a process and a network namespace of its own; what was measured before a failure stays. */
export async function runQuestion({ name }: Question, sizes: readonly string[], runs: number): Promise<Outcome> {
  const node = [process.execPath, '--expose-gc', inside, name, '--runs', String(runs), ...sizes];
  // A node has its loopback interface.
  const namespace = ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
  const child = spawn('unshare', [...namespace, ...node], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
  });
  const rows: Row[] = [];
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    process.stderr.write(text);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  for await (const line of createInterface(child.stdout)) rows.push(JSON.parse(line) as Row);
  const status = await ended;
  return status === 0 ? { rows } : { rows, error: said.trim().split('\n').slice(-8).join('\n') };
}
