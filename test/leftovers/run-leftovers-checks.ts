import { mkdtemp, readFile, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nft, nftProgram, type Ran, runProgram } from '../kernel/vipmap.ts';
import { type Checks, differs, firstOf, load } from '../netlink/check.ts';
import { ipvsChecks } from './ipvs-checks.ts';
import { sysctlChecks } from './sysctl-checks.ts';

/*
 * Runs inside a fresh network namespace: what is promised of the clean-up after kube-proxy, by real programs on a real kernel. Prints
 * one JSON object: check to '', to what was wrong, or to `SKIPPED` and why.
 */
const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');
const text = (name: string) => readFile(join(import.meta.dirname, name), 'utf8');

type Variant = 'nft' | 'legacy';

/** An ordinary user's namespace has the tables, and none of the rights to list them. */
const legacy = await runProgram('iptables-legacy', ['-t', 'nat', '-N', 'PROBE']);
const legacyFault = legacy.exitCode === 0 ? (await runProgram('iptables-legacy-save', [])).stderr : legacy.stderr;
const path = legacyFault === '' ? process.env['PATH'] : await pathWithoutLegacy();

async function pathWithoutLegacy(): Promise<string> {
  const folder = await mkdtemp(join(process.env['VIPMAP_TEST_FOLDER'] ?? tmpdir(), 'bin-'));
  const programs = ['iptables', 'ip6tables'].flatMap((name) => [`${name}-nft-save`, `${name}-nft-restore`]);
  for (const program of [...programs, 'ipset', 'ipvsadm']) await symlink(`/usr/sbin/${program}`, join(folder, program));
  return `${folder}:/usr/bin:/bin`;
}

/** The sources, so that no build is needed. */
const cleanup = (args: readonly string[] = ['--kube-proxy'], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  runProgram(process.execPath, [main, 'cleanup', ...args], '', { VIPMAP_NFT: nftProgram, PATH: path, ...env });

async function must(program: string, args: readonly string[], input = ''): Promise<string> {
  const { exitCode, stdout, stderr } = await runProgram(program, args, input);
  if (exitCode !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const restore = async (program: string, file: string) =>
  void (await must(`${program}-restore`, ['--noflush'], await text(file)));

/** The tables as they are saved, without counters and comments. */
async function saved(variant: Variant): Promise<readonly string[]> {
  const both = [await must(`iptables-${variant}-save`, []), await must(`ip6tables-${variant}-save`, [])];
  const lines = both.join('').split('\n');
  return lines.filter((line) => !line.startsWith('#')).map((line) => line.replace(/ \[\d+:\d+\]$/, ''));
}

async function empty(): Promise<void> {
  for (const program of ['iptables-legacy', 'ip6tables-legacy']) {
    for (const table of ['mangle', 'nat', 'filter'])
      for (const what of ['-F', '-X']) await runProgram(program, ['-t', table, what]);
  }
  await nft(['flush', 'ruleset']);
  await runProgram('ipset', ['destroy']);
}

const kubeProxyTables = `table ip kube-proxy { chain services { }; }
table ip6 kube-proxy { chain services { }; }
table inet others { chain kube-proxy { }; }
table ip vipmap { chain a { }; }
table ip6 vipmap { chain a { }; }
`;

const tableNames = async () => (await must(nftProgram, ['list', 'tables'])).trim().split('\n').sort();

const ended = (ran: Ran, code: number) =>
  ran.exitCode === code ? undefined : `exit code ${ran.exitCode}: ${ran.stdout}${ran.stderr}`;

const says = (ran: Ran, stream: 'stdout' | 'stderr', part: string) =>
  ran[stream].includes(part) ? undefined : `${stream} does not say "${part}": ${ran[stream]}`;

function chainChecks(variant: Variant): Checks {
  return {
    [`of mode iptables nothing stays, and all of the others (${variant})`]: async () => {
      await restore(`iptables-${variant}`, 'others.rules');
      await must(`ip6tables-${variant}-restore`, ['--noflush'], '*mangle\nCOMMIT\n*nat\nCOMMIT\n*filter\nCOMMIT\n');
      await must(`ip6tables-${variant}`, ['-t', 'filter', '-N', 'KUBE-FIREWALL']);
      for (const table of ['mangle', 'nat', 'filter'])
        await must(`ip6tables-${variant}`, ['-t', table, '-N', 'OTHERS']);
      const before = await saved(variant);
      await restore(`iptables-${variant}`, 'kube-proxy-iptables.rules');
      await restore(`ip6tables-${variant}`, 'kube-proxy-iptables-6.rules');
      const first = await cleanup();
      const after = await saved(variant);
      const second = await cleanup();
      return firstOf(
        ended(first, 0),
        differs('tables', after, before),
        says(
          first,
          'stdout',
          `removed 15 chains of kube-proxy and 3 rules that led there, in table nat of iptables-${variant}\n`,
        ),
        says(
          first,
          'stdout',
          `removed 6 chains of kube-proxy and 9 rules that led there, in table filter of iptables-`,
        ),
        says(
          first,
          'stdout',
          `removed 1 chain of kube-proxy and 0 rules that led there, in table mangle of ip6tables-`,
        ),
        ended(second, 0),
        differs('second run', second.stdout, ''),
        says(second, 'stderr', 'nothing to remove'),
      );
    },
    [`of mode ipvs chains and sets go, and sets of others stay (${variant})`]: async () => {
      await restore(`iptables-${variant}`, 'others.rules');
      const before = await saved(variant);
      await must('ipset', ['restore'], await text('kube-proxy-ipvs.sets'));
      await restore(`iptables-${variant}`, 'kube-proxy-ipvs.rules');
      const ran = await cleanup();
      return firstOf(
        ended(ran, 0),
        differs('tables', (await saved(variant)).filter(isNotEmpty), before.filter(isNotEmpty)),
        differs('sets', (await must('ipset', ['list', '-name'])).trim(), 'KUBE-SRC-OTHERS'),
        says(ran, 'stdout', 'removed 9 sets of ipset: KUBE-'),
      );
    },
    [`what others lead to stays, with what masquerades it (${variant})`]: async () => {
      await restore(`iptables-${variant}`, 'kube-proxy-iptables.rules');
      await must(`iptables-${variant}`, ['-t', 'nat', '-N', 'CNI-HOSTPORT-SETMARK']);
      await must(`iptables-${variant}`, ['-t', 'nat', '-A', 'CNI-HOSTPORT-SETMARK', '-j', 'KUBE-MARK-MASQ']);
      const ran = await cleanup();
      const left = (await saved(variant)).filter((line) => line.includes('KUBE-'));
      return firstOf(
        ended(ran, 0),
        differs(
          'left',
          left.filter((line) => line.startsWith(':')),
          [':KUBE-MARK-MASQ -', ':KUBE-POSTROUTING -'],
        ),
        differs('rules left', left.length, 8),
        says(
          ran,
          'stderr',
          `kept chain KUBE-MARK-MASQ in table nat of iptables-${variant}: CNI-HOSTPORT-SETMARK leads to it`,
        ),
      );
    },
    [`what cannot be removed is named, and the rest goes (${variant})`]: async () => {
      await must('ipset', ['restore'], await text('kube-proxy-ipvs.sets'));
      await restore(`iptables-${variant}`, 'kube-proxy-ipvs.rules');
      const match = ['-m', 'set', '--match-set', 'KUBE-CLUSTER-IP', 'dst,dst', '-j', 'ACCEPT'];
      await must(`iptables-${variant}`, ['-A', 'OUTPUT', ...match]);
      const ran = await cleanup();
      await must(`iptables-${variant}`, ['-D', 'OUTPUT', ...match]);
      return firstOf(
        ended(ran, 1),
        says(ran, 'stderr', 'not removed: set KUBE-CLUSTER-IP of ipset: '),
        says(ran, 'stderr', 'in use'),
        says(ran, 'stderr', '1 thing could not be removed'),
        differs('sets', (await must('ipset', ['list', '-name'])).trim().split('\n'), [
          'KUBE-CLUSTER-IP',
          'KUBE-SRC-OTHERS',
        ]),
        differs(
          'chains',
          (await saved(variant)).filter((line) => line.includes('KUBE-')),
          [],
        ),
      );
    },
  };
}

/** iptables-nft makes the hooks' chains of a table on the way, and lists tables only once they have some. */
const isNotEmpty = (line: string) => !/^(?:\*|:(?:PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) |COMMIT$|$)/.test(line);

const tableChecks: Checks = {
  'our tables alone go where kube-proxy is not asked for': async () => {
    await load(kubeProxyTables);
    await restore('iptables-nft', 'kube-proxy-iptables.rules');
    const ran = await cleanup([]);
    return firstOf(
      ended(ran, 0),
      differs(
        'said',
        ran.stdout,
        'removed table ip vipmap (1 chains, 0 sets and maps)\nremoved table ip6 vipmap (1 chains, 0 sets and maps)\n',
      ),
      differs('kube-proxy’s', (await tableNames()).filter((name) => name.endsWith('kube-proxy')).length, 2),
      differs('chains', (await saved('nft')).includes(':KUBE-SERVICES -'), true),
    );
  },
  'tables of nftables go, and those of others stay': async () => {
    await load(kubeProxyTables);
    const ran = await cleanup();
    return firstOf(
      ended(ran, 0),
      differs('tables', await tableNames(), ['table inet others']),
      says(ran, 'stdout', 'removed table ip kube-proxy\nremoved table ip6 kube-proxy\n'),
    );
  },
  'programs that are not installed are named': async () => {
    await load(kubeProxyTables);
    const ran = await cleanup(['--kube-proxy'], { PATH: '/usr/bin:/bin' });
    return firstOf(
      ended(ran, 0),
      says(ran, 'stderr', 'not looked for: chains of iptables: iptables is not installed'),
      says(ran, 'stderr', 'not looked for: chains of ip6tables: ip6tables is not installed'),
      says(ran, 'stderr', 'not looked for: sets of ipset: ipset is not installed'),
      differs('tables', await tableNames(), ['table inet others']),
    );
  },
  'without nft the rest goes': async () => {
    await restore('iptables-nft', 'kube-proxy-iptables.rules');
    const ran = await cleanup(['--kube-proxy', '--nft', '/nowhere/nft']);
    return firstOf(
      ended(ran, 1),
      says(ran, 'stderr', 'our tables: the program "/nowhere/nft" cannot be started'),
      says(ran, 'stderr', 'not looked for: tables of nftables: nft is not installed'),
      differs(
        'chains',
        (await saved('nft')).filter((line) => line.includes('KUBE-')),
        [],
      ),
    );
  },
};

const checks: Checks = {
  ...tableChecks,
  ...chainChecks('nft'),
  ...(legacyFault === ''
    ? chainChecks('legacy')
    : { 'chains of iptables-legacy': () => Promise.resolve(`SKIPPED ${legacyFault.trim().split('\n')[0]}`) }),
  ...ipvsChecks(cleanup),
  ...sysctlChecks,
};
const only = process.argv[2] ?? '';
const results: Record<string, string> = {};
for (const [name, run] of Object.entries(checks)) {
  if (!name.includes(only)) continue;
  await empty();
  results[name] =
    (await run().catch((error: unknown) =>
      error instanceof Error ? (error.stack ?? error.message) : String(error),
    )) ?? '';
}
process.stdout.write(`${JSON.stringify(results)}\n`);
