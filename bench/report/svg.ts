import * as vega from 'vega';
import { type Config, compile, type TopLevelSpec } from 'vega-lite';
import { darkStyle, ink } from './palette.ts';
import type { Plot } from './plots.ts';
import { type Topic, usualCount } from './topics.ts';
import { printShortly, printValue } from './values.ts';

vega.expressionFunction('printValue', printValue);
vega.expressionFunction('printShortly', printShortly);
// Vega has no letters to measure here. What it takes instead, 0.8 of the size for each, leaves labels out that have room. Its types
// leave this out.
const { textMetrics } = vega as unknown as { textMetrics: { width: (item: TextItem, text: string) => number } };
textMetrics.width = ({ fontSize }, text) => 0.62 * fontSize * text.length;
interface TextItem {
  readonly fontSize: number;
}

const text = { labelColor: ink.text, labelFontSize: 12, titleColor: ink.text, titleFontSize: 12 } as const;
const config: Config = {
  font: 'system-ui, sans-serif',
  // The whole picture has one description; its parts have none of their own.
  aria: false,
  view: { stroke: null },
  axis: {
    ...text,
    titleFontWeight: 'normal',
    gridColor: ink.faint,
    domainColor: ink.axis,
    tickColor: ink.axis,
  },
  legend: { ...text, orient: 'bottom', labelLimit: 0, symbolSize: 60, rowPadding: 4, columnPadding: 14, offset: 6 },
  title: {
    anchor: 'start',
    frame: 'bounds',
    color: ink.text,
    fontSize: 16,
    subtitleColor: ink.text,
    subtitleFontSize: 12,
    subtitlePadding: 6,
    offset: 14,
  },
};

/** What its points and bars are. */
export function captionOf(topic: Topic): string {
  const count = usualCount(topic);
  return count === 1 ? 'One value each' : `Medians of ${count} values, bars from the least to the most`;
}

/** A picture for a page that has `darkStyle`, a caption and notes of its own; narrow enough for a telephone. */
export async function drawForPage({ spec, description }: Plot): Promise<string> {
  const svg = await draw({ height: 210, ...spec, width: 380, background: 'transparent' }, 1);
  return describe(svg, description);
}

/** A picture that stands alone: with a title, what is recorded, and a background, light or dark as its reader has it. */
export async function drawAlone({ spec, title, notes, description, topic }: Plot): Promise<string> {
  const lines = [topic.what, captionOf(topic), ...notes];
  const look = {
    title: { text: wrap(title, 60), subtitle: lines.flatMap((line) => wrap(line, 80)) },
    width: 640,
    padding: 16,
    background: ink.paper,
  };
  const svg = await draw({ height: 300, ...spec, ...look }, 2);
  return describe(svg, description).replace(/<svg [^>]*>/, (start) => `${start}<style>${darkStyle}</style>`);
}

/** For HTML and SVG: the text of an element or of an attribute in quotes. */
export function escapeText(value: string): string {
  const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return value.replace(/[&<>"]/g, (character) => escapes[character] ?? character);
}

function draw(spec: TopLevelSpec, legendColumns: number): Promise<string> {
  // Its warnings are about style: that a line's width tells programs apart, which it does together with the colour.
  const options = {
    config: { ...config, legend: { ...config.legend, columns: legendColumns } },
    logger: vega.logger(vega.Error),
  };
  const compiled = compile({ ...spec, autosize: { type: 'fit-x', contains: 'padding' } }, options).spec;
  return new vega.View(vega.parse(compiled), { renderer: 'none' }).toSVG();
}

function describe(svg: string, description: string): string {
  return svg.replace('<svg ', `<svg role="img" aria-label="${escapeText(description)}" `);
}

/** Vega breaks no lines. */
function wrap(line: string, width: number): string[] {
  return line.split(' ').reduce<string[]>((lines, word) => {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) return [...lines, word];
    return [...lines.slice(0, -1), `${last} ${word}`];
  }, []);
}
