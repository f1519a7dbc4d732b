import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { relative } from 'node:path';
import { load } from 'js-yaml';
import { deployPath, type Manifest, only, parseManifests } from './manifests.ts';

/** What deploy/base/kubeconfig.conf has before it is set. */
const unset = 'https://run-deploy-set-api-server.invalid:6443';

const kubectl = findProgram('VIPMAP_KUBECTL', 'kubectl', ['version', '--client']);
const helm = findProgram('VIPMAP_HELM', 'helm', ['version']);

/**
 * The program that the variable names, else the one of that name, or why there is none. Nothing else needs these programs, so where they
 * are missing the tests are skipped; naming one says that it must be there.
 */
function findProgram(variable: string, name: string, args: readonly string[]): { run: Run } | { unavailable: string } {
  const named = process.env[variable];
  const run: Run = (...runArgs) =>
    parseManifests(execFileSync(named || name, runArgs, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
  try {
    execFileSync(named || name, args, { stdio: 'ignore' });
    return { run };
  } catch (error) {
    if (named) throw error;
    return {
      unavailable: `${name} cannot be started (${(error as Error).message}); install it or name it by ${variable}`,
    };
  }
}

type Run = (...args: readonly string[]) => readonly Manifest[];

function describeWith(name: string, programs: readonly (typeof kubectl)[], tests: (...runs: Run[]) => void): void {
  const unavailable = programs.flatMap((program) => ('unavailable' in program ? [program.unavailable] : []));
  if (unavailable.length === 0) {
    describe(name, () => tests(...programs.flatMap((program) => ('run' in program ? [program.run] : []))));
    return;
  }
  console.log(`SKIPPED ${name}: ${unavailable.join('; ')}`);
  it.skip(name, () => {});
}

const podOf = (manifests: readonly Manifest[]) => only(manifests, 'DaemonSet').spec.template.spec;

describeWith('kustomize', [kubectl], (kubectlRun) => {
  const build = (folder: string) => kubectlRun('kustomize', `${deployPath}/${folder}`);
  const kindsOf = (manifests: readonly Manifest[]) => manifests.map(({ kind }) => kind);

  it('builds what is applied by default', () => {
    const manifests = build('.');
    expect(kindsOf(manifests)).toEqual([
      'ServiceAccount',
      'ClusterRole',
      'ClusterRoleBinding',
      'ConfigMap',
      'DaemonSet',
    ]);
    const configMap = only(manifests, 'ConfigMap');
    expect(Object.keys(configMap.data)).toEqual(['config.conf', 'kubeconfig.conf']);
    // Changed settings are another ConfigMap, so the nodes get them.
    expect(configMap.metadata.name).toMatch(/^vipmap-\w{10}$/);
    expect(podOf(manifests).volumes[0].configMap.name).toBe(configMap.metadata.name);
  });

  it('gives mode ipvs the modules, to load them before the daemon starts', () => {
    const { initContainers, containers, volumes } = podOf(build('overlays/ipvs'));
    for (const { args } of [...initContainers, ...containers]) expect(args).toContain('--mode=ipvs');
    expect(volumes[1]).toEqual({ name: 'modules', hostPath: { path: '/lib/modules', type: 'Directory' } });
    expect(initContainers[0].volumeMounts[1]).toEqual({ name: 'modules', mountPath: '/lib/modules', readOnly: true });
    expect(containers[0].volumeMounts).toHaveLength(1);
  });

  it("reads kubeadm's ConfigMap where that says that its files are", () => {
    const manifests = build('overlays/kubeadm');
    expect(kindsOf(manifests)).not.toContain('ConfigMap');
    const { initContainers, containers, volumes } = podOf(manifests);
    expect(volumes).toEqual([{ name: 'config', configMap: { name: 'kube-proxy' } }]);
    for (const { args, volumeMounts } of [...initContainers, ...containers]) {
      expect(args.filter((arg: string) => arg.startsWith('--config'))).toEqual([
        '--config=/var/lib/kube-proxy/config.conf',
      ]);
      expect(args).toContain('--mode=nftables');
      expect(volumeMounts).toEqual([{ name: 'config', mountPath: '/var/lib/kube-proxy', readOnly: true }]);
    }
  });

  it('cleans up under the same name, with no more than the daemon may', () => {
    const daemonSet = only(build('overlays/cleanup'), 'DaemonSet');
    expect(daemonSet.metadata).toEqual(only(build('.'), 'DaemonSet').metadata);
    const { initContainers, containers } = daemonSet.spec.template.spec;
    expect(initContainers).toHaveLength(1);
    expect(initContainers[0].args).toEqual(['cleanup']);
    expect(initContainers[0].securityContext).toEqual(podOf(build('.')).containers[0].securityContext);
    expect(containers[0].securityContext).toMatchObject({ runAsNonRoot: true, capabilities: { drop: ['ALL'] } });
  });
});

describeWith('the Helm chart', [helm, kubectl], (helmRun, kubectlRun) => {
  const chart = `${deployPath}/helm/vipmap`;
  const template = (...values: readonly string[]) =>
    helmRun('template', 'vipmap', chart, '--namespace', 'kube-system', ...values.flatMap((value) => ['--set', value]));
  const build = (folder: string) => kubectlRun('kustomize', `${deployPath}/${folder}`);

  /** By kind and name; without what the two tools do in ways of their own to tell that settings have changed. */
  function comparable(manifests: readonly Manifest[]): Record<string, Manifest> {
    const text = JSON.stringify(manifests).replaceAll(/"vipmap-\w{10}"/g, '"vipmap"');
    const entries = (JSON.parse(text) as Manifest[]).map((manifest) => {
      // Comments and the order of fields may differ.
      if (manifest.kind === 'ConfigMap')
        manifest.data = Object.fromEntries(Object.keys(manifest.data).map((key) => [key, load(manifest.data[key])]));
      if (manifest.kind === 'DaemonSet') delete manifest.spec.template.metadata.annotations;
      return [`${manifest.kind} ${manifest.metadata.name}`, manifest];
    });
    return Object.fromEntries(entries);
  }

  it('renders what kustomize builds', () => {
    expect(comparable(template(`apiServer=${unset}`))).toEqual(comparable(build('.')));
  });

  it('renders mode ipvs as the overlay has it', () => {
    const rendered = comparable(template(`apiServer=${unset}`, 'mode=ipvs'));
    expect(rendered['DaemonSet vipmap']).toEqual(comparable(build('overlays/ipvs'))['DaemonSet vipmap']);
  });

  it("renders the use of kubeadm's ConfigMap as the overlay has it", () => {
    expect(comparable(template('existingConfigMap=kube-proxy'))).toEqual(comparable(build('overlays/kubeadm')));
  });

  it('renders what Prometheus and Grafana get as the components have it', () => {
    const folder = mkdtempSync(`${tmpdir()}/vipmap-deploy-`);
    const path = relative(realpathSync(folder), deployPath);
    const components = ['service-monitor', 'dashboard'].map((name) => `${path}/components/${name}`);
    try {
      writeFileSync(`${folder}/kustomization.yaml`, JSON.stringify({ resources: [path], components }));
      const rendered = template(`apiServer=${unset}`, 'serviceMonitor.enabled=true', 'dashboard.enabled=true');
      expect(comparable(rendered)).toEqual(comparable(kubectlRun('kustomize', folder)));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses to render without an API server, or with the service of one', () => {
    expect(() => template()).toThrow('apiServer must be given');
    expect(() => template('apiServer=https://kubernetes.default.svc')).toThrow("values don't meet the specifications");
    expect(() => template(`apiServer=${unset}`, 'mode=iptables')).toThrow("values don't meet the specifications");
    expect(() => template(`apiServer=${unset}`, 'replicas=3')).toThrow("values don't meet the specifications");
  });
});
