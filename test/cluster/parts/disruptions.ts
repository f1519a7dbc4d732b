import { nodes } from '../api.ts';
import { tryNewService } from '../backends.ts';
import { clusterSh, kubectl } from '../command.ts';
import { type Context, inSeconds, type Part, timed, underLoad } from '../part.ts';
import { sleep, waitFor } from '../wait.ts';

const apiServerDownMs = 60_000;
/** Less than the 40 seconds after which the cluster takes the node's pods out of services. */
const kubeletDownMs = 25_000;

async function newServiceWorks(
  { say, backends }: Context,
  when: string,
  withinMs = 15_000,
): Promise<readonly string[]> {
  try {
    say(`a new service works ${when} on both nodes after ${inSeconds(await tryNewService(backends, withinMs))}`);
    return [];
  } catch (error) {
    return [`a new service does not work ${when}: ${(error as Error).message}`];
  }
}

export const load: Part = {
  name: 'load',
  about: 'nothing happens for ten seconds: the load by itself',
  run: (context) =>
    underLoad(context, async () => {
      await sleep(10_000);
      return newServiceWorks(context, 'meanwhile');
    }),
};

export const rollingUpdate: Part = {
  name: 'rolling-update',
  about: 'every agent is replaced, node by node',
  run: (context) =>
    underLoad(context, async () => {
      context.say(`restarted on both nodes within ${inSeconds(await timed(() => context.proxy.restart()))}`);
      return newServiceWorks(context, 'afterwards');
    }),
};

export const kill: Part = {
  name: 'kill',
  about: 'kill -9 of the agent on each node',
  run: (context) =>
    underLoad(context, async () => {
      for (const node of nodes) {
        const pid = await context.proxy.pid(node);
        process.kill(pid, 'SIGKILL');
        const ms = await timed(() => context.proxy.revive(node, pid));
        context.say(`${node}: process ${pid} killed, back after ${inSeconds(ms)}`);
      }
      return newServiceWorks(context, 'afterwards');
    }),
};

export const apiServerStop: Part = {
  name: 'api-server',
  about: 'the API server is away for a minute',
  run: (context) =>
    underLoad(context, async () => {
      await clusterSh(['api-server', 'stop']);
      try {
        await sleep(apiServerDownMs);
      } finally {
        context.say(`back after ${inSeconds(await timed(() => clusterSh(['api-server', 'start'])))}`);
      }
      // Clients of the API server that fail wait longer and longer; those of kube-proxy up to a minute.
      return newServiceWorks(context, 'after it is back', 90_000);
    }),
};

export const kubeletStop: Part = {
  name: 'kubelet',
  about: "a node's kubelet is away for a while",
  run: (context) =>
    underLoad(context, async () => {
      const node = nodes[0];
      await clusterSh(['kubelet', 'stop', node]);
      try {
        await sleep(kubeletDownMs);
      } finally {
        await clusterSh(['kubelet', 'start', node]);
      }
      const { ms } = await waitFor('a ready node', 60_000, async () =>
        (await kubectl(['get', 'node', node])).includes(' Ready ') ? true : undefined,
      );
      context.say(`${node}: away for ${inSeconds(kubeletDownMs)}, ready ${inSeconds(ms)} after its start`);
      await sleep(5000);
      return newServiceWorks(context, 'afterwards');
    }),
};
