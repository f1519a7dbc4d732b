import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { judge, sendUntilCovered } from './judge.ts';
import type { PacketSpec } from './packets-file.ts';
import { Playground } from './playground.ts';

// Runs inside a fresh namespace, started by playground.test.ts with the nft command; prints a report as JSON.

const node = { v4: '192.168.10.11', v6: 'fd00:192:168:10::11' };
const pod = { v4: '10.244.1.9', v6: 'fd00:10:244:1::9' };
const far = { v4: '203.0.113.7', v6: '2001:db8::7' };

type Row = readonly [from: string, to: string, expect: PacketSpec['expect'], more?: Partial<PacketSpec>];
const masquerade = { masquerade: true };

const rows: readonly Row[] = [
  [pod.v4, '10.96.0.10:53/udp', ['10.244.1.5:5353']],
  [far.v4, '10.96.0.10:53/udp', ['10.244.1.5:5353']],
  [node.v4, '10.96.0.10:53/udp', ['10.244.1.5:5353']],
  [pod.v4, '10.96.0.11:80', ['10.244.1.5:8080', '10.244.2.6:8080']],
  [pod.v4, '10.96.0.12:9/sctp', ['10.244.2.6:99']],
  [node.v4, '10.96.0.12:9/sctp', ['10.244.2.6:99']],
  [pod.v4, '10.96.0.13:80', ['10.244.2.6:8080'], masquerade],
  [far.v4, '10.96.0.13:80', ['10.244.2.6:8080'], masquerade],
  [node.v4, '10.96.0.13:80', ['10.244.2.6:8080'], masquerade],
  [pod.v4, '10.96.0.13:80/udp', ['10.244.1.6:8080'], masquerade],
  [node.v4, '10.96.0.13:80/udp', ['10.244.1.6:8080'], masquerade],
  [far.v4, '10.96.0.13:80/sctp', ['10.244.1.6:8080'], masquerade],
  [pod.v4, '10.96.0.14:80', ['192.168.10.11:8080']],
  [node.v4, '10.96.0.14:80', ['192.168.10.11:8080']],
  [far.v4, '192.168.10.11:30080', ['10.244.2.6:8080']],
  [node.v4, '192.168.10.11:30080', ['10.244.2.6:8080']],
  [node.v4, '192.168.10.11:30090/udp', ['192.168.10.11:99'], masquerade],
  [far.v4, '192.168.10.11:30090/udp', ['192.168.10.11:99'], masquerade],
  [pod.v4, '10.96.0.15:80', ['10.244.1.5:8080', '10.244.2.6:8080'], { sticky: true }],
  [pod.v6, '[fd00:10:96::10]:53/udp', ['[fd00:10:244:1::5]:5353']],
  [node.v6, '[fd00:10:96::10]:53/udp', ['[fd00:10:244:1:0:0:0:5]:5353']],
  [far.v6, '[fd00:10:96::11]:80', ['[fd00:10:244:2::6]:8080']],
  [pod.v6, '[fd00:10:96::12]:9/sctp', ['[fd00:10:244:2::6]:99']],
  [node.v6, '[fd00:10:96::12]:9/sctp', ['[fd00:10:244:2::6]:99']],
  [far.v6, '[fd00:10:96::13]:80', ['[fd00:10:244:2::6]:8080'], masquerade],
  [node.v6, '[fd00:10:96::13]:80/udp', ['[fd00:10:244:1::6]:8080'], masquerade],
  [far.v6, '[fd00:10:96::14]:80', ['[fd00:192:168:10::11]:8080']],
  [node.v6, '[fd00:10:96::14]:80', ['[fd00:192:168:10::11]:8080']],
  ...(['tcp', 'udp', 'sctp'] as const).flatMap((protocol) =>
    [pod, far, node].flatMap((client): Row[] => [
      [client.v4, `10.96.0.20:80/${protocol}`, 'reject'],
      [client.v6, `[fd00:10:96::20]:80/${protocol}`, 'reject'],
      [client.v4, `10.96.0.21:80/${protocol}`, 'drop'],
      [client.v6, `[fd00:10:96::21]:80/${protocol}`, 'drop'],
      [client.v4, `198.51.100.1:80/${protocol}`, 'untouched'],
      [client.v6, `[2001:db8:1::1]:80/${protocol}`, 'untouched'],
      [client.v4, `10.244.1.20:80/${protocol}`, 'untouched'],
      [client.v6, `[fd00:10:244:1::20]:80/${protocol}`, 'untouched'],
      [client.v4, `${node.v4}:81/${protocol}`, 'untouched'],
      [client.v6, `[${node.v6}]:81/${protocol}`, 'untouched'],
    ]),
  ),
  ...[pod, far, node].flatMap((client): Row[] => [
    [client.v4, '10.96.0.22:80', 'reject'],
    [client.v6, '[fd00:10:96::22]:80', 'reject'],
    ...[31000, 31002].flatMap((port): Row[] => [
      [client.v4, `${node.v4}:${port}`, 'reject'],
      [client.v6, `[${node.v6}]:${port}`, 'reject'],
    ]),
    [client.v4, `${node.v4}:31001`, 'drop'],
    [client.v6, `[${node.v6}]:31001`, 'drop'],
  ]),
  ['127.0.0.1', '127.0.0.1:82', 'untouched'],
  ['::1', '[::1]:82/udp', 'untouched'],
  // From the node's own address, but from outside: a spoofed or hairpinned packet.
  [node.v4, '10.96.0.10:53/udp', ['10.244.1.5:5353'], { via: 'outside' }],
];

// Expectations that the ruleset does not meet, to see that the judge says so.
const wrong: readonly Row[] = [
  [pod.v4, '10.96.0.10:53/udp', ['10.244.1.5:53']],
  [pod.v4, '10.96.0.10:53/udp', ['10.244.1.5:5353'], masquerade],
  [node.v4, '10.96.0.10:53/udp', ['10.244.1.5:5353'], masquerade],
  [pod.v4, '10.96.0.11:80', ['10.244.1.5:8080', '10.244.2.6:8080'], { sticky: true }],
  [pod.v4, '10.96.0.10:53/udp', ['10.244.1.5:5353', '10.244.1.6:5353']],
  [pod.v4, '10.96.0.13:80', ['10.244.2.6:8080']],
  [pod.v4, '10.96.0.10:53/udp', 'untouched'],
  [pod.v4, '10.96.0.20:80', 'drop'],
  [pod.v4, '10.96.0.21:80', 'reject'],
  [pod.v4, '192.168.10.11:81', 'reject'],
];

function toSpecs(from: readonly Row[]): PacketSpec[] {
  return from.map(([source, to, expect, more], i) => ({ name: `packet ${i + 1}`, from: source, to, expect, ...more }));
}

async function judgeAll(playground: Playground, specs: readonly PacketSpec[]) {
  const outcomes = await sendUntilCovered(playground, specs);
  return specs.map((spec, i) => ({ spec, fault: judge(spec, outcomes[i] ?? []), outcomes: outcomes[i] }));
}

async function main(nft: string): Promise<void> {
  execFileSync(nft, ['-f', path.join(import.meta.dirname, 'playground-selftest.nft')]);
  const playground = await Playground.open({ nodeAddresses: [node.v4, node.v6] });
  const right = await judgeAll(playground, toSpecs(rows));
  const rejections = await playground.send([
    { from: pod.v4, to: '10.96.0.20:80' },
    { from: node.v6, to: '[fd00:10:96::22]:80' },
  ]);
  const wrongs = await judgeAll(playground, toSpecs(wrong));

  const start = performance.now();
  const many = await playground.send(Array.from({ length: 600 }, () => ({ from: pod.v4, to: '10.96.0.11:80' })));
  const milliseconds = performance.now() - start;

  await playground.setNodeAddresses(['192.168.10.12']);
  const moved = await playground.send([
    { from: pod.v4, to: `${node.v4}:81` },
    { from: '192.168.10.12', to: '192.168.10.12:81' },
    { from: pod.v6, to: `[${node.v6}]:81` },
  ]);
  await playground.close();
  console.log(JSON.stringify({ right, rejections, wrongs, many, milliseconds, moved }));
}

await main(process.argv[2] ?? 'nft');
