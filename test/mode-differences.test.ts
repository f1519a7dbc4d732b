import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { modeDifferences } from './mode-differences.ts';

const readme = join(import.meta.dirname, '..', 'README.md');
const isUpdating = process.env['UPDATE_GOLDENS'] === '1' && process.env['CI'] !== 'true';
const place = /(<!-- mode differences: [^\n]*-->\n)([^]*?)(<!-- end -->\n)/;

it('the README has every difference between the modes, with its reason', () => {
  const rows = modeDifferences.map(({ name, mode, reason }) => `| ${name} | ${mode} | ${reason.trim()} |\n`);
  const table = `| Packets to | Mode | |\n|---|---|---|\n${rows.join('')}`;
  const text = readFileSync(readme, 'utf8');
  if (isUpdating)
    writeFileSync(
      readme,
      text.replace(place, (_all, begin, _old, end) => `${begin}${table}${end}`),
    );
  expect(place.exec(readFileSync(readme, 'utf8'))?.[2]).toBe(table);
});
