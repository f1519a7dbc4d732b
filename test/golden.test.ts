import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile, slotsOfRuleset } from '../src/compile/nftables/compile.ts';
import { describeTransaction } from '../src/compile/nftables/describe.ts';
import { indexOwners } from '../src/compile/nftables/owners.ts';
import { planTransaction } from '../src/reconcile/plan-transactions.ts';
import { applyTransaction } from '../src/ruleset/nftables/apply-transaction.ts';
import { printTransaction } from '../src/ruleset/nftables/print-text.ts';
import type { Ruleset } from '../src/ruleset/nftables/ruleset.ts';
import { fixtureNames, readFixture } from './fixtures.ts';

/*
 * rulesets/<fixture>/1.nft is what the first state adds to an empty cluster's ruleset (which is rulesets/empty-cluster/1.nft, whole);
 * 2.nft is the transaction from there to the second state, 2.txt the same in words. Where a fixture's settings differ, so does the
 * skeleton, and its 1.nft is whole. `UPDATE_GOLDENS=1 npm test -- test/golden` writes them; CI never does.
 */
const root = join(import.meta.dirname, '..', 'rulesets');
const isUpdating = process.env['UPDATE_GOLDENS'] === '1' && process.env['CI'] !== 'true';
const wholeFixture = 'empty-cluster';

async function goldensOf(name: string, skeleton: Ruleset): Promise<ReadonlyMap<string, string>> {
  const { states } = await readFixture(name);
  const goldens = new Map<string, string>();
  let actual: Ruleset = name === wholeFixture ? {} : skeleton;
  for (const [i, state] of states.entries()) {
    const desired = compile(state, slotsOfRuleset(actual)).ruleset;
    const transaction = planTransaction(desired, actual);
    goldens.set(`${i + 1}.nft`, printTransaction(transaction));
    if (i > 0) {
      const ownerOf = indexOwners(state.servicePorts, states[i - 1]?.servicePorts ?? []);
      const words = describeTransaction(transaction, ownerOf).map(({ heading, lines }) =>
        [heading, ...lines.map((line) => `  ${line}`)].join('\n'),
      );
      goldens.set(`${i + 1}.txt`, `${words.join('\n')}\n`);
    }
    actual = applyTransaction(actual, transaction);
  }
  return goldens;
}

describe('golden rulesets', () => {
  let skeleton: Ruleset;
  beforeAll(async () => {
    const [empty] = (await readFixture(wholeFixture)).states;
    skeleton = applyTransaction({}, planTransaction(compile(empty as NonNullable<typeof empty>).ruleset, {}));
  });

  it.each(fixtureNames)('%s', async (name) => {
    const folder = join(root, name);
    const goldens = await goldensOf(name, skeleton);
    if (isUpdating) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      for (const [file, text] of goldens) writeFileSync(join(folder, file), text);
    }
    expect(existsSync(folder) ? readdirSync(folder).sort() : []).toEqual([...goldens.keys()].sort());
    for (const [file, text] of goldens) expect(readFileSync(join(folder, file), 'utf8')).toBe(text);
  });

  it('has no golden without its fixture', () => {
    expect(readdirSync(root).filter((name) => name !== 'README.md' && !fixtureNames.includes(name))).toEqual([]);
  });
});
