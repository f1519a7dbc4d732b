import { spawn } from 'node:child_process';
import { once } from 'node:events';
import dgram from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  MessageWriter,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_REQUEST,
} from '../../src/kernel/netlink/message.ts';
import { type RulesetEvent, RulesetMonitor, type RulesetMonitorOptions } from '../../src/kernel/netlink/monitor.ts';
import { type NetlinkSocket, receiveSoon } from '../../src/kernel/netlink/socket.ts';
import { nft, nftProgram, runProgram } from '../kernel/vipmap.ts';
import { type Checks, differs, firstOf, load } from './check.ts';
import { openSocket } from './socket-checks.ts';

/** Events by the words that people would use: `ip`, `ip6`, `overrun`. */
async function watch(
  run: (monitor: RulesetMonitor) => Promise<void>,
  options: Partial<RulesetMonitorOptions> = {},
): Promise<string[]> {
  const told: RulesetEvent[] = [];
  const monitor = RulesetMonitor.open({
    onEvent: (event) => told.push(event),
    isOurs: () => false,
    intervalMs: 60_000,
    ...options,
  });
  if (monitor === undefined) throw new Error('koffi is not there');
  try {
    await run(monitor);
    monitor.look();
    // What is too much for one look is read in the next turns.
    await sleep(50);
  } finally {
    monitor.close();
  }
  return told.map((event) => (event.kind === 'overrun' ? 'overrun' : event.family));
}

/** Runs nft, and tells its pid as it starts: what a caller who spawns it knows. */
async function nftByPid(text: string, onPid: (pid: number) => void = () => undefined): Promise<number> {
  const child = spawn(nftProgram, ['-f', '-'], { stdio: ['pipe', 'ignore', 'inherit'] });
  onPid(child.pid ?? 0);
  child.stdin.end(text);
  await once(child, 'close');
  return child.pid ?? 0;
}

/** A transaction by a socket of ours: a table made. */
async function makeTable(socket: NetlinkSocket, name: string): Promise<void> {
  const writer = new MessageWriter();
  const message = (type: number, flags: number, sequence: number, resource: number, table?: string) => {
    const at = writer.beginMessage(type, NLM_F_REQUEST | flags, sequence, 2, resource);
    if (table !== undefined) writer.text(1, table);
    writer.endMessage(at);
  };
  message(NFNL_MSG_BATCH_BEGIN, 0, 1, 10);
  message(0xa00, NLM_F_CREATE | NLM_F_ACK, 2, 0, name);
  message(NFNL_MSG_BATCH_END, 0, 3, 10);
  socket.send(writer.bytes());
  await receiveSoon(socket, 1000);
}

const tables = `table ip vipmap { set s { typeof ip daddr; }; chain c { ip daddr @s drop; }; }
table ip6 vipmap { set s { typeof ip6 daddr; }; }
table inet vipmap { set s { typeof ip daddr; }; }
table ip other { set s { typeof ip daddr; }; }`;

const foreignChanges: Readonly<Record<string, readonly string[]>> = {
  'add element ip vipmap s { 10.0.0.1 }': ['ip'],
  'delete element ip vipmap s { 10.0.0.1 }': ['ip'],
  'add element ip6 vipmap s { fd00::1, fd00::2 }': ['ip6'],
  'flush set ip6 vipmap s': ['ip6'],
  'add rule ip vipmap c accept': ['ip'],
  'flush chain ip vipmap c': ['ip'],
  'add chain ip6 vipmap d': ['ip6'],
  'add set ip vipmap t { typeof ip daddr; }': ['ip'],
  'delete set ip vipmap t': ['ip'],
  'add element ip other s { 10.0.0.1 }': [],
  'add element inet vipmap s { 10.0.0.1 }': [],
  'add table ip vipmap': [],
  'add table ip somebodys': [],
  'delete table ip6 vipmap': ['ip6'],
  'flush ruleset': ['ip'],
};

export const monitorChecks: Checks = {
  'the monitor tells what others change in our tables': async () => {
    await load(tables);
    for (const [text, expected] of Object.entries(foreignChanges)) {
      const wrong = differs(text, await watch(() => load(text)), expected);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  },

  'the monitor names the program and knows nft processes by their pid': async () => {
    const told: RulesetEvent[] = [];
    let ours = 0;
    const monitor = RulesetMonitor.open({
      onEvent: (event) => told.push(event),
      isOurs: (portId) => portId === ours,
      intervalMs: 10,
    });
    await nftByPid(tables, (pid) => (ours = pid));
    const theirs = await nftByPid('add element ip vipmap s { 10.0.0.1 }');
    await sleep(100);
    monitor?.close();
    const [event] = told;
    if (told.length !== 1 || event?.kind !== 'foreign-change') return `told: ${JSON.stringify(told)}`;
    return firstOf(
      differs('port', event.portId, theirs),
      differs('has a program', (event.program ?? '').length > 2, true),
    );
  },

  'the same in a pid namespace of its own': async () => {
    const inside = process.env['VIPMAP_INSIDE_PID_NAMESPACE'];
    if (inside !== undefined)
      return monitorChecks['the monitor names the program and knows nft processes by their pid']?.();
    const name = 'the same in a pid namespace of its own';
    const args = ['--pid', '--fork', process.execPath, `${import.meta.dirname}/run-checks.ts`, name];
    const ran = await runProgram('unshare', args, '', { VIPMAP_INSIDE_PID_NAMESPACE: '1' });
    if (ran.exitCode !== 0) return ran.stderr;
    return (JSON.parse(ran.stdout) as Record<string, string>)[name] || undefined;
  },

  'what a socket of ours changes is not told, and does not fill the buffer': async () => {
    const socket = openSocket();
    await load('table ip vipmap { }');
    const many = async () => {
      for (let i = 0; i < 2000; i++) await makeTable(socket, `t${i}`);
      await makeTable(socket, 'vipmap');
    };
    const small = { receiveBufferBytes: 16_384 };
    const told = await watch(many, { ...small, ownPortId: socket.portId });
    const others = await watch(async () => {
      await nft(['flush', 'ruleset']);
      await many();
    }, small);
    socket.close();
    return firstOf(differs('with the port known', told, []), differs('without', others.includes('overrun'), true));
  },

  'lost events are told once, and later changes are seen': async () => {
    await load(tables);
    const elements = Array.from({ length: 20_000 }, (_, n) => `10.1.${n >> 8}.${n & 255}`);
    const told = await watch(
      async (monitor) => {
        await load(`add element ip other s { ${elements.join(', ')} }`);
        monitor.look();
        await load('add element ip vipmap s { 10.0.0.9 }');
      },
      { receiveBufferBytes: 8192 },
    );
    return differs('told', told, ['overrun', 'ip']);
  },

  'elements that a rule adds, and those that expire, make no events': async () => {
    await runProgram('ip', ['link', 'set', 'lo', 'up']);
    await load(`table ip vipmap {
      map m { typeof ip daddr . udp dport : ip daddr; flags dynamic,timeout; size 10; }
      chain c { type filter hook output priority 0; udp dport 53 update @m { ip daddr . udp dport timeout 1s : ip daddr }; }
    }`);
    const entries = async () => (await nft(['list', 'map', 'ip', 'vipmap', 'm'])).stdout.includes('127.0.0.1 . 53');
    let wrong: string | undefined;
    const told = await watch(async () => {
      const socket = dgram.createSocket('udp4');
      await new Promise((resolve) => socket.send('x', 53, '127.0.0.1', resolve));
      socket.close();
      wrong = differs('the rule added it', await entries(), true);
      // Longer than its second and than a round of the collector.
      await sleep(2500);
      wrong ??= differs('it is there after its time', await entries(), false);
    });
    return wrong ?? differs('told', told, []);
  },
};
