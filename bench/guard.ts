import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { quantile } from 'simple-statistics';
import { type Question, type Row } from './question.ts';
import { questions } from './questions/index.ts';
import { runQuestion } from './run-question.ts';

/** A ratio of two things measured in one run, so that it is the same on a slow machine and a fast one. Smaller is better. */
interface Ratio {
  readonly name: string;
  readonly question: string;
  readonly sizes: readonly string[];
  readonly of: (rows: readonly Row[]) => number;
}

/** What a ratio may be: `recorded` is the median of a few runs, and beyond `most` it is no noise any more. */
type Recorded = Readonly<Record<string, { readonly recorded: number; readonly most: number }>>;

const file = join(import.meta.dirname, 'ratios.json');

const value = (rows: readonly Row[], what: string, program: string, size: string, quantileOf = 0.5): number => {
  const row = rows.find(
    (each) =>
      each.what.startsWith(what) &&
      each.program.startsWith(program) &&
      `${each.size.services}x${each.size.endpoints}` === size,
  );
  if (row === undefined) throw new Error(`"${what}" of ${program} was not measured at ${size}`);
  return quantile([...row.values], quantileOf);
};

export const ratios: readonly Ratio[] = [
  {
    name: 'cold load of 5,000 x 10, process and all, to a chain per service by nft alone',
    question: 'cold-load',
    sizes: ['5000x10'],
    of: (rows) =>
      value(rows, 'process start', 'vipmap', '5000x10') / value(rows, 'process start', 'a chain', '5000x10'),
  },
  {
    name: 'cold load, elements into the kernel, a service: 20,000 x 10 to 5,000 x 10',
    question: 'cold-load',
    sizes: ['5000x10', '20000x10'],
    of: (rows) => growth(rows, 'part: elements into the kernel', '5000x10', '20000x10'),
  },
  {
    name: 'compiling and diffing, a service: 30,000 x 2 to 1,000 x 2',
    question: 'compiling',
    sizes: ['1000x2', '30000x2'],
    of: (rows) => value(rows, 'compiling and', 'vipmap', '30000x2') / value(rows, 'compiling and', 'vipmap', '1000x2'),
  },
  ...['endpoint added', 'endpoint removed', 'service added', 'service removed'].map((change): Ratio => ({
    name: `one ${change}: with 10,000 x 10 to 300 x 10`,
    question: 'one-change',
    sizes: ['300x10', '10000x10'],
    of: (rows) => value(rows, `one ${change}`, 'vipmap', '10000x10') / value(rows, `one ${change}`, 'vipmap', '300x10'),
  })),
  {
    name: 'a restart that finds 5,000 x 10 in the kernel, to one that finds nothing',
    question: 'restart',
    sizes: ['5000x10'],
    of: (rows) => value(rows, 'daemon, all', 'vipmap', '5000x10') / value(rows, 'daemon, empty', 'vipmap', '5000x10'),
  },
  {
    name: 'memory after a start: 5,000 x 10 to 100 x 10',
    question: 'memory',
    sizes: ['100x10', '5000x10'],
    of: (rows) =>
      value(rows, 'resident five seconds later', 'vipmap', '5000x10') /
      value(rows, 'resident five seconds later', 'vipmap', '100x10'),
  },
];

function growth(rows: readonly Row[], what: string, small: string, large: string): number {
  const perService = (size: string) => value(rows, what, 'vipmap', size) / Number.parseInt(size);
  return perService(large) / perService(small);
}

/** A ratio that is worse than it may be is measured again: what stays worse every time is no noise. */
const attempts = 3;

/** Measures all ratios and prints each beside the recorded one. True if none is worse than noise explains. */
export async function checkRatios({ records = false } = {}): Promise<boolean> {
  const recorded = JSON.parse(readFileSync(file, 'utf8')) as Recorded;
  const measured = new Map<string, number>();
  const isRight = ({ name }: Ratio) => (measured.get(name) ?? Infinity) <= (recorded[name]?.most ?? -Infinity);
  for (const question of questions) {
    const own = ratios.filter((ratio) => ratio.question === question.name);
    for (let i = 0; i < (records ? 1 : attempts) && !own.every(isRight); i++) {
      const rows = await rowsFor(question, own);
      for (const ratio of own) measured.set(ratio.name, Math.min(ratio.of(rows), measured.get(ratio.name) ?? Infinity));
    }
  }
  if (records) {
    record(measured);
    return true;
  }
  for (const ratio of ratios) {
    const { recorded: before, most } = recorded[ratio.name] ?? {};
    const words = `${measured.get(ratio.name)?.toFixed(2)} (recorded ${before ?? 'never'}, at most ${most ?? 'unknown'})`;
    console.log(`${isRight(ratio) ? 'ok   ' : 'WORSE'} ${ratio.name}: ${words}`);
  }
  return ratios.every(isRight);
}

async function rowsFor(question: Question, wanted: readonly Ratio[]): Promise<readonly Row[]> {
  const sizes = [...new Set(wanted.flatMap((ratio) => ratio.sizes))];
  const { rows, error } = await runQuestion(question, sizes, 3);
  if (error !== undefined) throw new Error(`${question.name} could not be measured: ${error}`);
  return rows;
}

/** Two thirds are left for noise, and more where the ratio is small. */
function record(measured: ReadonlyMap<string, number>): void {
  for (const [name, now] of measured) console.log(`${now.toFixed(2)}  ${name}`);
  const round = (number: number) => Math.round(number * 100) / 100;
  const entries = [...measured].map(([name, now]) => [name, { recorded: round(now), most: round(now * 1.7 + 0.1) }]);
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`);
}
