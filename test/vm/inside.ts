import { execFile } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Request, type Result, suites, titleOf } from './suites.ts';

/*
 * Runs in the machine: the requests in FOLDER/requests.json, one after the other. The result of each is FOLDER/NUMBER.json as soon as it
 * is there, so that a machine that crashes later takes nothing away.
 */
const execute = promisify(execFile);
const folder = process.argv[2] ?? '';
const requests = JSON.parse(readFileSync(join(folder, 'requests.json'), 'utf8')) as readonly Request[];
const modules = ['nf_conntrack', 'nf_tables', 'ip_vs', 'ip_vs_rr', 'dummy', 'veth'];

// A namespace has net.ipv4.vs.* only if the module was there before it, or comes while it is there.
await execute('modprobe', ['-a', ...modules]);
for (const [i, request] of requests.entries()) {
  console.log(`${titleOf(request)}: begins`);
  const result = await run(request);
  const file = join(folder, `${i}.json`);
  writeFileSync(`${file}.new`, JSON.stringify(result));
  renameSync(`${file}.new`, file);
}

async function run(request: Request): Promise<Result> {
  const start = performance.now();
  const { script, shares } = suites[request.suite];
  const faults: Record<string, readonly string[]> = {};
  const skipped: Record<string, string> = {};
  const errors: string[] = [];
  const runs = shares(request, availableParallelism()).map(async (args) => {
    const found = await runScript(script, args).catch((error: unknown) => {
      // Under emulation node itself comes to grief, once in many runs. What is at fault crashes the second time too, or has words.
      if (!isCrash(error)) throw error;
      console.log(`${titleOf(request)}: node crashed, so it is run once more:\n${describe(error)}`);
      return runScript(script, args);
    });
    for (const [name, faultsFound] of Object.entries(found)) {
      if (typeof faultsFound === 'string' && faultsFound.startsWith('SKIPPED '))
        skipped[name] = faultsFound.replace('SKIPPED ', '');
      else faults[name] = [faultsFound].flat().filter((fault) => fault !== '');
    }
  });
  for (const run of await Promise.allSettled(runs)) {
    if (run.status === 'rejected') errors.push(describe(run.reason));
  }
  const seconds = Math.round((performance.now() - start) / 1000);
  return { seconds, faults, skipped, ...(errors.length > 0 && { error: errors.join('\n') }) };
}

type Found = Readonly<Record<string, string | readonly string[]>>;

async function runScript(script: string, args: readonly string[]): Promise<Found> {
  const node = [process.execPath, '--import', join(import.meta.dirname, 'resident-nft.ts'), script];
  // A node has its loopback interface; without one IPVS takes every address for a broadcast.
  const namespace = ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
  const ran = execute('unshare', [...namespace, ...node, ...args], { maxBuffer: 2 ** 28 });
  const { stdout, stderr } = await ran.catch((error: unknown) => {
    // Some end with exit code 1 when a check failed, having said which.
    const failed = error as Error & { stdout?: string; stderr?: string };
    if (failed.stdout && Object.keys(parse(failed.stdout)).length > 0) return failed as Required<typeof failed>;
    throw error;
  });
  if (stderr !== '') console.log(stderr.trimEnd());
  return parse(stdout);
}

/** One JSON object, or for each check a line `ok NAME` or `FAILED NAME` with lines below it, indented, that say why. */
function parse(stdout: string): Found {
  if (stdout.startsWith('{')) return JSON.parse(stdout) as Found;
  const found: Record<string, string> = {};
  let name = '';
  for (const line of stdout.split('\n')) {
    const [, verdict, check] = /^(ok|FAILED) +(.*)$/.exec(line) ?? [];
    if (check !== undefined) found[(name = check)] = verdict === 'ok' ? '' : 'failed';
    else if (line.startsWith(' ') && name !== '') found[name] = `${found[name]}\n${line}`;
  }
  return found;
}

/** Whether V8 found its own code in disorder, or the process ended without a word. */
function isCrash(error: unknown): boolean {
  const { stderr = '' } = error as Error & { stderr?: string };
  return stderr.trim() === '' || /^# Fatal error in/m.test(stderr);
}

function describe(error: unknown): string {
  const { stderr, message, code, signal } = error as Error & { stderr?: string; code?: unknown; signal?: string };
  return (
    stderr?.trim() || `${message.trim()}: exit code ${String(code)}, signal ${signal ?? 'none'}, and no word of why`
  );
}
