import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from '../../src/compile/nftables/compile.ts';
import { applyTransaction } from '../../src/reconcile/apply-transaction.ts';
import { planTransaction } from '../../src/reconcile/plan-transactions.ts';
import { readManifests } from '../../src/source/manifests.ts';
import { buildProxyState } from '../../src/source/proxy-state.ts';
import { chainPerService, clusterState } from '../generate.ts';
import { nftProgram, openTimedKernel, stateOptions } from '../node-rig.ts';
import { flushRuleset, timeCommand, vipmap } from '../programs/commands.ts';
import { collectRows } from '../measure.ts';
import type { Context, Question, Row } from '../question.ts';

/** Above this many services a chain for each takes minutes. */
const mostChains = 10_000;

export const coldLoad: Question = {
  name: 'cold-load',
  title: 'How long until a node is ready?',
  about:
    'From the start of `vipmap apply` with a state file to all rules in an empty kernel; and its parts, in a process that is warm. ' +
    'Beside it a ruleset of kube-proxy’s shape, a chain and an anonymous map for each service, loaded by nft from a file: ' +
    'without whatever a program has to do before.',
  quick: ['100x2', '1000x10', '5000x10'],
  full: ['100x2', '1000x10', '5000x10', '10000x2', '10000x10', '20000x10', '30000x10', '100000x2'],
  run,
};

async function* run({ sizes, runs, folder, say }: Context): AsyncIterable<Row> {
  const state = join(folder, 'state.json');
  const script = join(folder, 'chain-per-service.nft');
  for (const size of sizes) {
    const rows = collectRows('cold-load', size);
    const hasRival = size.services <= mostChains;
    writeFileSync(state, clusterState(size.services, size.endpoints));
    if (hasRival) writeFileSync(script, chainPerService(size.services, size.endpoints));
    for (let i = 0; i < runs; i++) {
      flushRuleset();
      rows.add(whole, 'vipmap', 'ms', timeCommand(vipmap('apply', '--state', state)));
      flushRuleset();
      for (const [part, ms] of Object.entries(await loadInParts(state))) rows.add(part, 'vipmap', 'ms', ms);
      flushRuleset();
      if (hasRival) rows.add(whole, 'a chain per service, nft alone', 'ms', timeCommand([nftProgram, '-f', script]));
    }
    flushRuleset();
    yield* rows.all();
    say(rows.summary(whole));
  }
}

const whole = 'process start and a state file to rules in the kernel';

/** Milliseconds of each part. */
async function loadInParts(state: string): Promise<Readonly<Record<string, number>>> {
  const { kernel, times } = await openTimedKernel();
  let last = performance.now();
  const lap = () => {
    const ms = performance.now() - last;
    last += ms;
    return ms;
  };
  const { objects } = await readManifests([state]);
  const built = buildProxyState(objects, stateOptions);
  const reading = lap();
  const { ruleset, ownerOf } = compile(built.state);
  const compiling = lap();
  const transaction = planTransaction(ruleset, {});
  const diffing = lap();
  const { setAside } = await applyTransaction(kernel, transaction, ownerOf);
  const applying = lap();
  if (setAside.length > 0) throw new Error('the kernel refused something');
  return {
    'part: reading the file': reading,
    'part: compiling': compiling,
    'part: diffing': diffing,
    'part: chains and maps by nft': times.nftMs,
    'part: elements into messages': applying - times.nftMs - times.netlinkMs,
    'part: elements into the kernel': times.netlinkMs,
  };
}
