import { parseArgs } from 'node:util';
import { modes } from '../mode-differences.ts';
import { findMachine, runInMachine } from './machine.ts';
import { type Request, type Result, type SuiteName, suites, titleOf, usualRequests } from './suites.ts';

const help = `Runs suites in one virtual machine with another kernel, and says what was wrong. Exit code 1 if anything was.
  scripts/run.sh test/vm/run.ts                                          all that npm test runs there
  scripts/run.sh test/vm/run.ts SUITE                                    one suite
  scripts/run.sh test/vm/run.ts packets [--mode ${modes.join('|')}] FIXTURE...   some fixtures
  scripts/run.sh test/vm/run.ts kernel 'part of a name' '!part'           some checks
Suites:
${Object.entries(suites)
  .map(([name, { about }]) => `  ${name.padEnd(10)}${about}`)
  .join('\n')}
`;

function readRequests(): readonly Request[] {
  const { values, positionals } = parseArgs({
    options: { mode: { type: 'string' }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  if (values.help) throw new Error(help);
  const [suite, ...only] = positionals;
  const mode = modes.find((known) => known === values.mode);
  if (values.mode !== undefined && mode === undefined)
    throw new Error(`--mode "${values.mode}": accepted are ${modes.join(', ')}`);
  if (suite === undefined) return usualRequests.filter((request) => mode === undefined || request.mode === mode);
  if (!(suite in suites)) throw new Error(`there is no suite "${suite}"\n${help}`);
  if (suite !== 'packets' && mode !== undefined) throw new Error(`--mode is for suite packets, not for ${suite}`);
  return [{ suite: suite as SuiteName, only, ...(suite === 'packets' && { mode: mode ?? 'nftables' }) }];
}

function print(request: Request, { faults, skipped, error, seconds }: Result): boolean {
  const failed = Object.entries(faults).filter(([, found]) => found.length > 0);
  for (const [name, found] of failed) console.log([`  FAILED ${name}`, ...found].join('\n    '));
  for (const [name, reason] of Object.entries(skipped)) console.log(`  SKIPPED ${name}: ${reason}`);
  if (error !== undefined) console.log(`  FAILED ${error}`);
  const passed = Object.keys(faults).length - failed.length;
  const words = `${passed} passed, ${failed.length} failed, ${Object.keys(skipped).length} skipped`;
  console.log(`${titleOf(request)}: ${words}${error === undefined ? '' : ', not finished'}, ${seconds} s`);
  return failed.length === 0 && error === undefined;
}

async function main(): Promise<boolean> {
  const requests = readRequests();
  const entrance = await findMachine();
  if ('unavailable' in entrance) throw new Error(`no virtual machine can be started: ${entrance.unavailable}`);
  const results = await runInMachine(entrance, requests, (text) => process.stderr.write(text));
  // All are printed, whatever the first of them says.
  return requests
    .map((request, i) => print(request, results[i] ?? { seconds: 0, faults: {}, skipped: {}, error: 'no result' }))
    .every((isRight) => isRight);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
