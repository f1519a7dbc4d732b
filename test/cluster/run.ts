import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { enterNetwork, repository } from './command.ts';
import { parts } from './parts/index.ts';

/*
 * vipmap on a real Kubernetes cluster on this machine: npm run test:cluster [-- PART...]. All parts unless some are named.
 *   --proxy kube-proxy   kube-proxy in vipmap's place, as a yardstick and to try the suite itself
 *   --keep               the cluster stays up afterwards, for a look: test/cluster/cluster.sh
 * Needs root, Go and Debian's packages; says SKIPPED and why where one is missing, which is a failure with CI=true. The first run builds
 * Kubernetes and takes a quarter of an hour more.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    proxy: { type: 'string', default: 'vipmap' },
    keep: { type: 'boolean', default: false },
  },
});
const names = parts.map(({ name }) => name);
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0 || !['vipmap', 'kube-proxy'].includes(values.proxy)) {
  console.error(`run.ts: parts are ${names.join(', ')}; proxies are vipmap, kube-proxy`);
  process.exit(2);
}

const missing = whatIsMissing();
if (missing !== undefined) {
  console.log(`SKIPPED: ${missing}`);
  process.exit(process.env['CI'] === 'true' ? 1 : 0);
}

const here = import.meta.dirname;
const work = mkdtempSync(join(tmpdir(), 'vipmap-cluster-suite-'));
let current: ChildProcess | undefined;
let isInterrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    console.error(`${signal}: ending, and removing the cluster`);
    isInterrupted = true;
    current?.kill('SIGTERM');
  });

let status = 1;
let isUp = false;
try {
  await step('build.sh', [], 90);
  await step('images.sh', [], 20);
  const images = [];
  if (values.proxy === 'vipmap') {
    images.push(join(work, 'vipmap.tar'));
    await step(join(repository, 'scripts', 'build-image.sh'), [...images, 'vipmap:test'], 20);
  }
  await step('cluster.sh', ['up'], 10);
  isUp = true;
  if (images.length > 0) await step('cluster.sh', ['import', ...images], 5);
  const [program, ...enter] = enterNetwork('control');
  const chosen = positionals.length === 0 ? names : names.filter((name) => positionals.includes(name));
  const suite = [...enter, process.execPath, join(here, 'suite.ts'), values.proxy, ...chosen];
  status = await start(program, suite, 180);
} catch (error) {
  console.error(`FAILED: ${(error as Error).message}`);
} finally {
  rmSync(work, { recursive: true, force: true });
  if (isUp && (isInterrupted || !values.keep)) takeDown();
}
process.exit(isInterrupted ? 130 : status);

/** Removes the cluster; after a failure its logs stay. */
function takeDown(): void {
  const logs =
    process.env['LOGS'] ?? (status === 0 || isInterrupted ? '' : mkdtempSync(join(tmpdir(), 'vipmap-cluster-logs-')));
  if (logs !== '') console.log(`logs of the cluster: ${logs}`);
  spawnSync(join(here, 'cluster.sh'), ['down'], { stdio: 'inherit', env: { ...process.env, LOGS: logs } });
}

function whatIsMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'a cluster needs root: network namespaces, mounts and control groups';
  try {
    const version = execFileSync('go', ['version'], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/go/bin` },
    });
    const [, minor = '0'] = /go1\.(\d+)/.exec(version) ?? [];
    // An older Go from 1.21 on downloads the one that a go.mod names, unless that is switched off.
    if (Number(minor) >= 26 || (Number(minor) >= 21 && process.env['GOTOOLCHAIN'] !== 'local')) return undefined;
    return `Go 1.26 or newer builds Kubernetes, and here is ${version.trim()}`;
  } catch {
    return 'Go 1.26 or newer builds Kubernetes, and here is none';
  }
}

/** The exit code of a script of this folder, or of another whose path is given; it is ended after so many minutes. */
function start(program: string, words: readonly string[], minutes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    if (isInterrupted) return reject(new Error('interrupted'));
    const env = { ...process.env, OWNER: values.keep ? '' : String(process.pid) };
    const child = spawn(program.includes('/') ? program : join(here, program), words, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env,
    });
    current = child;
    const timer = setTimeout(() => {
      console.error(`${program} is ended after ${minutes} minutes`);
      child.kill('SIGTERM');
    }, minutes * 60_000);
    child.once('error', reject);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code ?? 1);
    });
  });
}

async function step(program: string, words: readonly string[], minutes: number): Promise<void> {
  const code = await start(program, words, minutes);
  if (isInterrupted) throw new Error('interrupted');
  if (code !== 0) throw new Error(`${[program, ...words].join(' ')}: exit code ${code}`);
}
