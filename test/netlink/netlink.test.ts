import { join } from 'node:path';
import { nftProgram } from '../kernel/vipmap.ts';
import { describeInside } from '../packets/describe-inside.ts';
import { findEntrance, runScriptInside } from '../packets/namespace.ts';

const entrance = await findEntrance(nftProgram);

describeInside(entrance, 'netlink to a real kernel', (inside) => {
  it('keeps what is promised of it', async () => {
    const script = join(import.meta.dirname, 'run-checks.ts');
    const results = JSON.parse(await runScriptInside(inside, script, [])) as Record<string, string>;
    expect(Object.keys(results).length).toBeGreaterThan(10);
    expect(Object.entries(results).filter(([, fault]) => fault !== '')).toEqual([]);
  }, 600_000);
});
