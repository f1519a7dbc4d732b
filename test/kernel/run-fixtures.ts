import { parseArgs } from 'node:util';
import { readConfig } from '../../src/source/config.ts';
import { type Fixture, fixtureNames, readFixture, viaOf } from '../fixtures.ts';
import { type Mode, modes, packetsIn } from '../mode-differences.ts';
import { judge, sendUntilCovered } from '../packets/judge.ts';
import { Playground } from '../packets/playground.ts';
import { nft, type Ran, runProgram, vipmap as vipmapOutside } from './vipmap.ts';
import { vipmapInProcess } from './vipmap-in-process.ts';

/*
 * Runs inside a fresh network namespace: every fixture through the command line into the kernel, and its packets through the rules.
 * Prints one JSON object: fixture to the list of what was wrong.
 *   run-fixtures.ts [--mode nftables|ipvs] [--slow] [FIXTURE...]
 * In mode nftables the first state is loaded as a person would who reads it first (compile | nft -f -), the others by apply; in mode
 * ipvs, for which there is no one script, all are. --slow is for an emulated machine: the command line is called without a process of
 * its own, and a packet is waited for longer.
 */
const { values: options, positionals: only } = parseArgs({
  options: { mode: { type: 'string', default: 'nftables' }, slow: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const mode = readMode(options.mode);
const vipmap = options.slow ? vipmapInProcess : vipmapOutside;

const faults: Record<string, string[]> = {};
const playground = await Playground.open({ nodeAddresses: [], ...(options.slow && { quietMs: 300 }) });
for (const name of only.length > 0 ? only : fixtureNames) {
  faults[name] = await runFixture(await readFixture(name)).catch((error: unknown) => [String(error)]);
}
await playground.close();
process.stdout.write(`${JSON.stringify(faults)}\n`);

function readMode(text: string): Mode {
  const mode = modes.find((known) => known === text);
  if (mode === undefined) throw new Error(`--mode "${text}": accepted are ${modes.join(', ')}`);
  return mode;
}

/** As readFixture has it, so that packets mean the same in both modes: node ports answer on the primary address unless a fixture says otherwise. */
async function modeArguments({ configFile }: Fixture): Promise<string[]> {
  if (mode === 'nftables') return [];
  const { nodePortAddresses = [] } = (await readConfig(configFile)).settings;
  return ['--mode', mode, ...(nodePortAddresses.length > 0 ? [] : ['--nodeport-addresses', 'primary'])];
}

type Demand = (what: string, ran: Ran, exitCode: number) => void;

/** Nothing of the last fixture may answer the next one's packets. */
async function empty(demand: Demand): Promise<void> {
  if (mode === 'nftables' && options.slow) {
    // A third of the time of our own cleanup there, which is tested elsewhere.
    return demand('flush', await nft(['flush', 'ruleset']), 0);
  }
  demand('cleanup', await vipmap(['cleanup']), 0);
  if (mode !== 'ipvs') return;
  const { exitCode, stdout, stderr } = await runProgram('ipvsadm', ['--save', '--numeric']);
  const isEmpty = exitCode === 0 && stdout === '';
  demand('virtual servers after cleanup', { exitCode: isEmpty ? 0 : 1, stdout, stderr }, 0);
}

async function runFixture(fixture: Fixture): Promise<string[]> {
  const found: string[] = [];
  const demand: Demand = (what, ran, exitCode) => {
    if (ran.exitCode !== exitCode)
      found.push(`${what}: exit code ${ran.exitCode}, not ${exitCode}: ${ran.stdout}${ran.stderr}`);
  };
  await playground.setNodeAddresses(fixture.nodeAddresses);
  for (const [i, file] of fixture.stateFiles.entries()) {
    const inputs = [
      ...(await modeArguments(fixture)),
      '--state',
      file,
      '--config',
      fixture.configFile,
      '--node',
      fixture.nodeName,
      '--node-addresses',
      fixture.nodeAddresses.join(','),
    ];
    const step = `step ${i + 1}`;
    if (i === 0) await empty(demand);
    if (i === 0 && mode === 'nftables') {
      const compiled = await vipmap(['compile', ...inputs, '-o', 'nft']);
      demand(`${step}: compile`, compiled, 0);
      demand(`${step}: nft -f`, await nft(['-f', '-'], compiled.stdout), 0);
    } else {
      demand(`${step}: diff before apply`, await vipmap(['diff', ...inputs]), 3);
      demand(`${step}: apply`, await vipmap(['apply', ...inputs]), 0);
    }
    // The kernel gives back what it was given: nothing to change, and applying changes nothing.
    demand(`${step}: diff`, await vipmap(['diff', ...inputs]), 0);
    const specs = packetsIn(mode, fixture)
      .filter((spec) => (spec.step ?? 1) === i + 1)
      .map((spec) => ({ ...spec, via: viaOf(spec, fixture.nodeAddresses) }));
    const outcomes = await sendUntilCovered(playground, specs);
    for (const [n, spec] of specs.entries()) {
      const fault = judge(spec, outcomes[n] ?? []);
      if (fault !== undefined) found.push(`${step}: ${fault}`);
    }
  }
  return found;
}
