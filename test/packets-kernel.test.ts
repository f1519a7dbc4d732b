import { join } from 'node:path';
import { fixtureNames } from './fixtures.ts';
import { nftProgram } from './kernel/vipmap.ts';
import { describeInside } from './packets/describe-inside.ts';
import { findEntrance, runScriptInside } from './packets/namespace.ts';

/** Every fixture through the command line into a real kernel, and its packets as real packets: the same that packets-traced.test.ts traces. */
const entrance = await findEntrance(nftProgram);

describeInside(entrance, 'packets, in the kernel', (inside) => {
  let faults: Readonly<Record<string, readonly string[]>> = {};
  beforeAll(async () => {
    faults = JSON.parse(
      await runScriptInside(inside, join(import.meta.dirname, 'kernel', 'run-fixtures.ts'), []),
    ) as typeof faults;
  }, 900_000);

  it.each(fixtureNames)('%s', (name) => {
    expect(faults[name]).toEqual([]);
  });
});
