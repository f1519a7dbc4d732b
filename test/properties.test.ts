import fc from 'fast-check';
import { expressionJson, printTransactionJson, statementJson } from '../src/ruleset/nftables/print-json.ts';
import { applyTransaction } from '../src/ruleset/nftables/apply-transaction.ts';
import { compile, type Compiled, slotsOfRuleset } from '../src/compile/nftables/compile.ts';
import { parseTable } from '../src/ruleset/nftables/parse-json.ts';
import { planTransaction } from '../src/reconcile/plan-transactions.ts';
import { printTransaction } from '../src/ruleset/nftables/print-text.ts';
import type { Ruleset, Table } from '../src/ruleset/nftables/ruleset.ts';
import { KernelError } from '../src/kernel/kernel.ts';
import { MemoryKernel } from '../src/kernel/memory.ts';
import { reconcile } from '../src/reconcile/reconcile.ts';
import { families } from '../src/net/ip.ts';
import { chainOnDemand } from '../src/compile/nftables/spare-chains.ts';
import { proxyState, proxyStates } from './arbitraries.ts';
import { wantedElements } from './wanted-elements.ts';

const numRuns = 300;

/** Compares what counts: sets without elements may be absent, and chains made on demand may be left over. */
function normalized(ruleset: Ruleset, desired: Ruleset) {
  return families
    .flatMap((family) => ruleset[family] ?? [])
    .map(({ family, chains, sets, elements }) => ({
      family,
      chains: [...chains.values()]
        .filter(({ name }) => desired[family]?.chains.has(name) === true || chainOnDemand(family, name) === undefined)
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      sets: [...sets.keys()].sort(),
      elements: [...elements]
        .map(([set, entries]) => [set, wantedElements(set, entries, desired[family]?.elements.get(set))] as const)
        .filter(([, entries]) => entries.length > 0)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    }));
}

const text = (compiled: Compiled) => printTransaction(planTransaction(compiled.ruleset, {}));

describe('compile', () => {
  it('gives the same bytes whatever the order of the input', () => {
    fc.assert(
      fc.property(proxyState, fc.infiniteStream(fc.integer()), (state, numbers) => {
        const shuffled = {
          ...state,
          serviceCidrs: [...state.serviceCidrs].reverse(),
          servicePorts: state.servicePorts
            .map((servicePort) => ({ ...servicePort, endpoints: [...servicePort.endpoints].reverse() }))
            .map((servicePort) => ({ servicePort, rank: numbers.next().value }))
            .sort((a, b) => a.rank - b.rank)
            .map(({ servicePort }) => servicePort),
        };
        expect(text(compile(shuffled))).toBe(text(compile(state)));
      }),
      { numRuns },
    );
  });

  it('keeps to its slots: compiling a state anew on its own slots changes nothing', () => {
    fc.assert(
      fc.property(proxyStates, (states) => {
        let slots;
        for (const state of states) slots = compile(state, slots).slots;
        const last = states.at(-1) as (typeof states)[number];
        const compiled = compile(last, slots);
        expect(
          planTransaction(compile(last, slotsOfRuleset(compiled.ruleset)).ruleset, compiled.ruleset).commands,
        ).toEqual([]);
      }),
      { numRuns },
    );
  });
});

describe('diff', () => {
  it('of a ruleset against itself is empty', () => {
    fc.assert(
      fc.property(proxyState, (state) => {
        const { ruleset } = compile(state);
        expect(planTransaction(ruleset, ruleset).commands).toEqual([]);
      }),
      { numRuns },
    );
  });

  it('applied to the actual ruleset gives the desired one', () => {
    fc.assert(
      fc.property(proxyStates, (states) => {
        let actual: Ruleset = {};
        for (const state of states) {
          const desired = compile(state, slotsOfRuleset(actual)).ruleset;
          actual = applyTransaction(actual, planTransaction(desired, actual));
          expect(normalized(actual, desired)).toEqual(normalized(desired, desired));
          expect(planTransaction(desired, actual).commands).toEqual([]);
        }
      }),
      { numRuns },
    );
  });

  it('leads to the desired ruleset whatever the settings were before', () => {
    fc.assert(
      fc.property(proxyState, proxyState, (before, after) => {
        const actual = compile(before).ruleset;
        const desired = compile(after, slotsOfRuleset(actual)).ruleset;
        const result = applyTransaction(actual, planTransaction(desired, actual));
        expect(normalized(result, desired)).toEqual(normalized(desired, desired));
      }),
      { numRuns },
    );
  });
});

describe('print and parse', () => {
  it('give back the table', () => {
    fc.assert(
      fc.property(proxyState, (state) => {
        const { ruleset } = compile(state);
        const table = ruleset.ip;
        const parsed = parseTable('ip', listingOf(table));
        expect(normalized({ ip: parsed }, ruleset)).toEqual(normalized({ ip: table }, ruleset));
      }),
      { numRuns: 100 },
    );
  });

  it('write valid JSON', () => {
    fc.assert(
      fc.property(proxyState, (state) => {
        JSON.parse(printTransactionJson(planTransaction(compile(state).ruleset, {})));
      }),
      { numRuns: 100 },
    );
  });
});

/** A listing as nft prints it, from our own printers. */
function listingOf(table: Table) {
  const family = table.family;
  const added = (
    JSON.parse(printTransactionJson(planTransaction({ ip: table, ip6: { ...table, family: 'ip6' } }, {}))) as {
      nftables: { add: Record<string, Record<string, unknown>> }[];
    }
  ).nftables.map(({ add }) => add);
  const elements = new Map(
    added
      .filter(({ element }) => element?.['family'] === family)
      .map(({ element }) => [element?.['name'], element?.['elem']]),
  );
  return {
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { table: { family, name: 'vipmap' } },
      ...[...table.chains.values()].map(({ name, base }) => ({
        chain: {
          family,
          name,
          ...(base && { type: base.type, hook: base.hook, prio: base.priority, policy: 'accept' }),
        },
      })),
      ...[...table.chains.values()].flatMap(({ name, rules }) =>
        rules.map(({ statements, comment }) => ({
          rule: { chain: name, expr: statements.map(statementJson), ...(comment !== undefined && { comment }) },
        })),
      ),
      ...[...table.sets.values()].map(({ name, key, data, flags, size }) => ({
        [data === undefined ? 'set' : 'map']: {
          name,
          type: { typeof: expressionJson(key) },
          ...(data !== undefined && { map: data === 'verdict' ? 'verdict' : ['ipv4_addr', 'inet_service'] }),
          flags,
          size,
          elem: elements.get(name),
        },
      })),
    ],
  };
}

describe('reconcile', () => {
  it('converges whatever fails on the way, and keeps what the last good state had', async () => {
    await fc.assert(
      fc.asyncProperty(proxyStates, fc.infiniteStream(fc.integer({ min: 0, max: 9 })), async (states, dice) => {
        const kernel = new MemoryKernel({}, () => {
          const roll = dice.next().value;
          if (roll === 0) throw new KernelError('crashed', 'nft crashed (SIGSEGV)');
          if (roll === 1) throw new KernelError('timeout', 'nft did not end');
          if (roll === 2) throw new KernelError('refused', 'nft refused: Device or resource busy');
        });
        for (const state of states) {
          // A fault may strike at every step; each time the next try starts from what the kernel really holds.
          for (let attempt = 0; attempt < 50; attempt++) {
            const result = await reconcile(kernel, state).catch((error: unknown) => {
              if (!(error instanceof KernelError)) throw error;
              return undefined;
            });
            if (result?.transaction.commands.length === 0) break;
          }
          const desired = compile(state, slotsOfRuleset(kernel.ruleset)).ruleset;
          expect(normalized(kernel.ruleset, desired)).toEqual(normalized(desired, desired));
        }
      }),
      { numRuns: 100 },
    );
  });

  it('does nothing the second time', async () => {
    await fc.assert(
      fc.asyncProperty(proxyStates, async (states) => {
        const kernel = new MemoryKernel();
        for (const state of states) {
          await reconcile(kernel, state);
          const tried = kernel.tried.length;
          expect((await reconcile(kernel, state)).transaction.commands).toEqual([]);
          // Only the empty transaction that would have removed stale affinity.
          expect(kernel.tried.slice(tried).flatMap(({ commands }) => commands)).toEqual([]);
        }
      }),
      { numRuns: 100 },
    );
  });
});
