import { readFile } from 'node:fs/promises';
import { questions } from '../questions/index.ts';
import { parseReport } from './parse.ts';
import { writeReport } from './write.ts';

/*
 * Makes page, table and pictures of a report anew: scripts/run.sh bench/report/main.ts FILE FOLDER
 * Exit code 2 if one of the two is not given, 1 if the file is not a report or nothing can be written.
 */
const [file, folder] = process.argv.slice(2);
if (file === undefined || folder === undefined) {
  console.error(
    'report: error: name a report and the folder to write to: main.ts bench/results/report.json bench/results',
  );
  process.exitCode = 2;
} else {
  try {
    const titles = Object.fromEntries(questions.map(({ name, title, about }) => [name, { title, about }]));
    const names = await writeReport(parseReport(await readFile(file, 'utf8')), folder, titles);
    console.error(`report: ${names.join(', ')} in ${folder}`);
  } catch (error) {
    console.error(`report: error: ${file}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
