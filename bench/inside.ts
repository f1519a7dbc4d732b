import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseSize } from './question.ts';
import { questions } from './questions/index.ts';

/*
 * One question, in a network namespace of its own: inside.ts QUESTION --runs N SIZE... Prints each row as a line of JSON when it is
 * measured, and says on standard error how far it is.
 */
const { values, positionals } = parseArgs({
  options: { runs: { type: 'string', default: '3' } },
  allowPositionals: true,
});
const [name, ...sizes] = positionals;
const question = questions.find((each) => each.name === name);
if (question === undefined) throw new Error(`there is no question "${name}"`);
const folder = mkdtempSync(join(tmpdir(), 'vipmap-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
const context = {
  sizes: sizes.map(parseSize),
  runs: Number(values.runs),
  folder,
  say: (text: string) => process.stderr.write(`  ${text}\n`),
};
for await (const row of question.run(context)) process.stdout.write(`${JSON.stringify(row)}\n`);
process.exit(0);
