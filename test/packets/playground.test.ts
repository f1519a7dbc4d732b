import path from 'node:path';
import { describeInside } from './describe-inside.ts';
import { findEntrance, runScriptInside } from './namespace.ts';
import type { Outcome } from './outcome.ts';
import type { PacketSpec } from './packets-file.ts';

const nft = process.env['VIPMAP_NFT'] ?? 'nft';
const entrance = await findEntrance(nft);

interface Verdict {
  readonly spec: PacketSpec;
  readonly fault?: string;
  readonly outcomes: readonly Outcome[];
}

interface Report {
  readonly right: readonly Verdict[];
  readonly wrongs: readonly Verdict[];
  readonly rejections: readonly Outcome[];
  readonly many: readonly Outcome[];
  readonly moved: readonly Outcome[];
}

describeInside(entrance, 'a playground with a ruleset by hand', (inside) => {
  let report: Report;

  beforeAll(async () => {
    const script = path.join(import.meta.dirname, 'playground-selftest.ts');
    report = JSON.parse(await runScriptInside(inside, script, [nft]));
  }, 60_000);

  it('sees what the ruleset makes of each packet', () => {
    expect(report.right.length).toBeGreaterThan(100);
    expect(report.right.flatMap(({ fault }) => fault ?? [])).toEqual([]);
  });

  it('tells an ICMP error from a reset', () => {
    expect(report.rejections).toEqual([
      { kind: 'rejected', by: 'icmp' },
      { kind: 'rejected', by: 'reset' },
    ]);
  });

  it('finds fault with each expectation that is not met', () => {
    expect(report.wrongs.filter(({ fault }) => fault === undefined)).toEqual([]);
    expect(report.wrongs[0]?.fault).toBe(
      'packet 1: 10.244.1.9 to 10.96.0.10:53/udp: expected to reach 10.244.1.5:53 from 10.244.1.9, ' +
        'but it was sent on to 10.244.1.5:5353 through cni0 from 10.244.1.9',
    );
  });

  it('loses no packet of a large batch', () => {
    expect(report.many.filter(({ kind }) => kind !== 'sent-on')).toEqual([]);
  });

  it('moves to other node addresses', () => {
    expect(report.moved.map(({ kind }) => kind)).toEqual(['sent-on', 'delivered', 'sent-on']);
  });
});
