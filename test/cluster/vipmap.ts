import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { apiServer, clusterCidr, clusterFolder } from './api.ts';
import { clusterScript, clusterSh, CommandError, kubectl, repository, tryRun } from './command.ts';
import { inTable, type ServiceProxy, waitForRules, waitUntilHealthy } from './service-proxy.ts';
import { waitFor } from './wait.ts';

const selector = ['-n', 'kube-system', '-l', 'k8s-app=vipmap'];

/** The pod of a node, if there is one. */
export async function vipmapPod(node: string): Promise<string | undefined> {
  const words = ['get', 'pods', ...selector, '--field-selector', `spec.nodeName=${node}`, '-o', 'name'];
  return (await kubectl(words)).trim() || undefined;
}

/** vipmap as a DaemonSet, from deploy/ with what this cluster needs set. */
export function createVipmap(): ServiceProxy {
  const overlay = join(clusterFolder, 'overlay');
  const cleanup = join(clusterFolder, 'overlay-cleanup');
  const rolledOut = () =>
    kubectl(['-n', 'kube-system', 'rollout', 'status', 'daemonset/vipmap', '--timeout=300s'], { timeoutMs: 310_000 });
  const pid = async (node: string) => Number(await clusterSh(['pid', node, '^vipmap-', 'vipmap']));
  const logs = async () => {
    const pods = await tryRun(clusterScript, ['ctl', 'describe', 'pods', ...selector]);
    const said: string[] = [];
    for (const container of ['sysctls', 'vipmap']) {
      const words = ['ctl', 'logs', ...selector, '-c', container, '--prefix', '--tail=15'];
      const { stdout, stderr } = await tryRun(clusterScript, words);
      said.push(stdout.trim() || stderr.trim());
    }
    return [pods.stdout.slice(-1500), ...said].join('\n');
  };
  const waitUntilRunning = async () => {
    await rolledOut();
    await waitForRules('vipmap', inTable('vipmap'), 30_000);
  };
  return {
    name: 'vipmap',
    pid,
    logs,
    async start() {
      writeOverlay(overlay, '.');
      await kubectl(['apply', '-k', overlay]);
      await waitUntilRunning();
    },
    async restart() {
      await kubectl(['-n', 'kube-system', 'rollout', 'restart', 'daemonset/vipmap']);
      await waitUntilRunning();
    },
    async remove() {
      writeOverlay(cleanup, 'overlays/cleanup');
      await kubectl(['apply', '-k', cleanup]);
      await rolledOut();
      await kubectl(['delete', '-k', cleanup]);
      await waitFor('end of the pods', 60_000, async () =>
        (await kubectl(['get', 'pods', ...selector, '-o', 'name'])).trim() === '' ? true : undefined,
      );
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

/** An overlay over a folder of deploy/, as a user of it writes one: the image, where the API server is and where pods have their addresses. */
function writeOverlay(folder: string, over: string): void {
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
    resources: [relative(folder, join(deploy, over))],
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
