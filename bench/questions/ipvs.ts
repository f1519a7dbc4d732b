import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { findMachine } from '../../test/vm/machine.ts';
import { type Context, printSize, type Question, type Row } from '../question.ts';

export const ipvs: Question = {
  name: 'ipvs',
  title: 'What does mode ipvs cost?',
  about:
    'In the virtual machine of the tests, which is emulated: only ratios mean anything. A cold load from a state file, beside ' +
    '`ipvsadm --restore` of the same virtual servers alone; a second one that finds everything there; and one change in a process that ' +
    'is warm. Virtual servers go by netlink, or else by ipvsadm, which is a process each time.',
  quick: [],
  full: ['100x2', '1000x2', '10000x2'],
  run,
};

const inside = join(import.meta.dirname, '..', 'ipvs', 'inside.ts');
/** For all sizes: emulation makes minutes of seconds. */
const limitSeconds = 3600;

async function* run({ sizes, folder, say }: Context): AsyncIterable<Row> {
  if (sizes.length === 0) return;
  const machine = await findMachine();
  if ('unavailable' in machine) throw new Error(`no virtual machine can be started: ${machine.unavailable}`);
  const [program = '', script = ''] = machine.command;
  const command = [process.execPath, inside, ...sizes.map(printSize)];
  const vm = ['-m', '4096', '-t', String(limitSeconds), '-o', folder, ...command];
  const child = spawn(program, [script, ...vm], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  for await (const line of createInterface(child.stdout)) {
    // Its console has both outputs, and what its kernel says.
    if (line.startsWith('{"question"')) yield JSON.parse(line) as Row;
    else say(line);
    said += `${line}\n`;
  }
  const status = await ended;
  if (status !== 0) throw new Error(`the virtual machine ended with exit code ${status}: ${said.slice(-2000)}`);
}
