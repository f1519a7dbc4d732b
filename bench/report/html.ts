import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Report } from '../question.ts';
import { darkStyle } from './palette.ts';
import { type Plot, plotsOf, recordedNotes } from './plots.ts';
import { captionOf, drawForPage, escapeText } from './svg.ts';
import { htmlTable } from './table.ts';
import { isSameTopic, type Titles, type Topic, topicsOf, usualCount } from './topics.ts';
import { printCount, printDate, printMachine, printVersions } from './values.ts';

/** A whole page that asks for nothing else: no script, style, font or picture from elsewhere. */
export async function htmlPage(report: Report, titles: Titles = {}): Promise<string> {
  const topics = topicsOf(report.rows);
  const plots = plotsOf(report, titles);
  const questions = [...new Set([...topics.map(({ question }) => question), ...Object.keys(report.missing)])];
  const sections = questions.map(async (question, i) => {
    const blocks = topics.filter((topic) => topic.question === question).map((topic) => topicBlock(topic, plots));
    return section(`question-${i + 1}`, question, report.missing[question], titles, await Promise.all(blocks));
  });
  const links = questions.map(
    (question, i) => `<li><a href="#question-${i + 1}">${titleOf(question, titles)}</a></li>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>vipmap: benchmark of ${escapeText(printDate(report))}</title>
<style>
${readFileSync(join(import.meta.dirname, 'page.css'), 'utf8')}${darkStyle}</style>
</head>
<body>
<header>
<h1>vipmap: benchmark</h1>
${facts(report)}
</header>
<main>
${howToRead}
<nav aria-label="Questions">
<ol>
${links.join('\n')}
</ol>
</nav>
${(await Promise.all(sections)).join('\n')}
</main>
</body>
</html>
`;
}

const howToRead = `<section aria-labelledby="how-to-read" class="how">
<h2 id="how-to-read">How to read this</h2>
<ul>
<li>Points and the first figure of a cell are medians; bars and the second line reach from the least to the most of all values. A cell says how many there are where it is not as many as below the plot or table.</li>
<li>Axes are logarithmic: the same distance is the same factor everywhere. Only where a value is 0 they are not.</li>
<li>A size of 5,000 × 10 is 5,000 services of one port with 10 endpoints each; ×10 in a plot says the same of a line.</li>
<li>0.25 × kube-proxy is a quarter of kube-proxy’s median at the same size. Where it was not measured in this run, another program of this run takes its place, or what was recorded of it.</li>
<li>Hollow points, dashed lines and cells with a dashed frame were <em>recorded</em> at another time or on another machine, and not measured in this run.</li>
</ul>
</section>`;

function facts(report: Report): string {
  const entries = [
    ['Date', printDate(report)],
    ['Machine', printMachine(report)],
    ['Kernel', report.machine.kernel],
    ['Versions', printVersions(report)],
    ['Load before and after', report.load.join(' and ')],
  ] as const;
  return `<dl>\n${entries.map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeText(value)}</dd></div>`).join('\n')}\n</dl>`;
}

function section(
  id: string,
  question: string,
  missing: string | undefined,
  titles: Titles,
  blocks: readonly string[],
): string {
  const about = titles[question]?.about;
  return `<section aria-labelledby="${id}" class="question">
<h2 id="${id}">${titleOf(question, titles)}</h2>
${about === undefined ? '' : `<p class="about">${withCode(about)}</p>\n`}${
    missing === undefined
      ? ''
      : `<p class="missing"><strong>${blocks.length === 0 ? 'Not measured' : 'Not measured as a whole'}:</strong> ${withCode(missing)}</p>\n`
  }${blocks.join('\n')}
</section>`;
}

async function topicBlock(topic: Topic, plots: readonly Plot[]): Promise<string> {
  const plot = plots.find((each) => isSameTopic(each.topic, topic));
  const notes = recordedNotes(topic.results.map(({ row }) => row));
  if (plot === undefined) notes.unshift(printCount(usualCount(topic)));
  return `<article class="${plot === undefined ? 'table-alone' : 'topic'}">
<h3>${escapeText(topic.what)}</h3>
${plot === undefined ? '' : `${await figure(plot)}\n`}${htmlTable(topic)}
${notes.map((note) => `<p class="note">${escapeText(note)}</p>\n`).join('')}</article>`;
}

async function figure(plot: Plot): Promise<string> {
  return `<figure>\n${await drawForPage(plot)}\n<figcaption>${escapeText(captionOf(plot.topic))}</figcaption>\n</figure>`;
}

/** What stands in backticks as code. */
function withCode(text: string): string {
  return escapeText(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}

function titleOf(question: string, titles: Titles): string {
  return escapeText(titles[question]?.title ?? question);
}
