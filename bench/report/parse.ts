import { z } from 'zod';
import type { Report } from '../question.ts';

const size = z.object({ services: z.number().positive(), endpoints: z.number().positive() });
const row = z.object({
  question: z.string(),
  what: z.string(),
  program: z.string(),
  size,
  unit: z.enum(['ms', 'us', 'MB', 'count', 'per second']),
  values: z.array(z.number()).nonempty(),
  recorded: z.object({ machine: z.string(), date: z.string() }).exactOptional(),
});
const report = z.object({
  date: z.iso.datetime(),
  machine: z.object({ processors: z.number(), model: z.string(), memoryGiB: z.number(), kernel: z.string() }),
  versions: z.record(z.string(), z.string()),
  load: z.tuple([z.number(), z.number()]),
  rows: z.array(row),
  missing: z.record(z.string(), z.string()),
});

/** @throws Error that names the first field that is wrong and what is accepted there, or says that the text is no JSON */
export function parseReport(text: string): Report {
  const { data, error } = report.safeParse(JSON.parse(text));
  if (error === undefined) return data;
  const [issue] = error.issues;
  throw new Error(`not a report of the bench: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}`);
}

/** JSON with a line for each row, so that a change can be read. */
export function printReport({ rows, ...rest }: Report): string {
  const head = JSON.stringify(rest, null, 2).replace(/\n\}$/, '');
  return `${head},\n  "rows": [\n${rows.map((each) => `    ${JSON.stringify(each)}`).join(',\n')}\n  ]\n}\n`;
}
