import { escapeText } from './svg.ts';
import { isSameSize, type Result, sizesOf, type Topic, usualCount } from './topics.ts';
import { printCount, printRange, printRatio, printSizeForPeople, printValue } from './values.ts';

/** A row for each size, a column for each program, in a box that scrolls by itself. */
export function htmlTable(topic: Topic): string {
  const programs = [...new Set(topic.results.map(({ row }) => row.program))];
  const heads = programs.map((program) => `<th scope="col">${escapeText(program)}</th>`);
  const rows = sizesOf(topic).map((size) => {
    const results = topic.results.filter(({ row }) => isSameSize(row.size, size));
    const cells = programs.map((program) =>
      cell(
        topic,
        results.filter(({ row }) => row.program === program),
      ),
    );
    return `<tr><th scope="row">${printSizeForPeople(size)}</th>${cells.join('')}</tr>`;
  });
  // Only what can be focused can be scrolled with the keyboard.
  return `<div class="scroll" role="region" aria-label="Table: ${escapeText(topic.what)}" tabindex="0">
<table>
<caption>${escapeText(topic.what)}, by services × endpoints</caption>
<thead><tr><th scope="col">size</th>${heads.join('')}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
</div>`;
}

function cell(topic: Topic, results: readonly Result[]): string {
  if (results.length === 0) return '<td><small>not measured</small></td>';
  return `<td>${results.map((result) => entry(topic, result)).join('')}</td>`;
}

function entry(topic: Topic, { row, median, least, most, ratio }: Result): string {
  const count = row.values.length;
  const lines = [`<b>${printValue(median, topic.unit)}</b>`];
  if (most > least) lines.push(`<small>${printRange(least, most, topic.unit)}</small>`);
  if (count !== usualCount(topic)) lines.push(`<small>${printCount(count)}</small>`);
  if (row.recorded !== undefined) lines.push(`<small>recorded ${unbroken(row.recorded.date)}</small>`);
  if (ratio !== undefined) {
    const asRecorded = ratio.to.recorded !== undefined && row.recorded === undefined ? ', as recorded' : '';
    const to = unbroken(`${ratio.to.program}${asRecorded}`);
    lines.push(`<small class="ratio">${printRatio(ratio.value)} × ${to}</small>`);
  }
  return `<div class="${row.recorded === undefined ? 'measured' : 'recorded'}">${lines.join('')}</div>`;
}

/** Names and dates: their hyphens are no places to break them. */
function unbroken(text: string): string {
  return escapeText(text).replace(/\S+-\S+/g, '<span>$&</span>');
}
