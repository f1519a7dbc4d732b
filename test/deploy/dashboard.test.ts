import { createMetrics } from '../../src/observe/metrics.ts';
import { readDeploy, readManifests } from './manifests.ts';

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly description?: string;
  readonly targets?: readonly { readonly expr: string }[];
}

const dashboard = JSON.parse(readDeploy('components/dashboard/vipmap.json'));
const panels: readonly Panel[] = dashboard.panels;
const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
const variables: readonly string[] = dashboard.templating.list.map(
  ({ query }: { query: { query?: string } }) => query.query ?? '',
);

/** The names that an expression or a variable asks Prometheus for. */
const metricsIn = (text: string) =>
  [...text.matchAll(/\b(?:kubeproxy|vipmap|process|nodejs)_\w+/g)].map(([name]) => name);

async function exported(): Promise<ReadonlySet<string>> {
  const text = await createMetrics({ version: '1' }).text();
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
    type === 'histogram' ? ['bucket', 'sum', 'count'].map((suffix) => `${name}_${suffix}`) : [name as string],
  );
  return new Set(names);
}

describe('the dashboard', () => {
  it('asks for nothing that the daemon does not tell', async () => {
    const names = await exported();
    const asked = [...expressions, ...variables].flatMap(metricsIn);
    expect(asked.length).toBeGreaterThan(20);
    expect(asked.filter((name) => !names.has(name))).toEqual([]);
  });

  it('shows all of our own metrics', async () => {
    const asked = new Set(expressions.flatMap(metricsIn).map((name) => name.replace(/_(bucket|sum|count)$/, '')));
    const ours = [...(await exported())].map((name) => name.replace(/_(bucket|sum|count)$/, ''));
    expect(ours.filter((name) => name.startsWith('vipmap_') && !asked.has(name))).toEqual([]);
  });

  it.each(expressions)('%s names each metric of the chosen jobs and nodes', (expression) => {
    const selectors = expression.match(/\{[^}]*\}/g) ?? [];
    expect(selectors.length).toBeGreaterThanOrEqual(metricsIn(expression).length);
    for (const selector of selectors) expect(selector).toBe('{job=~"$job", node=~"$node"}');
  });

  it('says of each panel what it shows', () => {
    const shown = panels.filter(({ type }) => type !== 'row');
    expect(shown.filter(({ description = '' }) => !/\.$/.test(description))).toEqual([]);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  });

  it('is labelled for the sidecar of Grafana', () => {
    const [component] = readManifests('components/dashboard/kustomization.yaml');
    expect(component.configMapGenerator[0].options.labels).toMatchObject({ grafana_dashboard: '1' });
  });
});
