import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clusterFolder, nodes } from './api.ts';
import { clusterSh, inNode, kubectl, repository } from './command.ts';
import { inTable, type RulesShown, type ServiceProxy, waitForRules, waitUntilHealthy } from './service-proxy.ts';
import { vipmapPod } from './vipmap.ts';
import { waitFor } from './wait.ts';

const vipmap = join(repository, 'bin', 'vipmap');
const cleanup = ['cleanup', '--kube-proxy', '--keep-own'];

export type KubeProxyMode = 'nftables' | 'iptables';

const rulesShown: Readonly<Record<KubeProxyMode, RulesShown>> = {
  nftables: inTable('kube-proxy'),
  iptables: (clusterIp) => [['iptables-save', '-t', 'nat'], `-A KUBE-SERVICES -d ${clusterIp}/32 `],
};

/** kube-proxy as a process in each node's network. */
export function createKubeProxy(mode: KubeProxyMode = 'nftables'): ServiceProxy {
  const config = (node: string) => join(clusterFolder, `kube-proxy-${node}.yaml`);
  const startOn = (chosen: string) =>
    clusterSh(['proxy', 'kube-proxy', '--config', config('{node}')], { env: { NODES: chosen } });
  const stopOn = (chosen: string) => clusterSh(['proxy-stop'], { env: { NODES: chosen } });
  const pid = (node: string) =>
    Promise.resolve(Number(readFileSync(join(clusterFolder, 'pid', `proxy-${node}`), 'utf8')));
  const isRunning = (node: string) => {
    const file = join(clusterFolder, 'pid', `proxy-${node}`);
    return existsSync(file) && existsSync(`/proc/${readFileSync(file, 'utf8').trim()}/exe`);
  };
  return {
    name: 'kube-proxy',
    pid,
    async start() {
      const common = readFileSync(join(import.meta.dirname, 'kube-proxy.yaml'), 'utf8');
      const kubeconfig = join(clusterFolder, 'admin.kubeconfig');
      for (const node of nodes)
        writeFileSync(
          config(node),
          `${common}mode: ${mode}\nhostnameOverride: ${node}\nclientConnection: {kubeconfig: ${kubeconfig}}\n`,
        );
      for (const node of nodes) if (!isRunning(node)) await startOn(node);
      await waitForRules('kube-proxy', rulesShown[mode], 180_000);
    },
    async restart() {
      for (const node of nodes) {
        await stopOn(node);
        await startOn(node);
        await waitUntilHealthy(node);
      }
      await waitForRules('kube-proxy', rulesShown[mode], 180_000);
    },
    async remove() {
      await stopOn(nodes.join(' '));
      for (const node of nodes) {
        const pod = await vipmapPod(node);
        if (pod === undefined) await inNode(node, [vipmap, ...cleanup]);
        else await kubectl(['-n', 'kube-system', 'exec', pod, '-c', 'vipmap', '--', 'vipmap', ...cleanup]);
      }
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
