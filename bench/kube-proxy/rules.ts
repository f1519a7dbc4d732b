import type { Binaries } from './binaries.ts';
import { type Cluster, openCluster } from './cluster.ts';
import { kubeProxy, RunningProxy } from './proxy.ts';

/**
 * Leaves kube-proxy's own rules for objects like those of generate.ts in this process's network namespace, which must have none; no
 * process stays. What it writes is in `folder`, which must be empty.
 */
export async function leaveKubeProxyRules(
  binaries: Binaries,
  objects: Parameters<Cluster['fill']>[0],
  folder: string,
): Promise<void> {
  const cluster = await openCluster(binaries, folder);
  try {
    await cluster.fill(objects);
    const proxy = new RunningProxy(cluster, kubeProxy);
    try {
      await proxy.firstSync();
    } finally {
      await proxy.stop();
    }
  } finally {
    await cluster.close();
  }
}
