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

/** What shows on a node that a service's address leads somewhere: a command, and what it then prints. */
export type RulesShown = (clusterIp: string) => readonly [command: readonly string[], text: string];

/** In the table of nftables mode, kube-proxy's or ours. */
export const inTable =
  (table: string): RulesShown =>
  (clusterIp) => [['nft', 'list', 'map', 'ip', table, 'service-ips'], `${clusterIp} . tcp . 80`];

/** Until each node has rules for the newest service of the suite: both proxies program all services at once. */
export async function waitForRules(proxy: string, shown: RulesShown, timeoutMs: number): Promise<void> {
  const { spec } = await callApi<{ spec: { clusterIP: string } }>('GET', `${servicesPath}/backend`);
  const [command, text] = shown(spec.clusterIP);
  for (const node of nodes) {
    await waitFor(`rules of ${proxy} on ${node}`, timeoutMs, async () =>
      (await inNode(node, command)).includes(text) ? true : undefined,
    );
  }
}

/** Until the proxy of a node says that it is at work. */
export const waitUntilHealthy = (node: string) =>
  waitFor(`answer from /healthz on ${node}`, 120_000, async () => {
    const words = ['curl', '-sf', '-o', '/dev/null', '-m', '2', 'http://127.0.0.1:10256/healthz'];
    return (await tryRun(clusterScript, ['in', node, ...words])).status === 0 ? true : undefined;
  });
