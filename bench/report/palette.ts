/** How a program is drawn: always the same, and told apart by its shape as well as by its colour. */
export interface Look {
  readonly color: string;
  readonly shape: string;
}

// Colours of Okabe and Ito's palette, which people who see few colours can tell apart, darkened to stand out on white.
const looks: Readonly<Record<string, Look>> = {
  vipmap: { color: '#0063b1', shape: 'circle' },
  'vipmap, mode ipvs': { color: '#00805d', shape: 'diamond' },
  'kube-proxy': { color: '#c24e00', shape: 'square' },
  'a chain per service': { color: '#5f6368', shape: 'triangle-up' },
  'a chain per service, nft alone': { color: '#5f6368', shape: 'triangle-up' },
  'conntrack only': { color: '#75797e', shape: 'triangle-left' },
  'no rules': { color: '#878b91', shape: 'triangle-down' },
};
const otherLooks: readonly Look[] = [
  { color: '#a3457f', shape: 'triangle-right' },
  { color: '#856600', shape: 'wedge' },
  { color: '#5b4fc4', shape: 'cross' },
];

/** What is no program's: the axes' text, the lines behind, and what is behind everything. */
export const ink = { text: '#3a3f45', faint: '#e2e5e9', axis: '#9aa1a9', paper: '#ffffff' } as const;

/** Each colour on a dark page. */
const inTheDark: Readonly<Record<string, string>> = {
  '#0063b1': '#5cb8ff',
  '#00805d': '#3ccfa0',
  '#c24e00': '#ff9a52',
  '#5f6368': '#c4c9cf',
  '#75797e': '#a5abb2',
  '#878b91': '#888f97',
  '#a3457f': '#ee8fc6',
  '#856600': '#e6c229',
  '#5b4fc4': '#aaa2ff',
  [ink.text]: '#ced3d9',
  [ink.faint]: '#2e343b',
  [ink.axis]: '#6d757e',
  [ink.paper]: '#161b21',
};

/** Of all programs of a report, so that the ones without a look of their own keep theirs from plot to plot. */
export function looksOf(programs: readonly string[]): ReadonlyMap<string, Look> {
  const strangers = [...new Set(programs)].filter((program) => looks[program] === undefined);
  return new Map(
    [...new Set(programs)].map((program) => {
      const look = looks[program] ?? otherLooks[strangers.indexOf(program) % otherLooks.length];
      return [program, look ?? { color: ink.text, shape: 'circle' }];
    }),
  );
}

/**
 * CSS that recolours plots on a dark page. It goes by the colours themselves, which stand in the plot as they are on a light page, so
 * that a program which knows no CSS shows them too.
 */
export const darkStyle = `@media screen and (prefers-color-scheme: dark) {\n${Object.entries(inTheDark)
  .flatMap(([light, dark]) => ['fill', 'stroke'].map((name) => `svg [${name}="${light}"] { ${name}: ${dark}; }\n`))
  .join('')}}\n`;
