import type { Report, Row, Size, Unit } from '../bench/question.ts';
import type { Titles } from '../bench/report/topics.ts';

/** A report as a whole run writes it, of made-up values. */
const sizes: readonly Size[] = [100, 1000, 5000, 10_000, 20_000, 50_000, 100_000].map((services) => ({
  services,
  endpoints: 2,
}));
const recorded = { machine: '4 × Another Processor at 3.10 GHz, 16 GiB, Linux 6.12', date: '2026-01-31' };

/** So many values around one, always the same. */
function around(value: number, count = 5): number[] {
  return Array.from({ length: count }, (_, i) => Number((value * (1 + 0.07 * Math.sin(7 * i + value))).toPrecision(4)));
}

interface Growth {
  readonly program: string;
  readonly base: number;
  /** For each service, and for each pair of services. */
  readonly linear: number;
  readonly square?: number;
  readonly most?: number;
}

function rows(
  question: string,
  what: string,
  unit: Unit,
  programs: readonly Growth[],
  at: readonly Size[] = sizes,
): Row[] {
  return programs.flatMap(({ program, base, linear, square = 0, most = Infinity }) =>
    at
      .filter(({ services }) => services <= most)
      .map((size) => {
        const { services, endpoints } = size;
        const value = base + (linear * services * endpoints) / 2 + square * services ** 2;
        return { question, what, program, size, unit, values: around(value) };
      }),
  );
}

const withTen: readonly Size[] = [...sizes, ...[1000, 5000, 20_000].map((services) => ({ services, endpoints: 10 }))];

export const exampleReport: Report = {
  date: '2026-02-14T09:26:53Z',
  machine: { processors: 2, model: 'Some Processor at 2.20 GHz', memoryGiB: 7.8, kernel: 'Linux 6.1.0-44-amd64' },
  versions: { vipmap: '0.1.0', node: '24.21.0', nft: '1.1.3', 'kube-proxy': '1.35.0' },
  load: [0.31, 2.04],
  rows: [
    ...rows(
      'cold-load',
      'all',
      'ms',
      [
        { program: 'vipmap', base: 340, linear: 0.09 },
        { program: 'vipmap, mode ipvs', base: 420, linear: 0.31 },
        { program: 'kube-proxy', base: 900, linear: 0.6, square: 0.0011, most: 10_000 },
        { program: 'a chain per service, nft alone', base: 25, linear: 0.4, square: 0.0009, most: 20_000 },
      ],
      withTen,
    ),
    {
      question: 'cold-load',
      what: 'all',
      program: 'kube-proxy',
      size: { services: 20_000, endpoints: 10 },
      unit: 'ms',
      values: [612_000, 655_400, 702_100],
      recorded,
    },
    ...rows('cold-load', 'reading', 'ms', [
      { program: 'vipmap', base: 60, linear: 0.02 },
      { program: 'vipmap, mode ipvs', base: 62, linear: 0.021 },
    ]),
    ...rows('one-change', 'one endpoint added', 'us', [
      { program: 'vipmap', base: 820, linear: 0.004 },
      { program: 'vipmap, mode ipvs', base: 1500, linear: 0.006 },
      { program: 'kube-proxy', base: 1_004_000, linear: 140, most: 10_000 },
    ]),
    ...rows('memory', 'resident', 'MB', [
      { program: 'vipmap', base: 96, linear: 0.0041 },
      { program: 'kube-proxy', base: 48, linear: 0.012, most: 10_000 },
    ]),
    ...rows('new-connections', 'through one node port', 'per second', [
      { program: 'vipmap', base: 41_300, linear: -0.02 },
      { program: 'vipmap, mode ipvs', base: 38_800, linear: -0.01 },
      { program: 'kube-proxy', base: 40_100, linear: -0.8, most: 10_000 },
      { program: 'a chain per service', base: 39_700, linear: -0.3, most: 20_000 },
      { program: 'no rules', base: 47_900, linear: 0 },
    ]),
    ...rows('lost', 'connections refused while it restarts', 'count', [
      { program: 'vipmap', base: 0, linear: 0, most: 10_000 },
      { program: 'kube-proxy', base: 2, linear: 0.003, most: 10_000 },
    ]),
    ...rows(
      'many-endpoints',
      'one service',
      'ms',
      [
        { program: 'vipmap', base: 330, linear: 0.8 },
        { program: 'kube-proxy', base: 880, linear: 1.9 },
      ],
      [10, 100, 1000].map((endpoints) => ({ services: 1, endpoints })),
    ),
    ...rows(
      'first-packet',
      'all',
      'us',
      [
        { program: 'vipmap', base: 38, linear: 0 },
        { program: 'kube-proxy', base: 44, linear: 0 },
        { program: 'no rules', base: 21, linear: 0 },
      ],
      [{ services: 5000, endpoints: 10 }],
    ),
  ],
  missing: {
    'cold-load': 'kube-proxy at 20,000 services and more takes longer than the limit of 10 min; see what was recorded.',
    'failed-apply': 'nft 1.1.3 or newer is missing.',
  },
};

export const exampleTitles: Titles = {
  'cold-load': {
    title: 'How long until a node is ready?',
    about: 'From the start of `vipmap apply`, with an empty kernel, to the last rule in place.',
  },
  'one-change': {
    title: 'One change',
    about: 'From the event that the API server sends to the kernel having it.',
  },
  memory: { title: 'Memory', about: 'Of the process, when everything is in place.' },
  'new-connections': {
    title: 'New connections',
    about: 'TCP connections that one client opens and closes in a second.',
  },
  'failed-apply': { title: 'A refused transaction', about: 'From the refusal to a kernel that is right again.' },
};
