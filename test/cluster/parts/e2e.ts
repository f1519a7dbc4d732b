import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { clusterFolder } from '../api.ts';
import { tryRun } from '../command.ts';
import { type Context, inSeconds, type Part } from '../part.ts';

const script = join(import.meta.dirname, '..', 'e2e.sh');
/** What kube-proxy made of each test: "passed", seconds, name. */
const yardstick = join(import.meta.dirname, '..', 'e2e-kube-proxy.txt');

interface SpecReport {
  readonly LeafNodeType: string;
  readonly State: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly Failure?: { readonly Message: string };
}

interface TestResult {
  readonly hasPassed: boolean;
  readonly message: string;
}

/** Upstream's tests by name; without a focus, all that touch a service proxy. */
async function runTests(
  name: string,
  focus: readonly string[],
  timeoutMs: number,
): Promise<ReadonlyMap<string, TestResult>> {
  const out = join(clusterFolder, 'log', name);
  const { stdout, stderr } = await tryRun(script, focus, {
    timeoutMs,
    env: { OUT: out, PROCS: process.env['PROCS'] ?? '8' },
  });
  let report: string;
  try {
    report = readFileSync(join(out, 'report.json'), 'utf8');
  } catch {
    throw new Error(`upstream's tests left no report: ${stdout}${stderr}`);
  }
  const suites = JSON.parse(report) as readonly { readonly SpecReports: readonly SpecReport[] }[];
  const tests = suites
    .flatMap((suite) => suite.SpecReports)
    .filter((spec) => spec.LeafNodeType === 'It' && spec.State !== 'skipped');
  return new Map(
    tests.map((spec) => [
      [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '),
      { hasPassed: spec.State === 'passed', message: spec.Failure?.Message ?? spec.State },
    ]),
  );
}

const escape = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** Alone on the cluster, and once more: what passes then is said to be flaky. Gives what is wrong. */
async function tryAgain({ say }: Context, name: string, first: string): Promise<string | undefined> {
  const again = (await runTests('e2e-again', [`^${escape(name)}$`], 1_200_000)).get(name);
  if (again?.hasPassed === true) {
    say(`flaky, passed alone: ${name}\n  ${first.slice(0, 300)}`);
    return undefined;
  }
  return `fails, also alone: ${name}\n  ${(again?.message ?? first).slice(0, 600)}`;
}

export const endToEnd: Part = {
  name: 'e2e',
  about: "upstream's tests that touch a service proxy; each that kube-proxy passes must pass",
  async run(context) {
    const start = performance.now();
    const expected = readFileSync(yardstick, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split('\t'));
    const results = await runTests('e2e', [], 2_700_000);
    const passed = [...results.values()].filter(({ hasPassed }) => hasPassed).length;
    context.say(
      `${passed} of ${results.size} tests passed, ${inSeconds(performance.now() - start)}; kube-proxy passes ${expected.length}`,
    );
    const problems: (string | undefined)[] = [];
    for (const [state, , name = ''] of expected) {
      const result = results.get(name);
      if (state !== 'passed' || result?.hasPassed === true) continue;
      problems.push(result === undefined ? `did not run: ${name}` : await tryAgain(context, name, result.message));
    }
    return problems.filter((problem) => problem !== undefined);
  },
};
