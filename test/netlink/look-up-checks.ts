import { compile } from '../../src/compile/nftables/compile.ts';
import { NetlinkKernel } from '../../src/kernel/netlink/netlink-kernel.ts';
import { families } from '../../src/net/ip.ts';
import { planTransaction } from '../../src/reconcile/plan-transactions.ts';
import { elementsOf, isDynamic, type SetDeclaration } from '../../src/ruleset/nftables/ruleset.ts';
import { fixtureNames, readFixture } from '../fixtures.ts';
import { nft } from '../kernel/vipmap.ts';
import { type Checks, differs, firstOf, load } from './check.ts';
import { nftKernel, OtherKernel } from './element-checks.ts';

/** However few elements: they are asked for. */
async function asking<T>(run: (kernel: NetlinkKernel) => Promise<T>): Promise<T> {
  const kernel = NetlinkKernel.open(new OtherKernel(), { askFrom: 0 });
  if (kernel === undefined) throw new Error('koffi is not there');
  try {
    return await run(kernel);
  } finally {
    kernel.close();
  }
}

const daddr = { kind: 'payload', protocol: 'ip', field: 'daddr' } as const;
const dport = { kind: 'payload', protocol: 'th', field: 'dport' } as const;
const map: SetDeclaration = {
  name: 'endpoints',
  key: { kind: 'concat', parts: [daddr, dport, { kind: 'random', modulus: 100 }] },
  data: { kind: 'concat', parts: [daddr, dport] },
  flags: [],
};

/** So many elements of one frontend, by slot. */
const endpoints = (count: number) =>
  new Map(Array.from({ length: count }, (_, i) => [`10.96.0.1 . 80 . ${i}`, `10.244.${i >> 8}.${i & 255} . 8080`]));

async function loadEndpoints(elements: ReadonlyMap<string, string>): Promise<void> {
  await load(`table ip vipmap {
    map endpoints { typeof ip daddr . th dport . numgen random mod 100 : ip daddr . th dport; }
  }`);
  const command = { kind: 'element', verb: 'add', family: 'ip', set: map } as const;
  const commands = [...elements].map(([key, value]) => ({ ...command, key, value }));
  await asking((kernel) => kernel.apply({ commands }));
}

/** Does this kernel say how many elements a set has? */
async function canCount(kernel: NetlinkKernel): Promise<boolean> {
  await load('table ip vipmap {\nset nothing { typeof ip daddr; }\n}');
  const nothing = { name: 'nothing', key: daddr, flags: [] };
  return (await kernel.lookUpElements('ip', nothing, new Map()))?.isComplete === true;
}

export const lookUpChecks: Checks = {
  'what every fixture is compiled to is found when it is asked for': async () => {
    for (const name of fixtureNames) {
      await nft(['flush', 'ruleset']);
      const [state] = (await readFixture(name)).states;
      if (state === undefined) continue;
      const { ruleset } = compile(state);
      await nftKernel.apply(planTransaction(ruleset, {}));
      const wrong = await asking(async (kernel) => {
        const found: (string | undefined)[] = [];
        for (const family of families) {
          for (const set of ruleset[family].sets.values()) {
            if (isDynamic(set) || set.flags.includes('interval')) continue;
            const expected = elementsOf(ruleset[family], set.name);
            const lookedUp = await kernel.lookUpElements(family, set, expected);
            const what = `${name}: ${family} ${set.name}`;
            found.push(differs(what, lookedUp?.elements, expected));
            found.push(differs(`${what}, the same object`, lookedUp?.elements === expected, true));
          }
        }
        return firstOf(...found);
      });
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  },

  'what is missing, otherwise or more is told, over several requests': async () => {
    const wanted = endpoints(2_500);
    const actual = new Map(wanted);
    for (const slot of [0, 1, 999, 1_000, 1_700, 2_499]) actual.delete(`10.96.0.1 . 80 . ${slot}`);
    actual.set('10.96.0.1 . 80 . 5', '10.0.0.1 . 8080');
    actual.set('10.96.0.1 . 80 . 1001', '10.244.3.233 . 9');
    await loadEndpoints(actual);
    return asking(async (kernel) => {
      const counts = await canCount(kernel);
      const found = await kernel.lookUpElements('ip', map, wanted);
      const more = { kind: 'element', verb: 'add', family: 'ip', set: map, key: '10.96.0.9 . 80 . 0' } as const;
      await kernel.apply({ commands: [{ ...more, value: '10.0.0.1 . 80' }] });
      const withMore = await kernel.lookUpElements('ip', map, wanted);
      return firstOf(
        differs('elements', new Map([...(found?.elements ?? [])].sort()), new Map([...actual].sort())),
        differs('complete', found?.isComplete, counts),
        differs('with more', withMore?.elements, found?.elements),
        differs('with more, complete', withMore?.isComplete, false),
      );
    });
  },

  'where much is missing, and where a set cannot be asked, reading is left to others': async () => {
    await loadEndpoints(endpoints(1_300));
    await load(`table ip vipmap {
      chain c { }
      map jumps { typeof ip daddr : verdict; elements = { 10.0.0.1 : jump c } }
      set blocks { typeof ip daddr; flags interval; elements = { 10.0.0.0/8 } }
    }`);
    const jumps: SetDeclaration = { name: 'jumps', key: daddr, data: 'verdict', flags: [] };
    const blocks: SetDeclaration = { name: 'blocks', key: daddr, flags: ['interval'] };
    // As many as there are, 600 of them missing.
    const others = new Map([...endpoints(1_900)].slice(600));
    return asking(async (kernel) =>
      firstOf(
        differs('few are there', await kernel.lookUpElements('ip', map, endpoints(2_000)), undefined),
        differs('others are there', await kernel.lookUpElements('ip', map, others), undefined),
        differs('jump', await kernel.lookUpElements('ip', jumps, new Map([['10.0.0.1', 'drop']])), undefined),
        differs('interval', await kernel.lookUpElements('ip', blocks, new Map([['10.0.0.0/8', '']])), undefined),
        differs(
          'declared as interval',
          await kernel.lookUpElements('ip', { ...blocks, flags: [] }, new Map()),
          undefined,
        ),
        differs('not a key', await kernel.lookUpElements('ip', map, new Map([['web . 80 . 0', '']])), undefined),
        differs(
          'no set',
          (await kernel.lookUpElements('ip', { ...map, name: 'none' }, endpoints(2)))?.elements.size,
          0,
        ),
      ),
    );
  },
};
