import { type Fixture, fixtureNames, readFixture, viaOf } from '../fixtures.ts';
import { judge, sendUntilCovered } from '../packets/judge.ts';
import { Playground } from '../packets/playground.ts';
import { nft, type Ran, vipmap } from './vipmap.ts';

/*
 * Runs inside a fresh network namespace: every fixture through the command line into the kernel, and its packets through the rules.
 * The first state is loaded as a person would who reads it first (compile | nft -f -), the others by apply. Prints one JSON object:
 * fixture to the list of what was wrong.
 */
const only = process.argv.slice(2);
const faults: Record<string, string[]> = {};
const playground = await Playground.open({ nodeAddresses: [] });
for (const name of only.length > 0 ? only : fixtureNames) {
  faults[name] = await runFixture(await readFixture(name)).catch((error: unknown) => [String(error)]);
}
await playground.close();
process.stdout.write(`${JSON.stringify(faults)}\n`);

async function runFixture(fixture: Fixture): Promise<string[]> {
  const found: string[] = [];
  const demand = (what: string, ran: Ran, exitCode: number) => {
    if (ran.exitCode !== exitCode)
      found.push(`${what}: exit code ${ran.exitCode}, not ${exitCode}: ${ran.stdout}${ran.stderr}`);
  };
  await playground.setNodeAddresses(fixture.nodeAddresses);
  for (const [i, file] of fixture.stateFiles.entries()) {
    const inputs = [
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
    if (i === 0) {
      await vipmap(['cleanup']);
      const compiled = await vipmap(['compile', ...inputs, '-o', 'nft']);
      demand(`${step}: compile`, compiled, 0);
      demand(`${step}: nft -f`, await nft(['-f', '-'], compiled.stdout), 0);
    } else {
      demand(`${step}: diff before apply`, await vipmap(['diff', ...inputs]), 3);
      demand(`${step}: apply`, await vipmap(['apply', ...inputs]), 0);
    }
    // The kernel gives back what it was given: nothing to change, and applying changes nothing.
    demand(`${step}: diff`, await vipmap(['diff', ...inputs]), 0);
    const specs = fixture.packets
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
