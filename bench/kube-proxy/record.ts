import { readFileSync, writeFileSync } from 'node:fs';
import type { Report } from '../question.ts';
import { type Recorded, recordedFile } from './recorded.ts';

/*
 * Keeps a run's numbers for machines that cannot run kube-proxy, in the place of those kept so far: record.ts REPORT.JSON, which
 * `npm run bench -- --full --only beside-kube-proxy` has written.
 */
const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('record.ts: which report.json?');
const { date, machine, rows } = JSON.parse(readFileSync(file, 'utf8')) as Report;
const measured = rows.filter(({ question, recorded }) => question === 'beside-kube-proxy' && recorded === undefined);
if (measured.length === 0) throw new Error(`${file}: kube-proxy was not measured in that run`);
const kept: Recorded = {
  machine: `${machine.processors} x ${machine.model}, ${machine.kernel}`,
  date: date.slice(0, 10),
  rows: measured.map((row) => ({ ...row, values: row.values.map((value) => Number(value.toPrecision(4))) })),
};
writeFileSync(recordedFile, `${JSON.stringify(kept, undefined, 2)}\n`);
