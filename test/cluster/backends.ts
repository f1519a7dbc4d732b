import { callApi, namespace, nodes, servicesPath, slice, slicesPath } from './api.ts';
import { clusterSh, kubectl, runProgram } from './command.ts';
import { waitFor } from './wait.ts';

const image = 'registry.k8s.io/e2e-test-images/agnhost:2.63.0';
const labels = { app: 'backend' };
export const backendPort = 9376;

/** Three pods behind a cluster IP of each family and a node port. */
export interface Backends {
  readonly ip: string;
  readonly ip6: string;
  readonly port: number;
  readonly nodePort: number;
  readonly podIps: readonly string[];
  /** A process of a pod on node2: its network is where a pod's connections come from. */
  readonly podPid: number;
}

const workload = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'backend', namespace },
  spec: {
    replicas: 3,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        terminationGracePeriodSeconds: 1,
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'DoNotSchedule',
            labelSelector: { matchLabels: labels },
          },
        ],
        containers: [
          { name: 'server', image, imagePullPolicy: 'Never', args: ['serve-hostname', '--port', String(backendPort)] },
        ],
      },
    },
  },
};
const client = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'client', namespace },
  spec: {
    nodeName: 'node2',
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'client', image, imagePullPolicy: 'Never', args: ['pause'] }],
  },
};

const dualStackService = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace },
  spec: {
    type: 'NodePort',
    ipFamilyPolicy: 'RequireDualStack',
    selector: labels,
    ports: [{ port: 80, targetPort: backendPort }],
  },
};

/** Creates what is missing of them and waits until they are ready; it does not need a service proxy. */
export async function createBackends(): Promise<Backends> {
  await callApi(
    'POST',
    '/api/v1/namespaces',
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    [409],
  );
  await waitFor('service account of the namespace', 20_000, () =>
    callApi('GET', `/api/v1/namespaces/${namespace}/serviceaccounts/default`),
  );
  await callApi('POST', `/apis/apps/v1/namespaces/${namespace}/deployments`, workload, [409]);
  await callApi('POST', `/api/v1/namespaces/${namespace}/pods`, client, [409]);
  await callApi('POST', servicesPath, dualStackService, [409]);
  await kubectl(['-n', namespace, 'rollout', 'status', 'deployment/backend', '--timeout=60s']);
  await kubectl(['-n', namespace, 'wait', '--for=condition=Ready', 'pod/client', '--timeout=60s']);
  const { spec } = await callApi<{ spec: { clusterIPs: string[]; ports: { nodePort: number }[] } }>(
    'GET',
    `${servicesPath}/backend`,
  );
  const pods = await callApi<{ items: { status: { podIP: string } }[] }>(
    'GET',
    `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3Dbackend`,
  );
  const [ip = '', ip6 = ''] = spec.clusterIPs.toSorted((a, b) => a.indexOf(':') - b.indexOf(':'));
  return {
    ip,
    ip6,
    port: 80,
    nodePort: spec.ports[0]?.nodePort ?? 0,
    podIps: pods.items.map(({ status }) => status.podIP),
    podPid: Number(await clusterSh(['pid', 'node2', '^client$', 'client'])),
  };
}

/** Creates a service without a selector, whose endpoints are written by hand, and gives its cluster IP. */
export async function createService(name: string, addresses: readonly string[]): Promise<string> {
  const body = { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ port: 80 }] } };
  const created = await callApi<{ spec: { clusterIP: string } }>('POST', servicesPath, body);
  await callApi('POST', slicesPath, slice(name, addresses, backendPort));
  return created.spec.clusterIP;
}

export async function deleteService(name: string): Promise<void> {
  await callApi('DELETE', `${servicesPath}/${name}`, undefined, [404]);
  await callApi('DELETE', `${slicesPath}/${name}`, undefined, [404]);
}

/** Milliseconds until a service that is created now works from each node, at most `timeoutMs`; it is deleted afterwards. */
export async function tryNewService({ podIps }: Backends, timeoutMs: number): Promise<number> {
  const name = `new-${Date.now()}`;
  const start = performance.now();
  try {
    const words = [await createService(name, podIps), '80', String(timeoutMs)];
    await Promise.all(nodes.map((node) => runProgram(node, 'try-connect.ts', words, timeoutMs + 10_000)));
    return performance.now() - start;
  } finally {
    await deleteService(name);
  }
}
