import fc from 'fast-check';
import type { HostIpvs } from '../../src/kernel/host-ipvs.ts';
import { ensureTimeouts } from '../../src/kernel/ipvs-timeouts.ts';
import { MemoryIpvsKernel } from '../../src/kernel/memory-ipvs.ts';
import type { Step } from '../../src/ruleset/ipvs/plan.ts';
import { printSave } from '../../src/ruleset/ipvs/print-save.ts';
import { printStep } from '../../src/ruleset/ipvs/print-step.ts';
import { check, expectSame, id, ip, ipvsadm, lines, messages, noServer } from './harness.ts';
import { real, realServer, rr, saved, sorted, theInterface, virtualServer } from './harness.ts';
import { steps } from './steps.ts';

/** What is promised of virtual servers, whichever way they are written and read. */
export async function checkServers(kernel: HostIpvs): Promise<void> {
  for (const [name, run] of Object.entries(checks))
    await check(`${name}, by ${kernel.servers.name}`, () => run(kernel));
}

const everything: readonly Step[] = [
  virtualServer('add', id('10.96.0.1')),
  realServer('add', id('10.96.0.1'), real('10.244.1.5')),
  realServer('add', id('10.96.0.1'), real('10.244.1.6', 65535, 0)),
  virtualServer('add', id('10.96.0.1', 53, 'udp'), { ...rr, persistenceSeconds: 10800 }),
  virtualServer('add', id('10.96.0.1', 80, 'sctp')),
  realServer('add', id('10.96.0.1', 80, 'sctp'), real('10.244.1.5')),
  virtualServer('add', id('10.96.0.2'), { scheduler: 'mh', schedulerFlags: ['mh-fallback', 'mh-port'] }),
  realServer('add', id('10.96.0.2'), real('10.244.1.5')),
  virtualServer('add', id('10.96.0.3'), { scheduler: 'sh', schedulerFlags: ['sh-port'], persistenceSeconds: 2678400 }),
  virtualServer('add', id('fd00::1')),
  realServer('add', id('fd00::1'), real('fd00:10:244::5', 8080, 65535)),
  virtualServer('add', id('fd00::1', 80, 'sctp'), { scheduler: 'mh', schedulerFlags: ['mh-port'] }),
  virtualServer('add', id('fd00::1', 53, 'udp'), { ...rr, persistenceSeconds: 1 }),
];

type Check = (kernel: HostIpvs) => Promise<string | undefined>;

const comeBack: Check = async (kernel) => {
  const failed = await kernel.apply(everything);
  const memory = new MemoryIpvsKernel();
  await memory.apply(everything);
  const actual = await kernel.readVirtualServers();
  return (
    expectSame(messages(failed), '', 'what failed') ??
    expectSame(sorted(actual), sorted(await memory.readVirtualServers()), 'IPVS') ??
    expectSame(lines(printSave(actual)), lines(await saved()), 'our text')
  );
};

const canBeRestored: Check = async (kernel) => {
  await kernel.apply(everything);
  const text = printSave(await kernel.readVirtualServers());
  await ipvsadm(['-C']);
  const { stderr } = await ipvsadm(['--restore'], text);
  return expectSame(stderr, '', 'stderr') ?? expectSame(printSave(await kernel.readVirtualServers()), text, 'IPVS');
};

const areSoAlready: Check = async (kernel) => {
  await kernel.apply(everything);
  await ipvsadm(['--restore'], '-A -u 10.96.9.9:53 -s wlc -o\n-a -u 10.96.9.9:53 -r 10.244.1.5:53 -g -w 3\n');
  const failed = await kernel.apply([
    ...everything,
    noServer(id('10.96.7.7')),
    realServer('delete', id('10.96.7.7'), real('10.244.1.9')),
    realServer('delete', id('10.96.0.1'), real('10.244.1.9')),
    virtualServer('add', id('10.96.0.2'), { ...rr, persistenceSeconds: 5 }),
    realServer('add', id('10.96.0.2'), real('10.244.1.5', 8080, 7)),
    virtualServer('add', id('10.96.9.9', 53, 'udp')),
    realServer('add', id('10.96.9.9', 53, 'udp'), real('10.244.1.5', 53)),
  ]);
  const text = await saved();
  const wanted = [
    '-A -t 10.96.0.2:80 -s rr -p 5\n-a -t 10.96.0.2:80 -r 10.244.1.5:8080 -m -w 7\n',
    '-A -u 10.96.9.9:53 -s rr\n-a -u 10.96.9.9:53 -r 10.244.1.5:53 -m -w 1\n',
  ];
  return expectSame(messages(failed), '') ?? (wanted.every((each) => text.includes(each)) ? undefined : text);
};

const badSteps: readonly Step[] = [
  virtualServer('add', id('10.96.0.1')),
  virtualServer('add', id('10.96.0.1')),
  virtualServer('add', id('10.96.0.2'), { scheduler: 'no_such', schedulerFlags: [] }),
  realServer('add', id('10.96.0.2'), real('10.244.1.5')),
  realServer('add', id('10.96.0.1'), real('255.255.255.255')),
  realServer('add', id('10.96.0.1'), real('10.244.1.5')),
  virtualServer('add', id('10.96.0.3'), { scheduler: 'rr', schedulerFlags: ['mh-port'] }),
  virtualServer('add', id('10.96.0.4'), { ...rr, persistenceSeconds: 2678401 }),
  virtualServer('edit', id('10.96.0.5')),
  realServer('edit', id('10.96.0.1'), real('10.244.1.7')),
  noServer(id('10.96.0.6')),
  virtualServer('add', id('fd00::1')),
  realServer('add', id('fd00::1'), real('fe80::1')),
  realServer('add', id('fd00::1'), real('10.244.1.5')),
  realServer('add', id('fd00::1'), real('fd00:10:244::5')),
];

const areNamed: Check = async (kernel) => {
  const failed = await kernel.apply(badSteps);
  const invalid = 'Invalid operation; a real server is a unicast address that is not link-local';
  const wanted = [
    'virtual server 10.96.0.3:80/tcp cannot be added: scheduler rr has no flag "mh-port"',
    'virtual server 10.96.0.4:80/tcp cannot be added: its persistence of 2678401 s is not a whole number of seconds from 1 to 2678400',
    "real server 10.244.1.5:8080 of [fd00::1]:80/tcp cannot be added: it is not of its virtual server's address family",
    'virtual server 10.96.0.2:80/tcp cannot be added: Scheduler or persistence engine not found; this kernel has no scheduler "no_such": load its module on the host (modprobe ip_vs_no_such), or choose another',
    'real server 10.244.1.5:8080 of 10.96.0.2:80/tcp cannot be added: Service not defined; its virtual server is not there',
    `real server 255.255.255.255:8080 of 10.96.0.1:80/tcp cannot be added: ${invalid}`,
    'virtual server 10.96.0.5:80/tcp cannot be changed: No such service',
    'real server 10.244.1.7:8080 of 10.96.0.1:80/tcp cannot be changed: No such destination',
    `real server [fe80::1]:8080 of [fd00::1]:80/tcp cannot be added: ${invalid}`,
  ];
  const left = `-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.244.1.5:8080 -m -w 1
-A -t [fd00::1]:80 -s rr
-a -t [fd00::1]:80 -r [fd00:10:244::5]:8080 -m -w 1
`;
  // ipvsadm guesses at more.
  const words = failed.map(({ error }) => error.message.replace(/(?<=Invalid operation)\..*(?=;)/, ''));
  return expectSame(words, wanted, 'what failed') ?? expectSame(await saved(), left, 'IPVS');
};

const othersStay: Check = async (kernel) => {
  const others = `-A -t 192.168.0.2:6443 -s wlc -p 60 -M 255.255.0.0
-a -t 192.168.0.2:6443 -r 10.9.9.8:6443 -i -w 1 --tun-type ipip
-a -t 192.168.0.2:6443 -r 10.9.9.9:6443 -g -w 3
-A -t 192.168.0.3:0 -s rr -p 360
-A -f 7 -s rr
-a -f 7 -r 10.1.1.1:80 -g -w 1
-A -f 8 -6 -s rr
`;
  await ipvsadm(['--restore'], others);
  await kernel.apply(everything);
  const found = [...sorted(await kernel.readVirtualServers())].filter(([key]) => key.startsWith('192.168'));
  const removal = everything.flatMap((step) => (step.kind === 'virtual-server' ? [noServer(step.server)] : []));
  await kernel.apply(removal);
  return (
    expectSame(
      found.map(([key, { otherOptions }]) => `${key}: ${[...otherOptions].sort().join(', ')}`),
      [
        '192.168.0.2 . tcp . 6443: -M 255.255.0.0, -r 10.9.9.8:6443 -i --tun-type ipip, -r 10.9.9.9:6443 -g',
        '192.168.0.3 . tcp . 0: ',
      ],
      'others',
    ) ?? expectSame(await saved(), others, 'IPVS')
  );
};

const thousands: Check = async (kernel) => {
  const many = Array.from({ length: 700 }, (_, i) => id(`10.97.${i >> 8}.${i & 255}`)).flatMap((server) => [
    virtualServer('add', server),
    realServer('add', server, real('10.244.1.5')),
    realServer('add', server, real('10.244.1.6')),
  ]);
  const wrong = virtualServer('add', id('10.98.0.1'), { scheduler: 'no_such', schedulerFlags: [] });
  const failed = await kernel.apply(many);
  const again = await kernel.apply([...many.slice(0, 1500), wrong, ...many.slice(1500)]);
  return (
    expectSame(messages(failed), '', 'what failed') ??
    expectSame(again.map(({ step }) => printStep(step)).join('\n'), printStep(wrong), 'what failed') ??
    expectSame((await kernel.readVirtualServers()).size, 700, 'virtual servers')
  );
};

const agreeWithMemory: Check = async (kernel) => {
  const seed = Number(process.env['VIPMAP_TEST_SEED'] ?? Date.now() % 1_000_000);
  for (const all of fc.sample(steps, { numRuns: 12, seed })) {
    await ipvsadm(['-C']);
    await ip('link', 'delete', 'kube-ipvs0');
    const memory = new MemoryIpvsKernel();
    for (const part of [all.slice(0, 4), all.slice(4)]) {
      const failed = await kernel.apply(part);
      await memory.apply(part);
      const [found, wanted] = [await kernel.readAddresses(), await memory.readAddresses()];
      const wrong =
        expectSame(
          printSave(await kernel.readVirtualServers()),
          printSave(await memory.readVirtualServers()),
          'IPVS',
        ) ?? expectSame([...(found.own ?? ['none'])].sort(), [...(wanted.own ?? ['none'])].sort(), 'the addresses');
      if (wrong !== undefined)
        return `seed ${seed}: ${wrong}\nof ${part.map(printStep).join('\n')}\nfailed: ${messages(failed)}`;
    }
  }
  return undefined;
};

const timeouts: Check = async ({ servers }) => {
  await ipvsadm(['--set', '900', '120', '300']);
  const first = await ensureTimeouts(servers, { tcpMs: 0, tcpFinMs: 5_999, udpMs: 0 });
  const again = await ensureTimeouts(servers, { tcpMs: 0, tcpFinMs: 0, udpMs: 0 });
  return (
    expectSame(first, { found: [900, 120, 300], now: [900, 5, 300] }) ??
    expectSame(again, { found: [900, 5, 300], now: [900, 5, 300] })
  );
};

const gone: Check = async (kernel) => {
  await kernel.apply([theInterface('add'), virtualServer('add', id('10.96.0.1'))]);
  const found = await kernel.readConnections(['10.96.0.1 . tcp . 80', '10.96.0.2 . tcp . 80', 'fd00::1 . sctp . 1']);
  return expectSame(found, new Map());
};

const checks: Readonly<Record<string, Check>> = {
  'everything that we ask for comes back, and the kernel prints it as we do': comeBack,
  'our text can be restored': canBeRestored,
  'what is so already is no failure, and an add over another form changes it': areSoAlready,
  'refused steps are named with the reason, and the others are carried out': areNamed,
  "other programs' virtual servers stay as they are": othersStay,
  'thousands of steps are carried out, and a failure among them is named': thousands,
  'memory and the kernel agree on steps drawn at random, one by one and together': agreeWithMemory,
  'timeouts are set, and 0 keeps what is there': timeouts,
  'a virtual server that is gone, or has no real servers, has no connections': gone,
};
