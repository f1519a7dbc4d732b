import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chainPerService, clusterState } from './generate.ts';

/*
 * How long until a node is ready, against a ruleset of kube-proxy's shape in the same run: npm run bench [-- --sizes 1000x10,5000x10]
 * Runs in a network namespace of its own, alternately, several times; prints the medians and their ratio.
 */
const { values } = parseArgs({
  options: { sizes: { type: 'string', default: '1000x10,5000x10' }, runs: { type: 'string', default: '3' } },
});
const bundle = join(import.meta.dirname, '..', 'dist', 'vipmap.mjs');
const nft = process.env['VIPMAP_NFT'] ?? 'nft';

if (process.env['VIPMAP_BENCH_INSIDE'] === undefined) {
  const { status } = spawnSync('unshare', ['--net', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, VIPMAP_BENCH_INSIDE: '1' },
  });
  process.exit(status ?? 1);
}

const folder = mkdtempSync(join(tmpdir(), 'vipmap-bench-'));
try {
  const rows = values.sizes.split(',').map((size) => measure(size, Number(values.runs)));
  console.log(
    `\n${cpus().length} x ${cpus()[0]?.model ?? 'processor'}, ${run('uname', ['-sr']).trim()}, ${run(nft, ['--version']).trim()}; medians of ${values.runs} runs\n`,
  );
  console.log(
    '| services x endpoints | vipmap apply: state file to kernel | a second apply, nothing to do | a chain per service: nft alone | ratio |\n|---|---|---|---|---|',
  );
  for (const { size, ours, again, theirs } of rows) {
    console.log(
      `| ${size} | ${seconds(ours)} | ${seconds(again)} | ${seconds(theirs)} | ${(theirs / ours).toFixed(1)} |`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}

function measure(size: string, runs: number) {
  const [services = 0, endpoints = 0] = size.split('x').map(Number);
  const state = join(folder, 'state.json');
  const script = join(folder, 'chain-per-service.nft');
  writeFileSync(state, clusterState(services, endpoints));
  writeFileSync(script, chainPerService(services, endpoints));
  const apply = [
    process.execPath,
    bundle,
    'apply',
    '--state',
    state,
    '--node',
    'node-1',
    '--cluster-cidr',
    '10.128.0.0/9',
    '--node-addresses',
    '192.168.0.2',
  ];
  const ours: number[] = [];
  const again: number[] = [];
  const theirs: number[] = [];
  for (let i = 0; i < runs; i++) {
    ours.push(time(apply));
    again.push(time(apply));
    run(nft, ['flush', 'ruleset']);
    theirs.push(time([nft, '-f', script]));
    run(nft, ['flush', 'ruleset']);
  }
  console.error(`${size} measured`);
  return { size, ours: median(ours), again: median(again), theirs: median(theirs) };
}

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${stderr}`);
  return stdout;
}

function time([program = '', ...args]: readonly string[]): number {
  const start = performance.now();
  run(program, args);
  return performance.now() - start;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] as number;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
