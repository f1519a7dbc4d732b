import fc from 'fast-check';
import { proxyStates } from '../arbitraries.ts';
import { compile, slotsOfRuleset } from '../../src/compile/nftables/compile.ts';
import { KernelError } from '../../src/kernel/kernel.ts';
import { NftKernel } from '../../src/kernel/nft.ts';
import type { ProxyState } from '../../src/model/proxy-state.ts';
import { applyTransaction } from '../../src/reconcile/apply-transaction.ts';
import { planTransaction } from '../../src/reconcile/plan-transactions.ts';
import { readRuleset } from '../../src/reconcile/read-ruleset.ts';
import { compareWithKernel, reconcile } from '../../src/reconcile/reconcile.ts';
import { printTransaction } from '../../src/ruleset/nftables/print-text.ts';
import { fixtureNames, readFixture } from '../fixtures.ts';
import { nft, nftProgram, runProgram } from './vipmap.ts';

/*
 * Runs inside a fresh network namespace: what the kernel edge and the reconciler promise of a real kernel. Prints one JSON object:
 * check to undefined, or to what was wrong.
 *   run-kernel-checks.ts [PART...]   only the checks whose names have one of the parts; !PART: none that has it
 */
const parts = process.argv.slice(2);
const isWanted = (name: string) => {
  const wanted = parts.filter((part) => !part.startsWith('!'));
  const unwanted = parts.filter((part) => part.startsWith('!')).map((part) => part.slice(1));
  const has = (part: string) => name.includes(part);
  return (wanted.length === 0 || wanted.some(has)) && !unwanted.some(has);
};
const richFixture = 'dual-stack-service';
const kernel = await NftKernel.open({ program: nftProgram });
const results: Record<string, string> = {};

async function check(name: string, run: () => Promise<string | undefined>): Promise<void> {
  if (!isWanted(name)) return;
  await nft(['flush', 'ruleset']);
  results[name] =
    (await run().catch((error: unknown) =>
      error instanceof Error ? (error.stack ?? error.message) : String(error),
    )) ?? '';
}

const stateOf = async (fixture: string, step = 1): Promise<ProxyState> => {
  const state = (await readFixture(fixture)).states[step - 1];
  if (state === undefined) throw new Error(`fixture ${fixture} has no step ${step}`);
  return state;
};
const listing = async () => (await nft(['-s', 'list', 'ruleset'])).stdout;
const sorted = (text: string) =>
  text
    .split(/[\s,]+/)
    .sort()
    .join(' ');

const rich = await stateOf(richFixture);

await check('the kernel gives back every compiled ruleset as it was given, also by JSON', async () => {
  const different: string[] = [];
  for (const name of fixtureNames) {
    await nft(['flush', 'ruleset']);
    for (const state of (await readFixture(name)).states) {
      await reconcile(kernel, state);
      if ((await compareWithKernel(kernel, state)).transaction.commands.length > 0) different.push(name);
    }
  }
  return different.length === 0 ? undefined : `differs: ${different.join(', ')}`;
});

await check('a refused transaction changes nothing', async () => {
  await reconcile(kernel, rich);
  const before = await listing();
  const { ruleset } = compile(rich);
  const set = ruleset.ip.sets.get('no-endpoint-services');
  if (set === undefined) return 'no set no-endpoint-services';
  const add = (key: string, value: string) =>
    ({ kind: 'element', verb: 'add', family: 'ip', set, key, value }) as const;
  const error = await kernel
    .apply({ commands: [add('10.9.9.9 . tcp . 1', 'drop'), add('10.9.9.9 . tcp . 2', 'goto nowhere')] })
    .catch((caught: unknown) => caught);
  if (!(error instanceof KernelError) || error.failure !== 'refused')
    return `expected to be refused, but: ${String(error)}`;
  if (!/No such file or directory/.test(error.details.stderr ?? ''))
    return `nft's words are missing: ${error.details.stderr}`;
  return (await listing()) === before ? undefined : 'the ruleset changed';
});

await check('what the kernel refuses is set aside, and the rest is programmed', async () => {
  // Somebody else writes an element between our reading and our writing: adding over it is refused.
  const { transaction, compiled } = await compareWithKernel(kernel, rich);
  const structure = transaction.commands.filter(({ kind }) => kind !== 'element');
  await kernel.apply({ commands: structure });
  const [victim] = compiled.ruleset.ip.elements.get('service-ips') ?? [];
  if (victim === undefined) return 'the fixture has no service';
  await nft(['add', 'element', 'ip', 'vipmap', 'service-ips', `{ ${victim[0]} : 0:9 }`]);
  const elements = { commands: transaction.commands.filter(({ kind }) => kind === 'element') };
  const { setAside } = await applyTransaction(kernel, elements, compiled.ownerOf);
  if (setAside.length !== 1 || setAside[0]?.owner === undefined)
    return `set aside: ${JSON.stringify(setAside.map(({ owner }) => owner))}`;
  // The next run starts from what the kernel holds and mends it.
  const after = await reconcile(kernel, rich);
  if (after.setAside.length > 0) return 'the next run could not mend it';
  return (await compareWithKernel(kernel, rich)).transaction.commands.length === 0
    ? undefined
    : 'the kernel still differs';
});

await check('tables of others stay as they are, through apply, replacement and cleanup', async () => {
  const foreign = 'table inet other {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.96.0.1 }\n\t}\n}\n';
  await nft(['-f', '-'], foreign);
  const own = async () => (await nft(['list', 'table', 'inet', 'other'])).stdout;
  const before = await own();
  await reconcile(kernel, rich);
  await nft(['add', 'chain', 'ip', 'vipmap', 'somebodys-chain']);
  await reconcile(kernel, rich);
  await kernel.apply({
    commands: [
      { kind: 'table', verb: 'delete', family: 'ip' },
      { kind: 'table', verb: 'delete', family: 'ip6' },
    ],
  });
  return (await own()) === before ? undefined : await own();
});

await check('a table of another shape is replaced in one transaction', async () => {
  await nft(
    ['-f', '-'],
    'table ip vipmap {\n\tmap service-ips {\n\t\ttypeof ip daddr : verdict\n\t}\n\tchain old {\n\t\ttype nat hook prerouting priority -100;\n\t}\n}\n',
  );
  const { applied } = await reconcile(kernel, rich);
  const replacing = applied.filter(({ commands }) =>
    commands.some(({ kind, verb }) => kind === 'table' && verb === 'delete'),
  );
  if (applied.length !== 1 || replacing.length !== 1) return `${applied.length} transactions`;
  return (await compareWithKernel(kernel, rich)).transaction.commands.length === 0
    ? undefined
    : 'the kernel still differs';
});

await check('after a restart the table is adopted: slots come from the kernel and nothing is written', async () => {
  const actual = await reconcile(kernel, rich).then(() => readRuleset(kernel));
  const { ruleset } = compile(rich, slotsOfRuleset(actual));
  const { commands } = planTransaction(ruleset, actual);
  return commands.length === 0 ? undefined : `${commands.length} commands`;
});

const oldNft = process.env['VIPMAP_OLD_NFT'];
if (oldNft !== undefined) {
  await check('our tables do not crash an older nft', async () => {
    await reconcile(kernel, await stateOf('affinity-cluster-ip'));
    const { exitCode, stderr, stdout } = await runProgram(oldNft, ['list', 'ruleset']);
    return exitCode === 0 && stdout.includes('service-ips') ? undefined : `exit code ${exitCode}: ${stderr}`;
  });
}

await check('the kernel takes every transaction between states drawn at random', async () => {
  // The seed is part of what is reported, so that a failure can be had again.
  const seed = Number(process.env['VIPMAP_TEST_SEED'] ?? Date.now() % 1_000_000);
  for (const states of fc.sample(proxyStates, { numRuns: 12, seed })) {
    await nft(['flush', 'ruleset']);
    for (const [step, state] of states.entries()) {
      const { setAside } = await reconcile(kernel, state);
      const { commands } = (await compareWithKernel(kernel, state)).transaction;
      if (setAside.length === 0 && commands.length === 0) continue;
      const words = setAside
        .map(({ error, transaction }) => `${error.message}\n${printTransaction(transaction)}`)
        .join('\n');
      return `seed ${seed}, step ${step}: ${words}${commands.length} commands left; states ${JSON.stringify(states.slice(0, step + 1))}`;
    }
  }
  return undefined;
});

await check('text and JSON leave the same ruleset', async () => {
  const transaction = planTransaction(compile(rich).ruleset, {});
  await kernel.apply(transaction);
  // nft 1.1.3 keeps comments of sets from text only.
  const plain = async () => sorted((await listing()).replace(/comment "[^"]*"/g, ''));
  const fromJson = await plain();
  await nft(['flush', 'ruleset']);
  const { exitCode, stderr } = await nft(['-f', '-'], printTransaction(transaction));
  if (exitCode !== 0) return stderr;
  return (await plain()) === fromJson ? undefined : 'they differ';
});

process.stdout.write(`${JSON.stringify(results)}\n`);
