import { readdirSync } from 'node:fs';
import { parseConfig } from '../../src/source/config.ts';
import type { ApiServer } from '../../src/source/kubernetes/api-server.ts';
import { ClusterWatch } from '../../src/source/kubernetes/cluster-watch.ts';
import { EventRecorder } from '../../src/source/kubernetes/events.ts';
import { loadKubeConfig } from '../../src/source/kubernetes/kubeconfig.ts';
import { deployPath, type Manifest, readDeploy, readManifests } from './manifests.ts';

const files = readdirSync(deployPath, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.yaml') && !file.includes('templates'),
);
const daemonSet = readManifests('base/daemon-set.yaml')[0];
const pod = daemonSet.spec.template.spec;
const main = pod.containers[0];

describe('deploy', () => {
  it.each(files)('%s can be read', (file) => {
    const manifests = readManifests(file);
    expect(manifests.length).toBeGreaterThan(0);
    // Values are no objects.
    if (!file.endsWith('values.yaml'))
      for (const manifest of manifests) expect(manifest.apiVersion).toEqual(expect.stringMatching(/^v\d|\/v\d/));
  });
});

describe("the daemon's container", () => {
  it('has one capability and no other privilege', () => {
    expect(pod.containers).toHaveLength(1);
    expect(main.securityContext).toEqual({
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
      seccompProfile: { type: 'RuntimeDefault' },
    });
  });

  it('reaches nothing of the host but its network', () => {
    expect([pod.hostPID, pod.hostIPC, pod.securityContext]).toEqual([undefined, undefined, undefined]);
    expect(pod.volumes).toEqual([{ name: 'config', configMap: { name: 'vipmap' } }]);
    for (const container of [...pod.initContainers, main])
      expect(container.volumeMounts).toEqual([{ name: 'config', mountPath: '/var/lib/vipmap', readOnly: true }]);
  });

  it('is preceded by the only privileged one, which sets sysctls and ends', () => {
    expect(pod.initContainers).toHaveLength(1);
    const [{ args, securityContext }] = pod.initContainers;
    expect(securityContext.privileged).toBe(true);
    expect(args).toEqual(['run', '--init-only', ...main.args.slice(1)]);
  });

  it('comes to every node as soon as there is one, and to one node after the other', () => {
    expect(pod).toMatchObject({
      hostNetwork: true,
      dnsPolicy: 'Default',
      priorityClassName: 'system-node-critical',
      tolerations: [{ operator: 'Exists' }],
      nodeSelector: { 'kubernetes.io/os': 'linux' },
    });
    expect(daemonSet.spec.updateStrategy).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } });
  });
});

describe('the configuration', () => {
  const config = readDeploy('base/config.conf');

  it('is one that vipmap reads without a word', () => {
    expect(parseConfig(config, 'config.conf').problems).toEqual([]);
  });

  it('names the ports that the pod is asked at', () => {
    const port = (field: string) => Number(new RegExp(`^${field}: .*:(\\d+)$`, 'm').exec(config)?.[1]);
    const ports: Record<string, number> = { healthz: port('healthzBindAddress'), metrics: port('metricsBindAddress') };
    expect(Object.fromEntries(main.ports.map((each: Manifest) => [each.name, each.containerPort]))).toEqual(ports);
    for (const probe of [main.readinessProbe, main.livenessProbe]) expect(probe.httpGet.port).toBe('healthz');
  });

  it('leads to the kubeconfig, and that to an API server that says what is missing', async () => {
    expect(config).toContain('kubeconfig: /var/lib/vipmap/kubeconfig.conf\n');
    const kubeconfig = await loadKubeConfig({ kubeconfig: `${deployPath}/base/kubeconfig.conf`, master: '' });
    expect(kubeconfig.getCurrentCluster()?.server).toBe('https://run-deploy-set-api-server.invalid:6443');
    expect(kubeconfig.getCurrentUser()?.authProvider).toEqual({
      name: 'tokenFile',
      config: { tokenFile: '/var/run/secrets/kubernetes.io/serviceaccount/token' },
    });
  });
});

describe('the cluster role', () => {
  /** `list discovery.k8s.io/endpointslices` */
  const permission = (verb: string, path: string) => {
    const [, group, resource] =
      /^\/apis\/([^/]+)\/[^/]+\/(?:namespaces\/[^/]+\/)?([^/]+)$/.exec(path) ??
      /^\/api\/v1()\/([^/]+)$/.exec(path) ??
      [];
    return `${verb} ${group}/${resource}`;
  };

  async function permissionsNeeded(): Promise<Set<string>> {
    const needed = new Set<string>();
    const apiServer: ApiServer = {
      url: '',
      list: (path) => {
        needed.add(permission('list', path));
        return Promise.resolve({ items: [], resourceVersion: '1', next: '' });
      },

      async *watch(path, _query, _inactivityMs, signal) {
        needed.add(permission('watch', path));
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
      create: (path) => {
        needed.add(permission('create', path));
        return Promise.resolve();
      },
    };
    const ignore = () => undefined;
    const sink = { replace: ignore, upsert: ignore, remove: ignore };
    const watch = new ClusterWatch({ apiServer, nodeName: 'node', sink, warn: ignore, info: ignore });
    watch.start();
    const regarding = { kind: 'Node', namespace: '', name: 'node' } as const;
    await new EventRecorder(apiServer, 'node', ignore).record({
      regarding,
      type: 'Normal',
      reason: 'Starting',
      action: 'Start',
      note: '',
    });
    await new Promise((resolve) => setImmediate(resolve));
    watch.stop();
    return needed;
  }

  it('grants what the daemon asks for, and nothing else', async () => {
    const [role] = readManifests('base/cluster-role.yaml');
    const granted = role.rules.flatMap(({ apiGroups, resources, verbs, ...rest }: Manifest) => {
      expect(rest).toEqual({});
      return apiGroups.flatMap((group: string) =>
        resources.flatMap((resource: string) => verbs.map((verb: string) => `${verb} ${group}/${resource}`)),
      );
    });
    expect(granted.sort()).toEqual([...(await permissionsNeeded())].sort());
    expect(granted).toEqual([
      'create events.k8s.io/events',
      'list /nodes',
      'list /services',
      'list discovery.k8s.io/endpointslices',
      'list networking.k8s.io/servicecidrs',
      'watch /nodes',
      'watch /services',
      'watch discovery.k8s.io/endpointslices',
      'watch networking.k8s.io/servicecidrs',
    ]);
  });

  it("is bound to the daemon's service account alone", () => {
    const [binding] = readManifests('base/cluster-role-binding.yaml');
    expect(binding.roleRef).toMatchObject({ kind: 'ClusterRole', name: 'vipmap' });
    expect(binding.subjects).toEqual([{ kind: 'ServiceAccount', name: 'vipmap', namespace: 'kube-system' }]);
    expect(pod.serviceAccountName).toBe('vipmap');
  });
});
