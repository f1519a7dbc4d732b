import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { checkRatios } from './guard.ts';
import { buildBinaries, versions as kubeProxyVersions } from './kube-proxy/binaries.ts';
import { describeMachine, loadAverage, versions } from './machine.ts';
import { run } from './programs/commands.ts';
import { parseSize, type Question, type Report, type Row } from './question.ts';
import { questions } from './questions/index.ts';
import { writeReport } from './report/write.ts';
import { runQuestion } from './run-question.ts';

/* What vipmap costs, in the words of README.md: npm run bench [-- --full | --check | --sizes 5000x10 --only cold-load]. */
const names = questions.map(({ name }) => name);
const root = join(import.meta.dirname, '..');
const results = join(import.meta.dirname, 'results');

interface Options {
  readonly sizes?: readonly string[];
  readonly only?: readonly string[];
  readonly runs: number;
  readonly full?: boolean;
  readonly check?: boolean;
  readonly record?: boolean;
  readonly out: string;
}

const program = new Command('npm run bench --')
  .description('measures vipmap beside others, each question in a network namespace of its own')
  .option('--sizes <sizes>', 'SERVICESxENDPOINTS, by commas (default: those of each question)', sizesOf)
  .option('--only <questions>', `by commas: ${names.join(', ')}`, questionsOf)
  .option('--runs <number>', 'how often each is measured, alternately', positive, 3)
  .option('--full', 'all sizes: hours, most of them for others than vipmap')
  .option('--check', 'compares ratios with those recorded in bench/ratios.json; exit code 1 where one is worse')
  .option('--record', 'measures the ratios and writes bench/ratios.json')
  .option('--out <folder>', 'where the report goes', join(results, 'latest'))
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

function sizesOf(text: string): readonly string[] {
  const sizes = text.split(',');
  for (const size of sizes) {
    try {
      parseSize(size);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  }
  return sizes;
}

function questionsOf(text: string): readonly string[] {
  const chosen = text.split(',');
  const unknown = chosen.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new InvalidArgumentError(`there is no question "${unknown.join(', ')}"; there are ${names.join(', ')}`);
  return chosen;
}

function positive(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('give a number from 1');
  return Number(text);
}

async function measure(options: Options): Promise<Report> {
  const chosen = questions.filter(({ name }) => options.only?.includes(name) ?? true);
  // Ten minutes the first time: a quick run shows what was recorded instead, where they are not built yet.
  if (options.full) await buildBinaries((text) => console.error(text));
  const before = loadAverage();
  const rows: Row[] = [];
  const missing: Record<string, string> = {};
  for (const question of chosen) {
    console.error(question.title);
    const outcome = await runQuestion(
      question,
      options.sizes ?? usualSizes(question, options.full ?? false),
      options.runs,
    );
    rows.push(...outcome.rows);
    if (outcome.error !== undefined) missing[question.name] = outcome.error;
  }
  return {
    date: new Date().toISOString(),
    machine: describeMachine(),
    versions: { ...versions(), ...(await kubeProxyVersions()) },
    load: [before, loadAverage()],
    rows,
    missing,
  };
}

const usualSizes = ({ quick, full }: Question, isFull: boolean) => (isFull ? full : quick);

async function reportOn(options: Options): Promise<boolean> {
  const report = await measure(options);
  const titles = Object.fromEntries(questions.map(({ name, title, about }) => [name, { title, about }]));
  await writeReport(report, options.out, titles);
  console.log(`the report is in ${options.out}`);
  const missing = Object.entries(report.missing);
  for (const [name, why] of missing) console.error(`${name} was not measured as a whole: ${why}`);
  return missing.length === 0;
}

const options = program.parse().opts<Options>();
try {
  run([process.execPath, join(root, 'scripts', 'build.mjs')]);
  const isRight =
    options.check || options.record ? await checkRatios({ records: options.record ?? false }) : await reportOn(options);
  process.exitCode = isRight ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
