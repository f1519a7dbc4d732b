import { groupBy, sortBy } from 'lodash-es';
import { max, median, min } from 'simple-statistics';
import { printSize, type Row, type Size, type Unit } from '../question.ts';

/** By question: its heading, and one sentence on what is timed. */
export type Titles = Readonly<Record<string, { readonly title: string; readonly about: string }>>;

/** All rows that belong into one plot and one table: of a question, of what was measured in it, in one unit. */
export interface Topic {
  readonly question: string;
  readonly what: string;
  readonly unit: Unit;
  readonly results: readonly Result[];
}

/** A row and what its values come to. */
export interface Result {
  readonly row: Row;
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** To what it is compared: nothing where there is no other program's row of its size, or where it is itself what others are compared to. */
  readonly ratio?: Ratio;
}

/** This median divided by that one's. `to` may be recorded only where nothing of that size was measured in the same run. */
export interface Ratio {
  readonly to: Row;
  readonly value: number;
}

/** `Memory: resident`; a question's mark is mark enough: `How long until a node is ready? reading` */
export function headingOf({ question, what }: Topic, titles: Titles): string {
  const title = titles[question]?.title ?? question;
  return `${title}${/[.?!]$/.test(title) ? '' : ':'} ${what}`;
}

export function isOurs(program: string): boolean {
  return program === 'vipmap' || program.startsWith('vipmap,');
}

/** In the order in which the rows name them, but for ours, which come first in each. */
export function topicsOf(rows: readonly Row[]): Topic[] {
  const groups = Object.values(groupBy(rows, ({ question, what, unit }) => keyOf([question, what, unit])));
  return groups.flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { question, what, unit } = first;
    const bySize = groupBy(group, ({ size }) => printSize(size));
    const results = group.map((row) => resultOf(row, bySize[printSize(row.size)] ?? []));
    return [{ question, what, unit, results: sortBy(results, ({ row }) => !isOurs(row.program)) }];
  });
}

export function isSameTopic(a: Topic, b: Topic): boolean {
  return a.question === b.question && a.what === b.what && a.unit === b.unit;
}

/** Those that the topic has, the fewest services first. */
export function sizesOf({ results }: Topic): Size[] {
  const sizes = results.map(({ row }) => row.size);
  return sizes
    .filter((size, i) => sizes.findIndex((other) => isSameSize(size, other)) === i)
    .toSorted((a, b) => a.services - b.services || a.endpoints - b.endpoints);
}

/** How many values most of its rows have. */
export function usualCount({ results }: Topic): number {
  const counts = results.map(({ row }) => row.values.length).toSorted((a, b) => a - b);
  return counts[Math.floor(counts.length / 2)] ?? 0;
}

export function isSameSize(a: Size, b: Size): boolean {
  return a.services === b.services && a.endpoints === b.endpoints;
}

function resultOf(row: Row, sameSize: readonly Row[]): Result {
  const mine = median([...row.values]);
  const to = comparedTo(row, sameSize);
  const theirs = to === undefined ? 0 : median([...to.values]);
  return {
    row,
    median: mine,
    least: min([...row.values]),
    most: max([...row.values]),
    ...(to !== undefined && theirs > 0 && { ratio: { to, value: mine / theirs } }),
  };
}

/** kube-proxy, else another program that is not ours, else the first one; of the same run if possible. */
function comparedTo(row: Row, sameSize: readonly Row[]): Row | undefined {
  const sameRun = sameSize.filter((other) => runOf(other) === runOf(row));
  // A program that was only recorded may be the measure for a row of ours; the other way round it would say nothing.
  const elsewhere = isOurs(row.program) && row.recorded === undefined ? rivalAmong(sameSize) : undefined;
  const to = rivalAmong(sameRun) ?? elsewhere ?? sameRun[0];
  return to?.program === row.program ? undefined : to;
}

/** What no service proxy can be better than, and so no rival while there is another. */
const floors: readonly string[] = ['no rules', 'conntrack only'];

function rivalAmong(rows: readonly Row[]): Row | undefined {
  const others = rows.filter(({ program }) => !isOurs(program));
  return (
    others.find(({ program }) => program === 'kube-proxy') ??
    others.find(({ program }) => !floors.includes(program)) ??
    others[0]
  );
}

const runOf = ({ recorded }: Row) => (recorded === undefined ? '' : keyOf([recorded.machine, recorded.date]));

const keyOf = (parts: readonly unknown[]) => JSON.stringify(parts);
