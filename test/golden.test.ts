import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile, slotsOfRuleset } from '../src/compile/nftables/compile.ts';
import { describeTransaction } from '../src/compile/nftables/describe.ts';
import type { OwnerOf } from '../src/compile/nftables/owners.ts';
import { MemoryIpvsKernel } from '../src/kernel/memory-ipvs.ts';
import { planTransaction } from '../src/reconcile/plan-transactions.ts';
import { recordOf, ServersKeeper } from '../src/reconcile/servers.ts';
import { printSave } from '../src/ruleset/ipvs/print-save.ts';
import { printIpLine, printStep } from '../src/ruleset/ipvs/print-step.ts';
import { applyTransaction } from '../src/ruleset/nftables/apply-transaction.ts';
import { printTransaction } from '../src/ruleset/nftables/print-text.ts';
import type { Ruleset } from '../src/ruleset/nftables/ruleset.ts';
import type { RunningMode } from '../src/source/mode.ts';
import { fixtureNames, readFixture } from './fixtures.ts';

/*
 * rulesets/<fixture>/1.nft is what the first state adds to an empty cluster's ruleset (which is rulesets/empty-cluster/1.nft, whole);
 * 2.nft is the transaction from there to the second state, 2.txt the same in words. Where a fixture's settings differ, so does the
 * skeleton, and its 1.nft is whole. 1.ipvs, 2.ipvs and so on are the same for mode ipvs: addresses and virtual servers, or the steps from
 * the state before, and what changes in the companion table. `UPDATE_GOLDENS=1 npm test -- test/golden` writes them; CI never does.
 */
const root = join(import.meta.dirname, '..', 'rulesets');
const isUpdating = process.env['UPDATE_GOLDENS'] === '1' && process.env['CI'] !== 'true';
const wholeFixture = 'empty-cluster';

type Skeletons = Readonly<Record<RunningMode, Ruleset>>;

async function goldensOf(name: string, skeletons: Skeletons): Promise<ReadonlyMap<string, string>> {
  return new Map([...(await nftGoldens(name, skeletons.nftables)), ...(await ipvsGoldens(name, skeletons.ipvs))]);
}

async function ipvsGoldens(name: string, skeleton: Ruleset): Promise<ReadonlyMap<string, string>> {
  const { states } = await readFixture(name, 'ipvs');
  const goldens = new Map<string, string>();
  let actual: Ruleset = name === wholeFixture ? {} : skeleton;
  const ipvs = new MemoryIpvsKernel({ isStrict: true });
  for (const [i, state] of states.entries()) {
    const live = compile(state, slotsOfRuleset(actual));
    const servers = new ServersKeeper({ kernel: ipvs, terminationLimitMs: 0, clock: () => 0 });
    const { steps } = await servers.planWhole(live, recordOf(actual));
    const transaction = planTransaction(live.ruleset, actual);
    expect(await servers.apply(steps)).toEqual([]);
    const addresses = live.boundIps.map((ip) => `${printIpLine({ kind: 'address', verb: 'add', ip })}\n`).join('');
    const whole = `# ip -batch\n${addresses}# ipvsadm --restore\n${printSave(live.servers.servers)}`;
    const changes = i === 0 ? whole : `# steps\n${steps.map((step) => `${printStep(step)}\n`).join('')}`;
    goldens.set(`${i + 1}.ipvs`, `${changes}# nft -f\n${printTransaction(transaction)}`);
    actual = applyTransaction(actual, transaction);
  }
  return goldens;
}

async function nftGoldens(name: string, skeleton: Ruleset): Promise<ReadonlyMap<string, string>> {
  const { states } = await readFixture(name);
  const goldens = new Map<string, string>();
  let actual: Ruleset = name === wholeFixture ? {} : skeleton;
  for (const [i, state] of states.entries()) {
    const compiled = compile(state, slotsOfRuleset(actual));
    const transaction = planTransaction(compiled.ruleset, actual);
    goldens.set(`${i + 1}.nft`, printTransaction(transaction));
    if (i > 0) {
      const before = compile(states[i - 1] ?? state);
      const ownerOf: OwnerOf = (...element) => compiled.ownerOf(...element) ?? before.ownerOf(...element);
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
  let skeletons: Skeletons;
  beforeAll(async () => {
    const skeleton = async (mode: RunningMode) => {
      const [empty] = (await readFixture(wholeFixture, mode)).states;
      return applyTransaction({}, planTransaction(compile(empty as NonNullable<typeof empty>).ruleset, {}));
    };
    skeletons = { nftables: await skeleton('nftables'), ipvs: await skeleton('ipvs') };
  });

  it.each(fixtureNames)('%s', async (name) => {
    const folder = join(root, name);
    const goldens = await goldensOf(name, skeletons);
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
