import type { TopLevelSpec } from 'vega-lite';
import type { Row } from '../question.ts';
import { type Axis, sizeAxis, valueAxis } from './axis.ts';
import { ink, type Look } from './palette.ts';
import { sizesOf, type Topic } from './topics.ts';

/** The rows that look the same, and their entry in the legend. */
interface Series extends Look {
  readonly name: string;
  readonly isRecorded: boolean;
  /** Of lines and points: 0 for the fewest endpoints a service in the plot, 1 for the most. */
  readonly weight: number;
}

/** What the points stand along: the number of services; that of endpoints where there is one number of services only; or nothing. */
type Along = 'services' | 'endpoints' | 'nothing';

/** Vega-Lite, without title or size. Its expressions call `printValue` and `printShortly` of values.ts. */
export function specOf(topic: Topic, looks: ReadonlyMap<string, Look>): TopLevelSpec {
  const along = alongOf(topic);
  const findSeries = seriesOf(topic, along, looks);
  const points = topic.results.map(({ row, median, least, most }) => ({
    series: findSeries(row).name,
    along: along === 'nothing' ? 0 : row.size[along],
    recorded: row.recorded !== undefined,
    run: JSON.stringify(row.recorded ?? {}),
    median,
    least,
    most,
  }));
  const series = new Map(topic.results.map(({ row }) => findSeries(row)).map((each) => [each.name, each]));
  const by = bySeries([...series.values()], along !== 'nothing');
  const value = (field: string) => ({
    field,
    type: 'quantitative' as const,
    title: null,
    ...withAxis(
      valueAxis(Math.min(...points.map(({ least }) => least)), Math.max(...points.map(({ most }) => most))),
      `printValue(datum.value, '${topic.unit}')`,
    ),
  });
  const point = {
    mark: { type: 'point' as const, strokeWidth: 2, opacity: 1 },
    encoding: {
      shape: by((each) => each.shape),
      // Hollow is what was not measured.
      fill: by((each) => (each.isRecorded ? ink.paper : each.color)),
      size: by((each) => 30 + 65 * each.weight),
    },
  };
  const bar = { type: 'rule' as const, strokeWidth: 1.5 };
  // What is drawn last is on top: the program that comes first.
  const data = { values: points.toReversed() };
  const stroke = by((each) => each.color);
  if (along === 'nothing') {
    return {
      data,
      height: { step: 36 },
      encoding: { y: rowsOf([...series.keys()]), stroke },
      layer: [
        { mark: bar, encoding: { x: value('least'), x2: { field: 'most' } } },
        { ...point, encoding: { ...point.encoding, x: value('median') } },
      ],
    };
  }
  const line = { y: value('median'), detail: { field: 'run' }, strokeWidth: by((each) => 1.4 + 1.5 * each.weight) };
  return {
    data,
    encoding: { x: sizesAlong(along, points), stroke },
    layer: [
      { mark: bar, encoding: { y: value('least'), y2: { field: 'most' } } },
      { transform: [{ filter: '!datum.recorded' }], mark: 'line', encoding: line },
      { transform: [{ filter: 'datum.recorded' }], mark: { type: 'line', strokeDash: [4, 3] }, encoding: line },
      { ...point, encoding: { ...point.encoding, y: value('median') } },
    ],
  };
}

function rowsOf(names: string[]) {
  return { field: 'series', type: 'nominal' as const, title: null, sort: names, axis: { labelLimit: 0, grid: true } };
}

function sizesAlong(along: Along, points: readonly { readonly along: number }[]) {
  return {
    field: 'along',
    type: 'quantitative' as const,
    title: along === 'services' ? 'services' : 'endpoints of a service',
    ...withAxis(sizeAxis(points.map((point) => point.along)), 'printShortly(datum.value)'),
  };
}

function alongOf(topic: Topic): Along {
  const sizes = sizesOf(topic);
  if (sizes.length === 1) return 'nothing';
  return sizes.every(({ services }) => services === sizes[0]?.services) ? 'endpoints' : 'services';
}

function seriesOf(topic: Topic, along: Along, looks: ReadonlyMap<string, Look>): (row: Row) => Series {
  const endpoints = [...new Set(sizesOf(topic).map((size) => size.endpoints))].toSorted((a, b) => a - b);
  const isByEndpoints = along === 'services' && endpoints.length > 1;
  return ({ program, size, recorded }) => ({
    ...(looks.get(program) ?? { color: ink.text, shape: 'circle' }),
    name: `${program}${isByEndpoints ? ` ×${size.endpoints}` : ''}${recorded === undefined ? '' : ', recorded'}`,
    isRecorded: recorded !== undefined,
    weight: isByEndpoints ? endpoints.indexOf(size.endpoints) / (endpoints.length - 1) : 0.3,
  });
}

/** What makes a channel of Vega-Lite that shows the series, all of them in one legend. */
function bySeries(series: readonly Series[], hasLegend: boolean) {
  return (look: (each: Series) => unknown) => ({
    field: 'series',
    type: 'nominal' as const,
    scale: { type: 'ordinal' as const, domain: series.map(({ name }) => name), range: series.map(look) as string[] },
    legend: hasLegend ? { title: null } : null,
  });
}

function withAxis({ type, domain, ticks }: Axis, labelExpr: string) {
  return { scale: { type, domain: [...domain], nice: false }, axis: { values: [...ticks], labelExpr } };
}
