import dgram from 'node:dgram';
import { compile } from '../../src/compile/nftables/compile.ts';
import { LiveRuleset, noSlots } from '../../src/compile/nftables/live-ruleset.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { NetlinkKernel } from '../../src/kernel/netlink/netlink-kernel.ts';
import { NftKernel } from '../../src/kernel/nft.ts';
import { families, type Family } from '../../src/net/ip.ts';
import { planTransaction } from '../../src/reconcile/plan-transactions.ts';
import { namedProtocols, parseListing, parseTable } from '../../src/ruleset/nftables/parse-json.ts';
import { elementsOf, isDynamic, type Ruleset, type SetDeclaration } from '../../src/ruleset/nftables/ruleset.ts';
import type { Transaction } from '../../src/ruleset/nftables/transaction.ts';
import { fixtureNames, readFixture } from '../fixtures.ts';
import { nft, nftProgram, runProgram } from '../kernel/vipmap.ts';
import { type Checks, differs, firstOf, load } from './check.ts';

export const nftKernel = await NftKernel.open({ program: nftProgram });

/** A kernel that is asked only for what netlink does not do: counts what it is asked for. */
export class OtherKernel implements Kernel {
  readonly asked: string[] = [];

  apply(transaction: Transaction): Promise<void> {
    this.asked.push('apply');
    return nftKernel.apply(transaction);
  }
  readTable(family: Family) {
    return nftKernel.readTable(family);
  }
  readElements(family: Family, set: SetDeclaration) {
    this.asked.push(set.name);
    return nftKernel.readElements(family, set);
  }
}

export async function withNetlink<T>(run: (kernel: NetlinkKernel, other: OtherKernel) => Promise<T>): Promise<T> {
  const other = new OtherKernel();
  const kernel = NetlinkKernel.open(other);
  if (kernel === undefined) throw new Error('koffi is not there');
  try {
    return await run(kernel, other);
  } finally {
    kernel.close();
  }
}

/** All elements as nft lists them, by family and set. */
async function listedElements(family: Family): Promise<Map<string, ReadonlyMap<string, string>>> {
  const { stdout } = await nft(['-j', '-p', 'list', 'table', family, 'vipmap']);
  const { sets, elements } = parseTable(family, parseListing(stdout));
  return new Map([...sets.values()].map((set) => [set.name, namedProtocols(set, elements.get(set.name) ?? new Map())]));
}

/** What nft lists, in an order that does not depend on how the kernel keeps it. */
export async function listing(): Promise<string> {
  const { stdout } = await nft(['-s', 'list', 'ruleset']);
  return stdout
    .split(/[\s,]+/)
    .sort()
    .join(' ');
}

/** What is there is what was compiled, by nft's listing and by netlink. */
async function readsAsListed(ruleset: Required<Ruleset>, name: string): Promise<string | undefined> {
  for (const family of families) {
    const listed = await listedElements(family);
    // As they are read from the kernel, that is without the type of the data.
    const read = (await nftKernel.readTable(family))?.sets;
    for (const set of ruleset[family].sets.values()) {
      if (set.flags.includes('interval')) continue;
      const what = `${name}: ${family} ${set.name}`;
      const wrong = await withNetlink(async (kernel, other) =>
        firstOf(
          differs(`${what} as listed`, listed.get(set.name), elementsOf(ruleset[family], set.name)),
          differs(what, await kernel.readElements(family, set), listed.get(set.name)),
          differs(what, await kernel.readElements(family, read?.get(set.name) ?? set), listed.get(set.name)),
          differs(`${what}: left to nft`, other.asked, []),
        ),
      );
      if (wrong !== undefined) return wrong;
    }
  }
  return undefined;
}

const elementsAlone = ({ commands }: Transaction): Transaction => ({
  commands: commands.filter((command) => command.kind === 'element' && !command.set.flags.includes('interval')),
});
const allElse = ({ commands }: Transaction): Transaction => ({
  commands: commands.filter((command) => command.kind !== 'element' || command.set.flags.includes('interval')),
});

export const elementChecks: Checks = {
  'every fixture is written by netlink as it was compiled, and read as nft lists it': async () => {
    for (const name of fixtureNames) {
      let before: Ruleset = {};
      await nft(['flush', 'ruleset']);
      for (const state of (await readFixture(name)).states) {
        // With the chains that were needed before, and what leads to them.
        const { ruleset } = new LiveRuleset(state, state.servicePorts, noSlots, before);
        const transaction = planTransaction(ruleset, before);
        await nftKernel.apply(allElse(transaction));
        const wrong = await withNetlink(async (kernel, other) => {
          await kernel.apply(elementsAlone(transaction));
          return differs(`${name}: left to nft`, other.asked, []);
        });
        const found = wrong ?? (await readsAsListed(ruleset, name));
        if (found !== undefined) return found;
        before = ruleset;
      }
    }
    return undefined;
  },

  'netlink and nft leave the same rulesets': async () => {
    for (const name of ['dual-stack-service', 'affinity-udp', 'endpoints-come-and-go']) {
      const rulesets = (await readFixture(name)).states.map((state) => compile(state).ruleset);
      const transactions = rulesets.map((ruleset, i) => planTransaction(ruleset, rulesets[i - 1] ?? {}));
      for (const transaction of transactions) await nftKernel.apply(transaction);
      const byNft = await listing();
      await nft(['flush', 'ruleset']);
      await withNetlink(async (kernel) => {
        for (const transaction of transactions) {
          await kernel.apply(allElse(transaction));
          await kernel.apply(elementsAlone(transaction));
        }
      });
      const wrong = differs(name, await listing(), byNft);
      if (wrong !== undefined) return wrong;
      await nft(['flush', 'ruleset']);
    }
    return undefined;
  },

  'single reads give elements exactly as nft does': async () => {
    const [state] = (await readFixture('dual-stack-service')).states;
    if (state === undefined) return 'no state';
    const { ruleset } = compile(state);
    await nftKernel.apply(planTransaction(ruleset, {}));
    return withNetlink(async (kernel) => {
      for (const family of families) {
        for (const set of ruleset[family].sets.values()) {
          const expected = await nftKernel.readElements(family, set);
          const wrong = differs(`${family} ${set.name}`, await kernel.readElements(family, set), expected);
          if (wrong !== undefined) return wrong;
        }
      }
      return undefined;
    });
  },

  'elements of odd addresses, ports and protocols are as nft has them': async () => {
    await load(`table ip6 vipmap {
      chain c { }
      map m { typeof ip6 daddr . meta l4proto . th dport : verdict; elements = {
        ::1 . tcp . 1 : drop, :: . udp . 65535 : accept, ::1.2.3.4 . sctp . 80 : return, ::ffff:1.2.3.4 . 6 . 80 : drop,
        fd00:0:1:0:0:1:: . icmp . 0 : goto c, 1:2:3:4:5:6:7:8 . 255 . 53 : goto c, 1::8 . 0 . 53 : drop } }
      set s { typeof ip6 daddr; elements = { 2001:db8::, ::2 } }
    }`);
    const key = {
      kind: 'concat',
      parts: [
        { kind: 'payload', protocol: 'ip6', field: 'daddr' },
        { kind: 'meta', key: 'l4proto' },
        { kind: 'payload', protocol: 'th', field: 'dport' },
      ],
    } as const;
    return withNetlink(async (kernel, other) => {
      const wrong = [];
      for (const set of [
        { name: 'm', key, data: 'verdict', flags: [] },
        { name: 's', key: key.parts[0], flags: [] },
      ] as const) {
        const found = await kernel.readElements('ip6', set);
        wrong.push(differs(set.name, found, await nftKernel.readElements('ip6', set)));
      }
      return firstOf(...wrong, differs('left to nft', other.asked, []));
    });
  },

  'what the kernel remembers of clients is read, and can be deleted': async () => {
    await runProgram('ip', ['link', 'set', 'lo', 'up']);
    const [state] = (await readFixture('affinity-udp')).states;
    const set = state && compile(state).ruleset.ip.sets.get('affinity-udp');
    if (set === undefined) return 'no set affinity-udp';
    await nftKernel.apply({
      commands: [
        { kind: 'table', verb: 'add', family: 'ip' },
        { kind: 'set', verb: 'add', family: 'ip', set },
      ],
    });
    await load(`table ip vipmap { chain c { type filter hook output priority 0;
      meta l4proto udp update @affinity-udp { ip saddr . ip daddr . udp dport timeout 1h : ip daddr . udp dport }
    }
    }`);
    const socket = dgram.createSocket('udp4');
    for (const port of [53, 54]) await new Promise((resolve) => socket.send('x', port, '127.0.0.1', resolve));
    socket.close();
    return withNetlink(async (kernel, other) => {
      const found = await kernel.readElements('ip', set);
      const listed = await nftKernel.readElements('ip', set);
      const gone = { kind: 'element', verb: 'delete', family: 'ip', set, value: '127.0.0.1 . 53' } as const;
      await kernel.apply({ commands: [{ ...gone, key: '127.0.0.1 . 127.0.0.1 . 53' }] });
      return firstOf(
        differs('is dynamic', isDynamic(set), true),
        differs('found', found, listed),
        differs('number', found.size, 2),
        differs('left', [...(await kernel.readElements('ip', set)).keys()], ['127.0.0.1 . 127.0.0.1 . 54']),
        differs('left to nft', other.asked, []),
      );
    });
  },

  'what netlink cannot do is left to nft': async () => {
    await load(`table ip vipmap {
      chain c { }
      map jumps { typeof ip daddr : verdict; elements = { 10.0.0.1 : jump c } }
      map rest { typeof ip daddr : verdict; elements = { * : drop } }
      map marks { typeof ip daddr : meta mark; elements = { 10.0.0.1 : 7 } }
      set blocks { typeof ip daddr; flags interval; elements = { 10.0.0.0/8 } }
      set other-key { typeof ip saddr . ip daddr; elements = { 10.0.0.1 . 10.0.0.2 } }
    }`);
    const daddr = { kind: 'payload', protocol: 'ip', field: 'daddr' } as const;
    const sets: readonly SetDeclaration[] = [
      { name: 'jumps', key: daddr, data: 'verdict', flags: [] },
      { name: 'rest', key: daddr, data: 'verdict', flags: [] },
      { name: 'marks', key: daddr, data: { kind: 'concat', parts: [] }, flags: [] },
      { name: 'blocks', key: daddr, flags: ['interval'] },
      { name: 'blocks', key: daddr, flags: [] },
      { name: 'other-key', key: daddr, flags: [] },
    ];
    return withNetlink(async (kernel, other) => {
      for (const set of sets) {
        const wrong = differs(set.name, await kernel.readElements('ip', set), await nftKernel.readElements('ip', set));
        if (wrong !== undefined) return wrong;
      }
      const block = { kind: 'element', verb: 'add', family: 'ip', set: sets[3] as SetDeclaration, value: '' } as const;
      await kernel.apply({ commands: [{ ...block, key: '192.0.2.0/24' }] });
      await kernel.apply({ commands: [{ kind: 'table', verb: 'add', family: 'ip6' }] });
      await kernel.apply({ commands: [] });
      return differs('asked', other.asked, [...sets.map(({ name }) => name), 'apply', 'apply']);
    });
  },

  'a table or set that does not exist has no elements': async () => {
    const daddr = { kind: 'payload', protocol: 'ip', field: 'daddr' } as const;
    const set = { name: 'nothing', key: daddr, flags: [] };
    return withNetlink(async (kernel, other) => {
      const noTable = await kernel.readElements('ip', set);
      await load('table ip vipmap { }');
      const noSet = await kernel.readElements('ip', set);
      return differs('found', [noTable.size, noSet.size, other.asked], [0, 0, []]);
    });
  },
};
