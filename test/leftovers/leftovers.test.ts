import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nftProgram, runProgram } from '../kernel/vipmap.ts';
import { describeInside } from '../packets/describe-inside.ts';
import { type Entrance, findEntrance, runScriptInside } from '../packets/namespace.ts';

const programs = ['iptables-nft', 'iptables-legacy', 'ipset'];

async function findPrograms(): Promise<Entrance> {
  for (const program of programs) {
    const { exitCode, stderr } = await runProgram(program, ['--version']);
    if (exitCode !== 0) {
      return { unavailable: `${program} is not installed (Debian: apt-get install iptables ipset): ${stderr.trim()}` };
    }
  }
  return findEntrance(nftProgram);
}

describeInside(await findPrograms(), 'what kube-proxy leaves', (inside) => {
  it('is removed, and nothing else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vipmap-'));
    process.env['VIPMAP_TEST_FOLDER'] = folder;
    // The lock of the host's iptables is not for an ordinary user, and guards other tables than these.
    process.env['XTABLES_LOCKFILE'] = join(folder, 'xtables.lock');
    const script = join(import.meta.dirname, 'run-leftovers-checks.ts');
    const results = JSON.parse(await runScriptInside(inside, script, [])) as Readonly<Record<string, string>>;
    await rm(folder, { recursive: true });
    const faults = Object.entries(results).filter(([, fault]) => fault !== '');
    const skipped = faults.filter(([, fault]) => fault.startsWith('SKIPPED'));
    // What the kernel lacks, CI cannot have either.
    for (const [name, reason] of skipped) console.log(`SKIPPED ${name}: ${reason.replace('SKIPPED ', '')}`);
    expect(Object.keys(results).length).toBeGreaterThan(10);
    expect(faults.filter((fault) => !skipped.includes(fault))).toEqual([]);
  }, 300_000);
});
