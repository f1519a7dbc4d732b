import type { Report, Row, Size } from '../question.ts';
import { headingOf, isOurs, isSameSize, type Result, sizesOf, type Titles, type Topic, topicsOf } from './topics.ts';
import {
  printDate,
  printMachine,
  printRange,
  printRatio,
  printSizeForPeople,
  printValue,
  printVersions,
} from './values.ts';

/** One line of the table. */
interface Pair {
  readonly size: Size;
  readonly ours?: Result;
  readonly rival?: Result;
}

/** Ours and a rival's values side by side with their ratio, for a README: a line for each size, and for each rival there. */
export function markdownTable(report: Report, titles: Titles = {}): string {
  const lines = topicsOf(report.rows).flatMap((topic) => {
    return pairsOf(topic).map(({ size, ours, rival }, i) => [
      i === 0 ? escapeMarkdown(headingOf(topic, titles)) : '',
      printSizeForPeople(size),
      ours === undefined ? '' : cell(topic, ours, ours.row.program.replace(/^vipmap(, )?/, '')),
      rival === undefined ? '' : cell(topic, rival, rival.row.program),
      ours === undefined || rival === undefined ? '' : ratioOf(ours, rival),
    ]);
  });
  const heads = ['', 'services × endpoints', 'vipmap', 'another program', 'ratio'];
  const table = [heads, heads.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
  return `${table}\n${aboutTheRun(report)}\n${recordings(report.rows).join('')}`;
}

/** Every row of ours beside what it is compared to, and beside what was recorded of that size: neither stands for the other. */
function pairsOf(topic: Topic): Pair[] {
  return sizesOf(topic).flatMap((size): Pair[] => {
    const results = topic.results.filter(({ row }) => isSameSize(row.size, size));
    const ours = results.filter(({ row }) => isOurs(row.program));
    const theirs = results.filter(({ row }) => !isOurs(row.program));
    if (ours.length === 0) return theirs.map((rival) => ({ size, rival }));
    return ours.flatMap((mine): Pair[] => {
      const to = mine.ratio?.to;
      const rivals = theirs.filter(
        ({ row }) => row === to || (row.recorded !== undefined && row.program !== to?.program),
      );
      return rivals.length === 0 ? [{ size, ours: mine }] : rivals.map((rival) => ({ size, ours: mine, rival }));
    });
  });
}

/** `kube-proxy: 925 ms (903–969 ms)` */
function cell({ unit }: Topic, { row, median, least, most }: Result, name: string): string {
  const range = most > least ? ` (${printRange(least, most, unit)})` : '';
  const recorded = row.recorded === undefined ? '' : `, recorded ${escapeMarkdown(row.recorded.date)}`;
  return `${name === '' ? '' : `${escapeMarkdown(name)}: `}${printValue(median, unit)}${range}${recorded}`;
}

function ratioOf(ours: Result, rival: Result): string {
  if (rival.median === 0) return '';
  const isAcross = JSON.stringify(ours.row.recorded) !== JSON.stringify(rival.row.recorded);
  return `${printRatio(ours.median / rival.median)}${isAcross ? ', not of one run' : ''}`;
}

function aboutTheRun(report: Report): string {
  const [before, after] = report.load;
  const machine = `${printMachine(report)}, ${report.machine.kernel}; ${printVersions(report)}`;
  return `Medians (least–most); the ratio is vipmap's to the other's. ${printDate(report)}, ${escapeMarkdown(machine)}; load ${before} before, ${after} after.\n`;
}

function recordings(rows: readonly Row[]): string[] {
  const sentences = rows.flatMap(({ program, recorded }) =>
    recorded === undefined
      ? []
      : [`${program}, recorded ${recorded.date}: on ${recorded.machine}, not measured in this run.`],
  );
  return [...new Set(sentences)].map((sentence) => `${escapeMarkdown(sentence)}\n`);
}

/** So that a name in a table's cell stays what it is. */
function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_[\]<>|~&]/g, '\\$&').replace(/\s+/g, ' ');
}
