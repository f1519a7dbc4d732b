import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '../question.ts';
import { htmlPage } from './html.ts';
import { markdownTable } from './markdown.ts';
import { printReport } from './parse.ts';
import { plotsOf } from './plots.ts';
import { drawAlone } from './svg.ts';
import type { Titles } from './topics.ts';

/**
 * Makes the folder if need be, and in it report.json, report.html, table.md and a picture of each plot: cold-load-all.svg.
 * @returns the names of the files
 */
export async function writeReport(report: Report, folder: string, titles: Titles = {}): Promise<string[]> {
  const files = new Map([
    ['report.json', printReport(report)],
    ['report.html', await htmlPage(report, titles)],
    ['table.md', markdownTable(report, titles)],
  ]);
  for (const plot of plotsOf(report, titles)) files.set(`${plot.name}.svg`, await drawAlone(plot));
  await mkdir(folder, { recursive: true });
  for (const [name, text] of files) await writeFile(join(folder, name), text);
  return [...files.keys()];
}
