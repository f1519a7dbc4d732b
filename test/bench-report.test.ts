import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import type { Report, Row } from '../bench/question.ts';
import { sizeAxis, valueAxis } from '../bench/report/axis.ts';
import { htmlPage } from '../bench/report/html.ts';
import { markdownTable } from '../bench/report/markdown.ts';
import { parseReport, printReport } from '../bench/report/parse.ts';
import { plotsOf } from '../bench/report/plots.ts';
import { drawAlone } from '../bench/report/svg.ts';
import { topicsOf } from '../bench/report/topics.ts';
import { printRange, printRatio, printValue } from '../bench/report/values.ts';
import { writeReport } from '../bench/report/write.ts';
import { findBrowser, look, openBrowser, type View } from './bench-report-browser.ts';
import { exampleReport, exampleTitles } from './bench-report-example.ts';
import { describeInside } from './packets/describe-inside.ts';

const recorded = { machine: '8 × Elsewhere', date: '2026-01-31' };
const size = { services: 1000, endpoints: 2 };
const row = (program: string, values: readonly number[], more: Partial<Row> = {}): Row => ({
  question: 'q',
  what: 'all',
  program,
  size,
  unit: 'ms',
  values,
  ...more,
});
const reportOf = (...rows: readonly Row[]): Report => ({ ...exampleReport, rows, missing: {} });
const ratiosOf = (...rows: readonly Row[]) =>
  topicsOf(rows).flatMap(({ results }) =>
    results.map(({ row: { program }, ratio }) => `${program} ${ratio?.value ?? '-'} ${ratio?.to.program ?? ''}`.trim()),
  );

describe('ratios', () => {
  it('are of medians, to kube-proxy of the same size', () => {
    const ours = row('vipmap', [30, 10, 20]);
    const kubeProxy = row('kube-proxy', [70, 90]);
    const floor = row('no rules', [8]);
    expect(ratiosOf(ours, floor, kubeProxy)).toEqual([
      'vipmap 0.25 kube-proxy',
      'no rules 0.1 kube-proxy',
      'kube-proxy -',
    ]);
    expect(ratiosOf(ours, { ...kubeProxy, size: { services: 1000, endpoints: 10 } })).toEqual([
      'vipmap -',
      'kube-proxy -',
    ]);
  });

  it('are to another program of the same run before they are to what was recorded', () => {
    const ours = row('vipmap', [20]);
    const ipvs = row('vipmap, mode ipvs', [40]);
    const chains = row('a chain per service', [200]);
    const kubeProxy = row('kube-proxy', [100], { recorded });
    expect(ratiosOf(ours, kubeProxy, chains)[0]).toBe('vipmap 0.1 a chain per service');
    expect(ratiosOf(ours, ipvs, kubeProxy)).toEqual([
      'vipmap 0.2 kube-proxy',
      'vipmap, mode ipvs 0.4 kube-proxy',
      'kube-proxy -',
    ]);
    expect(ratiosOf(ours, ipvs)).toEqual(['vipmap -', 'vipmap, mode ipvs 2 vipmap']);
  });

  it('of what was recorded are to what was recorded with it', () => {
    const then = row('vipmap', [50], { recorded });
    const kubeProxyThen = row('kube-proxy', [100], { recorded });
    expect(ratiosOf(then, kubeProxyThen, row('kube-proxy', [80]))[0]).toBe('vipmap 0.5 kube-proxy');
    expect(ratiosOf(then, row('kube-proxy', [80]))[0]).toBe('vipmap -');
  });
});

describe('values', () => {
  it('are printed in what suits them', () => {
    expect([0.42, 815.4, 1239, 61_000].map((ms) => printValue(ms, 'ms'))).toEqual([
      '420 µs',
      '815 ms',
      '1.24 s',
      '61 s',
    ]);
    expect([printValue(0, 'ms'), printValue(1240, 'MB'), printValue(12_345, 'per second')]).toEqual([
      '0 ms',
      '1.24 GB',
      '12,345/s',
    ]);
    expect(printRange(980, 1240, 'ms')).toBe('0.98–1.24 s');
    expect([0.314, 0.0263, 1.02, 47.3, 0].map(printRatio)).toEqual(['0.31', '1/38', '1.0', '47.3', '0']);
  });

  it('stand along axes that have room for all and ticks that can be read', () => {
    expect(valueAxis(340, 31_000)).toMatchObject({ type: 'log', domain: [200, 50_000] });
    expect(valueAxis(0.3, 4000).ticks).toEqual([1, 10, 100, 1000]);
    expect(valueAxis(33, 48)).toEqual({ type: 'log', domain: [30, 50], ticks: [30, 40, 50] });
    expect(valueAxis(0, 38)).toEqual({ type: 'linear', domain: [0, 40], ticks: [0, 10, 20, 30, 40] });
    expect(valueAxis(0, 0)).toMatchObject({ domain: [0, 1] });
    expect(sizeAxis([50_000, 100, 100_000, 1000]).ticks.toSorted((a, b) => a - b)).toEqual([100, 1000, 100_000]);
  });
});

describe('plots', () => {
  const withRecorded = reportOf(row('vipmap', [20]), row('kube-proxy', [90]), row('kube-proxy', [100], { recorded }));

  it('are made of what has several sizes or programs', () => {
    const other = row('vipmap', [5], { question: 'alone' });
    expect(plotsOf(reportOf(row('vipmap', [20]), row('kube-proxy', [90]), other)).map(({ name }) => name)).toEqual([
      'q-all',
    ]);
    expect(plotsOf(reportOf(other, { ...other, size: { services: 5, endpoints: 2 } }))).toHaveLength(1);
  });

  it('have names of their own', () => {
    const rows = ['a b', 'a-b'].flatMap((what) => [row('vipmap', [1], { what }), row('kube-proxy', [2], { what })]);
    expect(plotsOf(reportOf(...rows)).map(({ name }) => name)).toEqual(['q-a-b', 'q-a-b-2']);
  });

  it('never show what was recorded as measured', async () => {
    const [plot] = plotsOf(withRecorded);
    expect(plot?.notes).toEqual([
      'kube-proxy at 1,000 × 2: recorded 2026-01-31 on 8 × Elsewhere, not measured in this run',
    ]);
    const svg = plot === undefined ? '' : await drawAlone(plot);
    expect(svg).toMatch(/>kube-proxy, recorded</);
    expect(svg.replace(/<\/text>\s*<text[^>]*>|<\/?tspan[^>]*>/g, ' ')).toMatch(/recorded 2026-01-31 on 8 × Elsewhere/);
    // One point is filled with its colour and one with that of the paper.
    const points = /layer_1_marks"[^]*?<\/g>/.exec(svg)?.[0] ?? '';
    expect(points.match(/fill="#\w+" stroke="#c24e00"/g)?.toSorted()).toEqual([
      'fill="#c24e00" stroke="#c24e00"',
      'fill="#ffffff" stroke="#c24e00"',
    ]);
  });

  it('draw a dashed line between recorded points, and none to measured ones', async () => {
    const larger = { services: 5000, endpoints: 2 };
    const rows = [size, larger].map((at) => row('kube-proxy', [90], { size: at, recorded }));
    const [plot] = plotsOf(reportOf(row('kube-proxy', [9], { size: { services: 10, endpoints: 2 } }), ...rows));
    const svg = plot === undefined ? '' : await drawAlone(plot);
    expect(svg.match(/<path aria-hidden[^>]*stroke-dasharray="4,3"|<path[^>]*stroke-dasharray="4,3"/g)).toHaveLength(1);
    expect(/d="([^"]*)"[^>]*stroke-dasharray/.exec(svg)?.[1]).toMatch(/^M[\d.,]+L[\d.,]+$/);
  });
});

describe('the table in Markdown', () => {
  it('has a ratio beside every time of ours, and says of what was recorded that it was', () => {
    const lines = markdownTable(
      reportOf(row('vipmap', [20, 19, 21]), row('a chain per service', [200]), row('kube-proxy', [1000], { recorded })),
    ).split('\n');
    expect(lines.slice(2, 4)).toEqual([
      '| q: all | 1,000 × 2 | 20 ms (19–21 ms) | a chain per service: 200 ms | 0.10 |',
      '|  | 1,000 × 2 | 20 ms (19–21 ms) | kube-proxy: 1 s, recorded 2026-01-31 | 1/50, not of one run |',
    ]);
    expect(lines).toContain('kube-proxy, recorded 2026-01-31: on 8 × Elsewhere, not measured in this run.');
  });

  it('has no line of ours without a ratio where another program has that size', () => {
    const cells = markdownTable(exampleReport)
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .slice(2)
      .map((line) => line.split(' | '));
    expect(cells.length).toBeGreaterThan(40);
    expect(cells.filter(([, , , rival, ratio]) => (rival === '') !== (ratio === ' |'))).toEqual([]);
  });

  it('tells the machine', () => {
    expect(markdownTable(exampleReport)).toMatch(
      /^Medians.* 2 × Some Processor at 2.20 GHz, 7.8 GiB, Linux 6.1.*vipmap 0.1.0/m,
    );
  });
});

const odd = `<img src=x onerror=alert(1)> "a" | b & \`c\``;
describe('text', () => {
  const report = reportOf(
    row(odd, [1], { question: odd, what: odd }),
    row('vipmap', [2], { question: odd, what: odd, recorded: { machine: odd, date: odd } }),
  );

  it('of every kind is escaped in HTML', async () => {
    const html = await htmlPage({ ...report, versions: { [odd]: odd }, missing: { [odd]: odd, other: odd } });
    expect(html).toContain('&lt;img src=x');
    expect(html).not.toContain('<img');
  });

  it('is escaped in a picture', async () => {
    const svgs = await Promise.all(plotsOf(report).map((plot) => drawAlone(plot)));
    expect(svgs.join()).toContain('&lt;img');
    expect(svgs.join()).not.toContain('<img');
  });

  it('does not break a table of Markdown', () => {
    const [, , line = ''] = markdownTable(report).split('\n');
    expect(line.replaceAll('\\|', '').match(/\|/g)).toHaveLength(6);
    expect(line).not.toMatch(/[^\\]</);
  });
});

describe('a report in a folder', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vipmap-report-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  const remake = (...args: readonly string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, '..', 'bench', 'report', 'main.ts'), ...args], {
      encoding: 'utf8',
    });

  it('is read as it was written', () => {
    expect(parseReport(printReport(exampleReport))).toEqual(exampleReport);
    expect(() => parseReport('{"rows": []}')).toThrow(/^not a report of the bench: date: /);
    expect(() => parseReport(printReport(reportOf(row('vipmap', []))))).toThrow(/rows\.0\.values/);
  });

  it('is page, table and pictures, made anew from its JSON', async () => {
    const names = await writeReport(exampleReport, folder);
    expect(names).toEqual(expect.arrayContaining(['report.json', 'report.html', 'table.md', 'memory-resident.svg']));
    expect(readdirSync(folder).toSorted()).toEqual(names.toSorted());
    const again = join(folder, 'again');
    expect(remake(join(folder, 'report.json'), again)).toMatchObject({ status: 0, stdout: '' });
    const [before, after] = [folder, again].map((each) => readFileSync(join(each, 'report.json'), 'utf8'));
    expect(after).toBe(before);
    expect(readdirSync(again).toSorted()).toEqual(names.toSorted());
  });

  it('is not made of anything else', () => {
    expect(remake('only-one')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('name a report and the folder'),
    });
    const file = join(folder, 'other.json');
    expect(remake(file, folder)).toMatchObject({ status: 1, stderr: expect.stringContaining('no such file') });
    writeFileSync(file, '{}');
    expect(remake(file, folder)).toMatchObject({ status: 1, stderr: expect.stringContaining('not a report') });
  });
});

describeInside(findBrowser(), 'in a browser', ({ command: [path = ''] }) => {
  const plots = plotsOf(exampleReport, exampleTitles);
  const views = ['light', 'dark'].flatMap((scheme) => [1200, 360].map((width) => ({ scheme, width }) as View));
  let folder: string;
  let browser: Browser;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vipmap-report-'));
    await writeReport(exampleReport, folder, exampleTitles);
    browser = await openBrowser(path);
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  it.each(views)('the page can be read: $scheme, $width pixels wide', async (view) => {
    const { seen, requests, complaints } = await look(browser, join(folder, 'report.html'), view);
    expect({ requests, complaints }).toEqual({ requests: ['report.html'], complaints: [] });
    expect(seen).toMatchObject({ lowContrast: [], tinyText: [], scrollsSideways: false });
    expect(seen.checkedTexts).toBeGreaterThan(300);
    expect(seen.plots.map(({ label }) => label)).toEqual(plots.map(({ description }) => description));
    for (const [i, plot] of seen.plots.entries()) {
      const results = plots[i]?.topic.results ?? [];
      expect(plot).toMatchObject({ role: 'img', points: results.length, bars: results.length, faults: [] });
      expect([plot.width > 280 && plot.width < 500, plot.height > 100]).toEqual([true, true]);
    }
    expect(seen.plots[0]?.lines).toBe(9);
    expect(seen.tables).toHaveLength(topicsOf(exampleReport.rows).length);
    for (const table of seen.tables) expect(table).toMatchObject({ isInItsBox: true, isCut: false });
  });

  it.each(views.filter(({ width }) => width > 640))('each picture alone can be read: $scheme', async (view) => {
    for (const { name, topic } of plots) {
      const { seen, requests, complaints } = await look(browser, join(folder, `${name}.svg`), view);
      expect({ requests, complaints }).toEqual({ requests: [`${name}.svg`], complaints: [] });
      expect(seen.lowContrast).toEqual([]);
      expect(seen.plots).toMatchObject([{ role: 'img', points: topic.results.length, faults: [] }]);
    }
  });
});
