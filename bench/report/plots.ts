import type { TopLevelSpec } from 'vega-lite';
import type { Report, Row, Size } from '../question.ts';
import { looksOf } from './palette.ts';
import { specOf } from './spec.ts';
import { headingOf, sizesOf, type Titles, type Topic, topicsOf } from './topics.ts';
import { printSizeForPeople } from './values.ts';

export interface Plot {
  readonly topic: Topic;
  /** Of its file, without the ending, and of nothing else in the report: `cold-load-all`. */
  readonly name: string;
  /** The question's. */
  readonly title: string;
  /** Where values come from that were not measured in this run: a sentence for each place. */
  readonly notes: readonly string[];
  /** What it shows, for those who do not see it. */
  readonly description: string;
  /** Vega-Lite, without title or width. */
  readonly spec: TopLevelSpec;
}

/** A plot of each topic that has several sizes or programs to compare. */
export function plotsOf(report: Pick<Report, 'rows'>, titles: Titles = {}): Plot[] {
  const looks = looksOf(report.rows.map(({ program }) => program));
  const names = new Map<string, number>();
  return topicsOf(report.rows)
    .filter((topic) => isWorthDrawing(topic))
    .map((topic) => {
      const slug = `${topic.question} ${topic.what}`.toLowerCase().replace(/[^a-z0-9]+/g, '-');
      const taken = names.get(slug) ?? 0;
      names.set(slug, taken + 1);
      return {
        topic,
        name: taken === 0 ? slug : `${slug}-${taken + 1}`,
        title: titles[topic.question]?.title ?? topic.question,
        notes: recordedNotes(topic.results.map(({ row }) => row)),
        description: describe(headingOf(topic, titles), topic),
        spec: specOf(topic, looks),
      };
    });
}

/** `kube-proxy at 20,000 × 10: recorded 2026-01-31 on 8 x Some Processor, not measured in this run` */
export function recordedNotes(rows: readonly Row[]): string[] {
  const sizes = new Map<string, Size[]>();
  for (const { program, size, recorded } of rows) {
    if (recorded === undefined) continue;
    const key = JSON.stringify([program, recorded.date, recorded.machine]);
    sizes.set(key, [...(sizes.get(key) ?? []), size]);
  }
  return [...sizes].map(([key, at]) => {
    const [program, date, machine] = JSON.parse(key) as [string, string, string];
    return `${program} at ${at.map(printSizeForPeople).join(', ')}: recorded ${date} on ${machine}, not measured in this run`;
  });
}

function isWorthDrawing(topic: Topic): boolean {
  return sizesOf(topic).length > 1 || new Set(topic.results.map(({ row }) => row.program)).size > 1;
}

function describe(heading: string, topic: Topic): string {
  const programs = [...new Set(topic.results.map(({ row }) => row.program))];
  const sizes = sizesOf(topic).map(printSizeForPeople);
  const from = sizes.length > 1 ? `from ${sizes[0]} to ${sizes.at(-1)}` : `at ${sizes[0]}`;
  return `${heading}. ${programs.join('; ')}, ${from} services × endpoints.`;
}
