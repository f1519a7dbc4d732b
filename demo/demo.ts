import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { becomeNode, type Host, ip, plugIn } from './world.ts';

/* Runs inside a fresh network namespace, which it makes a node; see scripts/demo.sh. Every line marked with $ is a command that is really run. */

const root = join(import.meta.dirname, '..');
const paint = (style: Parameters<typeof styleText>[0], text: string) =>
  process.stdout.isTTY ? styleText(style, text) : text;
const say = (text = '') => console.log(text);
const title = (text: string) => say(`\n${paint(['bold', 'cyan'], text)}`);
const nft = process.env['VIPMAP_NFT'] ?? 'nft';

/** Runs a command of ours and shows it with all that it says. */
function show(program: 'vipmap' | 'nft', ...args: readonly string[]): number {
  say(paint('bold', `$ ${program} ${args.map((arg) => (/[\s{}]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`));
  const real = program === 'vipmap' ? [process.execPath, join(root, 'dist', 'vipmap.mjs')] : [nft];
  const { status, stdout, stderr } = spawnSync(real[0] as string, [...real.slice(1), ...args], {
    cwd: root,
    encoding: 'utf8',
  });
  process.stdout.write(`${stdout}${stderr}`.replace(/^/gm, '  ').trimEnd() + '\n');
  return status ?? -1;
}

/** Connects and says who answered how often, and whom the pods saw. */
async function tryOut(who: string, host: Host, target: string, times: number): Promise<void> {
  const [address = '', port] = target.split(':');
  const replies = await host.command({ do: 'connect', host: address, port: Number(port), times });
  const counts = new Map<string, number>();
  for (const reply of replies) counts.set(reply, (counts.get(reply) ?? 0) + 1);
  say(`  ${who} connects to ${paint('bold', target)} ${times} times:`);
  for (const [reply, count] of [...counts].sort())
    say(`    ${String(count).padStart(3)} x  ${paint(reply.includes('saw') ? 'green' : 'yellow', reply)}`);
}

const settings = ['--node', 'worker-1', '--cluster-cidr', '10.244.0.0/16'];
const before = ['--state', 'demo/cluster.yaml', ...settings];
const later = ['--state', 'demo/later.yaml', ...settings];

title('A node');
say(`This network namespace plays the node worker-1 (192.168.0.2). It has two pods, a third pod is on worker-2, and a client is outside.

    outside 203.0.113.9 ──┐                         ┌── pod-a  10.244.1.5   this node
                          ├── worker-1 192.168.0.2 ─┼── pod-b  10.244.1.6   this node
    client  10.244.1.9 ───┘                         └── pod-c  10.244.2.7   worker-2
    (a pod)
`);
becomeNode();
const [podA, podB, podC, client, outside] = await Promise.all([
  plugIn('pod-a', '10.244.1.5'),
  plugIn('pod-b', '10.244.1.6'),
  plugIn('pod-c', '10.244.2.7'),
  plugIn('client', '10.244.1.9'),
  plugIn('outside', '203.0.113.9'),
]);
// What the node does not know goes outside, as on most nodes.
ip('route add default via 203.0.113.9 dev outside onlink');
const names = [
  [podA, 'pod-a'],
  [podB, 'pod-b'],
  [podC, 'pod-c'],
] as const;
await Promise.all(names.map(([pod, name]) => pod.command({ do: 'serve', name, port: 8080 })));
say('The kernel has no rules yet, so nobody answers for a service:');
await tryOut('client', client, '10.96.0.10:80', 1);

title('The cluster’s services, into the kernel');
show('vipmap', 'apply', ...before);
say(
  '\nConnections to the cluster IP spread over the three pods. They see the client’s own address, since it is a pod:',
);
await tryOut('client', client, '10.96.0.10:80', 12);
say('From outside through the node port, the pods see the node: it masquerades, so that answers come back its way:');
await tryOut('outside', outside, '192.168.0.2:30080', 12);
say('shop/cart has session affinity: a client stays with its pod.');
await tryOut('client', client, '10.96.0.11:80', 8);
say('shop/search has no endpoints, which is said at once instead of letting the client wait:');
await tryOut('client', client, '10.96.0.12:80', 1);

title('Why a packet goes where it goes');
show('vipmap', 'explain', '192.168.0.2:30080', '--from', '203.0.113.9', ...before);

title('The cluster changes: pod-b leaves shop/web, shop/blog comes');
say('What would that change here? A handful of map elements; no rule of any other service is touched:');
show('vipmap', 'diff', ...later);
say('As nft sees it, one atomic transaction:');
show('vipmap', 'diff', ...later, '-o', 'nft');
show('vipmap', 'apply', ...later);
say('\nConnections follow:');
await tryOut('client', client, '10.96.0.10:80', 12);
await tryOut('client', client, '10.96.0.13:80', 4);

title('Somebody breaks the rules by hand');
show('nft', 'flush', 'chain', 'ip', 'vipmap', 'services');
show('nft', 'delete', 'element', 'ip', 'vipmap', 'cluster-endpoints-tcp', '{ 10.96.0.13 . 80 . 0 }');
await tryOut('client', client, '10.96.0.10:80', 1);
say('diff reads the kernel map by map and finds it (exit code 3); apply mends just that:');
say(`  (exit code ${show('vipmap', 'diff', ...later)})`);
show('vipmap', 'apply', ...later);
await tryOut('client', client, '10.96.0.10:80', 6);
await tryOut('client', client, '10.96.0.13:80', 2);
say('A second apply has nothing to do:');
show('vipmap', 'apply', ...later);

title('Clean-up');
show('vipmap', 'cleanup');
for (const host of [podA, podB, podC, client, outside]) host.stop();
say('The namespace goes with this process; nothing outside it was touched.');
process.exit(0);
