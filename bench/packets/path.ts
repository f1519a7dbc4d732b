import { availableParallelism } from 'node:os';
import type { Task } from './client.ts';
import { run } from '../../test/cluster/command.ts';
import { type Helper, startHelper } from './helper.ts';

/**
 * Two hops through a node: a client pod and all endpoints in namespaces of their own, each with a veth to the node's, which routes
 * between them. Goes away with `end`, or with this process.
 */
export interface Path {
  /** To put before a command that is to run in the node's namespace. */
  readonly enterNode: readonly string[];
  /** What the client gives for a task. */
  ask(task: Task): Promise<unknown>;
  /** What as many clients as there are processors give for a task that they do at the same time. */
  askAll(task: Task): Promise<unknown[]>;
  /** The node's conntrack begins anew. */
  forget(): Promise<unknown>;
  end(): Promise<void>;
}

const clientIp = '10.200.0.2';
const routerOfClient = '10.200.0.1';
const backendIp = '192.168.1.2';
const routerOfBackend = '192.168.1.1';
// All of pods but the client: so that the backend has every endpoint's address.
const endpointCidr = '10.128.0.0/10';

const isolate = ['unshare', '--net'];
const enter = ({ pid }: Helper) => ['nsenter', `--net=/proc/${pid}/ns/net`, '--'];

/** @param where whether the node's namespace is a new one or the one of this process */
export async function openPath(where: 'isolated' | 'here'): Promise<Path> {
  const node = await startHelper('forwarder.ts', where === 'isolated' ? isolate : []);
  const backend = await startHelper('backend.ts', isolate);
  const first = await startHelper('client.ts', isolate);
  await lay(node, first, backend);
  const clients = [first];
  while (clients.length < Math.min(availableParallelism(), 4))
    clients.push(await startHelper('client.ts', enter(first)));
  const askAll = (tasks: (client: number) => Task) => Promise.all(clients.map((client, n) => client.ask(tasks(n))));
  await askAll((n) => ({ kind: 'be', client: n, clients: clients.length }));
  return {
    enterNode: enter(node),
    ask: (task) => first.ask(task),
    askAll: (task) => askAll(() => task),
    forget: () => node.ask({}),
    end: async () => {
      for (const helper of [...clients, backend, node]) await helper.end();
    },
  };
}

async function lay(node: Helper, client: Helper, backend: Helper): Promise<void> {
  await configure(
    node,
    `link set lo up
    link add to-client type veth peer name eth0 netns ${client.pid}
    link add to-backend type veth peer name eth0 netns ${backend.pid}
    address add ${routerOfClient}/24 dev to-client
    address add ${routerOfBackend}/24 dev to-backend
    link set to-client up
    link set to-backend up
    route add ${endpointCidr} via ${backendIp}`,
  );
  await runIn(node, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  const end = (helper: Helper, address: string, router: string, more = '') =>
    configure(
      helper,
      `link set lo up
      address add ${address}/24 dev eth0
      link set eth0 up
      route add default via ${router}
      ${more}`,
    );
  await end(client, clientIp, routerOfClient);
  await end(backend, backendIp, routerOfBackend, `route add local ${endpointCidr} dev lo`);
}

const configure = (helper: Helper, input: string) => runIn(helper, ['ip', '-batch', '-'], input);

function runIn(helper: Helper, command: readonly string[], input = ''): Promise<string> {
  const [program = '', ...words] = [...enter(helper), ...command];
  return run(program, words, { input });
}
