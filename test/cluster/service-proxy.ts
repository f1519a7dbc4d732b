import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { apiServer, callApi, clusterCidr, clusterFolder, nodes, servicesPath } from './api.ts';
import { clusterScript, clusterSh, CommandError, inNode, kubectl, repository, tryRun } from './command.ts';
import { waitFor } from './wait.ts';

/** A service proxy on every node of the cluster. */
export interface ServiceProxy {
  readonly name: 'vipmap' | 'kube-proxy';
  /** Starts it and waits until each node has its rules. */
  start(): Promise<void>;
  /** Ends it and starts it again, node by node where it can do that. */
  restart(): Promise<void>;
  /** Ends it; its rules stay. */
  stop(): Promise<void>;
  /** Removes its rules from each node, after it has ended. */
  clean(): Promise<void>;
  /** Its process on a node. */
  pid(node: string): Promise<number>;
  /** After that process was killed: starts it again unless something else does, and waits until it is back. */
  revive(node: string, killed: number): Promise<void>;
  /** What it said last. */
  logs(): Promise<string>;
}

const vipmap = join(repository, 'bin', 'vipmap');
const vipmapTable = 'vipmap';
const kubeProxyTable = 'kube-proxy';

/** Whether a node's table leads the newest service of the suite somewhere: both proxies program all services at once. */
async function waitForRules(table: string, timeoutMs: number): Promise<void> {
  const { spec } = await callApi<{ spec: { clusterIP: string } }>('GET', `${servicesPath}/backend`);
  for (const node of nodes) {
    await waitFor(`rules of ${table} on ${node}`, timeoutMs, async () =>
      (await inNode(node, ['nft', 'list', 'map', 'ip', table, 'service-ips'])).includes(`${spec.clusterIP} . tcp . 80`)
        ? true
        : undefined,
    );
  }
}

/** Whether the proxy of a node says that it is at work. */
const waitUntilHealthy = (node: string) =>
  waitFor(`answer from /healthz on ${node}`, 120_000, async () => {
    const words = ['curl', '-sf', '-o', '/dev/null', '-m', '2', 'http://127.0.0.1:10256/healthz'];
    return (await tryRun(clusterScript, ['in', node, ...words])).status === 0 ? true : undefined;
  });

/** vipmap as a DaemonSet, from deploy/ with what this cluster needs set. */
export function createVipmap(): ServiceProxy {
  const overlay = join(clusterFolder, 'overlay');
  const selector = ['-n', 'kube-system', '-l', 'k8s-app=vipmap'];
  const rolledOut = () =>
    kubectl(['-n', 'kube-system', 'rollout', 'status', 'daemonset/vipmap', '--timeout=120s'], { timeoutMs: 130_000 });
  const pid = async (node: string) => Number(await clusterSh(['pid', node, '^vipmap-', 'vipmap']));
  const logs = async () => {
    const pods = await tryRun(clusterScript, ['ctl', 'describe', 'pods', ...selector]);
    const said: string[] = [];
    for (const container of ['sysctls', 'vipmap']) {
      const { stdout, stderr } = await tryRun(clusterScript, [
        'ctl',
        'logs',
        ...selector,
        '-c',
        container,
        '--prefix',
        '--tail=15',
      ]);
      said.push(stdout.trim() || stderr.trim());
    }
    return [pods.stdout.slice(-1500), ...said].join('\n');
  };
  const waitUntilRunning = async () => {
    await rolledOut();
    await waitForRules(vipmapTable, 30_000);
  };
  return {
    name: 'vipmap',
    pid,
    logs,
    async start() {
      writeOverlay(overlay);
      await kubectl(['apply', '-k', overlay]);
      await waitUntilRunning();
    },
    async restart() {
      await kubectl(['-n', 'kube-system', 'rollout', 'restart', 'daemonset/vipmap']);
      await waitUntilRunning();
    },
    async stop() {
      await kubectl(['delete', '-k', overlay, '--wait=true', '--ignore-not-found']);
      await waitFor('end of the pods', 60_000, async () =>
        (await kubectl(['get', 'pods', ...selector, '-o', 'name'])).trim() === '' ? true : undefined,
      );
    },
    async clean() {
      for (const node of nodes) await inNode(node, [vipmap, 'cleanup']);
    },
    async revive(node, killed) {
      await waitFor(`a new agent on ${node}`, 120_000, () =>
        pid(node).then((now) => (now === killed ? undefined : now), onlyCommandError),
      );
      await waitUntilHealthy(node);
    },
  };
}

function onlyCommandError(error: unknown): undefined {
  if (!(error instanceof CommandError)) throw error;
}

/** An overlay over deploy/, as a user of it writes one: the image, where the API server is and where pods have their addresses. */
function writeOverlay(folder: string): void {
  const deploy = join(repository, 'deploy');
  const base = (file: string) => readFileSync(join(deploy, 'base', file), 'utf8');
  const set = (text: string, setting: RegExp, value: string) => {
    if (!setting.test(text)) throw new Error(`deploy/base: no setting ${String(setting)} to fill in`);
    return text.replace(setting, value);
  };
  const config = set(base('config.conf'), /^clusterCIDR:.*$/m, `clusterCIDR: ${clusterCidr}`);
  mkdirSync(folder, { recursive: true });
  // The size of conntrack's table belongs to the machine: from a network namespace it cannot be set.
  writeFileSync(
    join(folder, 'config.conf'),
    set(set(config, /maxPerCore: \d+/, 'maxPerCore: 0'), /\bmin: \d+/, 'min: 0'),
  );
  writeFileSync(join(folder, 'kubeconfig.conf'), set(base('kubeconfig.conf'), /server: .*/, `server: ${apiServer}`));
  const never = (list: string) => ({
    op: 'replace',
    path: `/spec/template/spec/${list}/0/imagePullPolicy`,
    value: 'Never',
  });
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [relative(folder, deploy)],
    images: [{ name: 'vipmap', newTag: 'test' }],
    configMapGenerator: [
      { name: 'vipmap', namespace: 'kube-system', behavior: 'merge', files: ['config.conf', 'kubeconfig.conf'] },
    ],
    patches: [
      {
        target: { kind: 'DaemonSet', name: 'vipmap' },
        patch: JSON.stringify([never('containers'), never('initContainers')]),
      },
    ],
  };
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization, null, 2));
}

/** kube-proxy in nftables mode, as a process in each node's network. */
export function createKubeProxy(): ServiceProxy {
  const config = (node: string) => join(clusterFolder, `kube-proxy-${node}.yaml`);
  const startOn = (chosen: string) =>
    clusterSh(['proxy', 'kube-proxy', '--config', config('{node}')], { env: { NODES: chosen } });
  const stopOn = (chosen: string) => clusterSh(['proxy-stop'], { env: { NODES: chosen } });
  const pid = (node: string) =>
    Promise.resolve(Number(readFileSync(join(clusterFolder, 'pid', `proxy-${node}`), 'utf8')));
  return {
    name: 'kube-proxy',
    pid,
    async start() {
      const common = readFileSync(join(import.meta.dirname, 'kube-proxy.yaml'), 'utf8');
      const kubeconfig = join(clusterFolder, 'admin.kubeconfig');
      for (const node of nodes)
        writeFileSync(
          config(node),
          `${common}hostnameOverride: ${node}\nclientConnection: {kubeconfig: ${kubeconfig}}\n`,
        );
      await startOn(nodes.join(' '));
      await waitForRules(kubeProxyTable, 180_000);
    },
    async restart() {
      for (const node of nodes) {
        await stopOn(node);
        await startOn(node);
        await waitUntilHealthy(node);
      }
      await waitForRules(kubeProxyTable, 180_000);
    },
    async stop() {
      await stopOn(nodes.join(' '));
    },
    async clean() {
      for (const node of nodes) await inNode(node, [vipmap, 'cleanup', '--kube-proxy', '--keep-own']);
    },
    async revive(node, killed) {
      await waitFor(
        `end of process ${killed}`,
        10_000,
        () => Promise.resolve(existsSync(`/proc/${killed}/exe`) ? undefined : true),
        10,
      );
      await startOn(node);
      await waitUntilHealthy(node);
    },
    async logs() {
      const all = await Promise.all(nodes.map((node) => clusterSh(['logs', `proxy-${node}`])));
      return all.map((text) => text.slice(-2000)).join('\n');
    },
  };
}
