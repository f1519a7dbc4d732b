import { createBackends } from './backends.ts';
import { type Context, inSeconds, type Part, timed } from './part.ts';
import { parts } from './parts/index.ts';
import { createKubeProxy } from './kube-proxy.ts';
import { createVipmap } from './vipmap.ts';
import { CommandError, kubectl } from './command.ts';

/*
 * The parts whose names are given, on the cluster that is up and from within the control plane's network: run.ts starts this.
 *   suite.ts PROXY PART...
 */
const [proxyName = 'vipmap', ...names] = process.argv.slice(2);
const kubeProxy = createKubeProxy();
const proxy = proxyName === 'kube-proxy' ? kubeProxy : createVipmap();
const say = (line: string) => console.log(`  ${line.replaceAll('\n', '\n  ')}`);

console.log(`${proxy.name} on two nodes`);
const context = await prepare();
const results: { readonly name: string; readonly verdict: string }[] = [];
for (const name of names) {
  const part = parts.find((each) => each.name === name);
  if (part !== undefined) results.push({ name, verdict: await runPart(part, context) });
}
console.log('');
for (const { name, verdict } of results) console.log(`${verdict.padEnd(9)}${name}`);
process.exit(results.every(({ verdict }) => verdict !== 'FAILED') ? 0 : 1);

async function prepare(): Promise<Context> {
  try {
    const backends = await createBackends();
    say(`started within ${inSeconds(await timed(() => proxy.start()))}`);
    await kubectl(['-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=120s'], {
      timeoutMs: 130_000,
    });
    return { proxy, kubeProxy, backends, say };
  } catch (error) {
    console.log(`FAILED before the first part: ${describe(error)}\n${await proxy.logs().catch(() => '')}`);
    process.exit(1);
  }
}

async function runPart(part: Part, context: Context): Promise<string> {
  console.log(`\n${part.name}: ${part.about}`);
  if (part.onlyVipmap === true && context.proxy.name !== 'vipmap') {
    console.log('SKIPPED: it is about vipmap alone');
    return 'skipped';
  }
  const start = performance.now();
  let problems: readonly string[];
  try {
    problems = await part.run(context);
  } catch (error) {
    problems = [describe(error), await context.proxy.logs().catch(() => '')];
    await restore(context);
  }
  for (const problem of problems) say(problem);
  const verdict = problems.length === 0 ? 'ok' : 'FAILED';
  console.log(`${verdict} ${part.name}, ${inSeconds(performance.now() - start)}`);
  return verdict;
}

/** After a part that broke off: the proxy under test alone, for the next one. */
async function restore({ proxy, kubeProxy }: Context): Promise<void> {
  try {
    await proxy.start();
    if (proxy !== kubeProxy) await kubeProxy.remove();
  } catch (error) {
    say(`${proxy.name} could not be started again: ${describe(error)}`);
  }
}

function describe(error: unknown): string {
  if (error instanceof CommandError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
