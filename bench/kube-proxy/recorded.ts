import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printSize, type Row, type Size } from '../question.ts';

/** What record.ts keeps, for machines that cannot build kube-proxy. */
export interface Recorded {
  /** Model of the processor, how many, and the kernel. */
  readonly machine: string;
  /** `2026-01-31` */
  readonly date: string;
  readonly rows: readonly Row[];
}

export const recordedFile = join(import.meta.dirname, 'recorded.json');

/** The rows of those sizes that were recorded, each marked as such. */
export function recordedRows(sizes: readonly Size[]): readonly Row[] {
  const { machine, date, rows } = JSON.parse(readFileSync(recordedFile, 'utf8')) as Recorded;
  const wanted = new Set(sizes.map(printSize));
  return rows.filter(({ size }) => wanted.has(printSize(size))).map((row) => ({ ...row, recorded: { machine, date } }));
}
