import { callApi, nodes, servicesPath } from './api.ts';
import { clusterScript, inNode, tryRun } from './command.ts';
import { waitFor } from './wait.ts';

/** A service proxy on every node of the cluster. */
export interface ServiceProxy {
  readonly name: 'vipmap' | 'kube-proxy';
  /** Starts it and waits until each node has its rules. */
  start(): Promise<void>;
  /** Ends it and starts it again, node by node. */
  restart(): Promise<void>;
  /** Ends it and removes its rules from each node. */
  remove(): Promise<void>;
  /** Its process on a node. */
  pid(node: string): Promise<number>;
  /** After that process was killed: starts it again unless something else does, and waits until it is back. */
  revive(node: string, killed: number): Promise<void>;
  /** What it said last. */
  logs(): Promise<string>;
}

/** Until each node's table leads the newest service of the suite somewhere: both proxies program all services at once. */
export async function waitForRules(table: string, timeoutMs: number): Promise<void> {
  const { spec } = await callApi<{ spec: { clusterIP: string } }>('GET', `${servicesPath}/backend`);
  for (const node of nodes) {
    await waitFor(`rules of ${table} on ${node}`, timeoutMs, async () =>
      (await inNode(node, ['nft', 'list', 'map', 'ip', table, 'service-ips'])).includes(`${spec.clusterIP} . tcp . 80`)
        ? true
        : undefined,
    );
  }
}

/** Until the proxy of a node says that it is at work. */
export const waitUntilHealthy = (node: string) =>
  waitFor(`answer from /healthz on ${node}`, 120_000, async () => {
    const words = ['curl', '-sf', '-o', '/dev/null', '-m', '2', 'http://127.0.0.1:10256/healthz'];
    return (await tryRun(clusterScript, ['in', node, ...words])).status === 0 ? true : undefined;
  });
