import { fixtureNames, readFixture } from './fixtures.ts';
import { faultsOf, type ModeDifference, modeDifferences, packetsIn } from './mode-differences.ts';
import { describeInside } from './packets/describe-inside.ts';
import { findMachine, limitSeconds, runInMachine } from './vm/machine.ts';
import { type Result, titleOf, usualRequests } from './vm/suites.ts';

const entrance = await findMachine();

/** All suites of test/vm in one machine, each with its result: it starts once, and every fixture is a test of its own. */
describeInside(entrance, 'another kernel, in a virtual machine', (machine) => {
  let results: readonly Result[] = [];
  beforeAll(
    async () => {
      results = await runInMachine(machine, usualRequests);
    },
    (limitSeconds + 60) * 1000,
  );

  describe.each(usualRequests.map((request, i) => ({ title: titleOf(request), request, i })))(
    '$title',
    ({ request, i }) => {
      it('comes to its end', () => {
        const result = results[i];
        expect(result?.error).toBeUndefined();
        expect(Object.keys(result?.faults ?? {})).not.toEqual([]);
        for (const [name, reason] of Object.entries(result?.skipped ?? {})) console.log(`SKIPPED ${name}: ${reason}`);
      });
      if (request.suite === 'packets') {
        it.each(fixtureNames)('%s', (name) => {
          expect(results[i]?.faults[name]).toEqual([]);
        });
      } else {
        it('keeps what is promised', () => {
          expect(Object.entries(results[i]?.faults ?? {}).filter(([, found]) => found.length > 0)).toEqual([]);
        });
      }
    },
  );
});

describe('differences between modes', () => {
  const difference: ModeDifference = {
    name: 'one',
    mode: 'ipvs',
    reason: 'so it is',
    packets: [{ fixture: 'some', packet: 'a', expect: 'drop' }],
  };
  const packets = [
    { name: 'a', from: '10.244.1.9', to: '10.96.0.10:53', expect: 'reject' },
    { name: 'a', step: 2, from: '10.244.1.9', to: '10.96.0.10:53', expect: ['10.244.1.5:53'] },
  ] as const;

  it('name packets that are there, each with a reason', async () => {
    const names = new Set(modeDifferences.flatMap((each) => each.packets.map(({ fixture }) => fixture)));
    const fixtures = await Promise.all(
      [...names].filter((name) => fixtureNames.includes(name)).map((name) => readFixture(name)),
    );
    expect(faultsOf(modeDifferences, fixtures)).toEqual([]);
  });

  it('are found at fault', () => {
    const faults = faultsOf(
      [
        difference,
        { ...difference, name: 'two', reason: ' ', packets: [{ fixture: 'none', packet: 'a' }] },
        { ...difference, name: 'three', packets: [{ fixture: 'some', packet: 'b' }] },
        { ...difference, name: 'four', packets: [{ fixture: 'some', packet: 'a', step: 1, expect: 'reject' }] },
      ],
      [{ name: 'some', packets }],
    );
    expect(faults).toEqual([
      'mode difference "two": no reason is given',
      'mode difference "two": there is no fixture "none"',
      'mode difference "three": some has no packet "b"',
      'mode difference "four": some: "a" is expected to do just what packets.yaml says',
    ]);
  });

  it('change what is expected, in their mode and step alone', () => {
    const expected = (mode: 'ipvs' | 'nftables', step?: number) => {
      const [packet] = difference.packets;
      const only = { ...difference, packets: [{ ...packet!, ...(step !== undefined && { step }) }] };
      return packetsIn(mode, { name: 'some', packets }, [only]).map(({ expect }) => expect);
    };
    expect(expected('ipvs')).toEqual(['drop', 'drop']);
    expect(expected('ipvs', 2)).toEqual(['reject', 'drop']);
    expect(expected('nftables')).toEqual(['reject', ['10.244.1.5:53']]);
  });
});
