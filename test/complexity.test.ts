import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const script = join(import.meta.dirname, 'complexity', 'count-changes.ts');
const execute = promisify(execFile);

type Counts = Readonly<Record<string, Readonly<Record<string, number>>>>;

async function countChanges(services: number): Promise<Counts> {
  // Compiled code that was made before counting began counts less.
  const exact = ['--no-opt', '--no-maglev', '--no-sparkplug'];
  const { stdout } = await execute(process.execPath, [...exact, script, String(services)], {
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout) as Counts;
}

/** Counts, not times: every command, byte, call and turn of a loop of one change. */
describe('the cost of one change does not grow with the cluster', () => {
  let small: Counts;
  let large: Counts;
  beforeAll(async () => {
    [small, large] = [await countChanges(1_000), await countChanges(30_000)];
  }, 120_000);

  it.each(['one endpoint added', 'one endpoint removed', 'one service added', 'one service removed'])(
    '%s: the same work with 1,000 services and with 30,000',
    (change) => {
      const counts = small[change] ?? {};
      // Enough of it was counted, and something was sent.
      expect(Object.keys(counts).length).toBeGreaterThan(100);
      expect(counts['commands']).toBeGreaterThan(0);
      expect(counts['bytes']).toBeGreaterThan(0);
      expect(large[change]).toEqual(counts);
    },
  );
});
