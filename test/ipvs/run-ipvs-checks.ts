import fc from 'fast-check';
import { readFile, writeFile } from 'node:fs/promises';
import { KernelError } from '../../src/kernel/kernel.ts';
import { IpvsadmKernel } from '../../src/kernel/ipvsadm.ts';
import { applyIpvsSysctls } from '../../src/kernel/ipvs-sysctls.ts';
import { loadIpvs } from '../../src/kernel/load-ipvs.ts';
import { MemoryIpvsKernel } from '../../src/kernel/memory-ipvs.ts';
import type { Step } from '../../src/ruleset/ipvs/plan.ts';
import { printSave } from '../../src/ruleset/ipvs/print-save.ts';
import { printStep } from '../../src/ruleset/ipvs/print-step.ts';
import { address, check, exitCode, expectSame, id, ip, ipvsadm, messages, noServer } from './harness.ts';
import { real, realServer, rr, saved, shim, theInterface, virtualServer } from './harness.ts';
import { checkPackets } from './packets.ts';
import { steps } from './steps.ts';

/*
 * What IpvsadmKernel promises of a real kernel: `node test/ipvs/run-ipvs-checks.ts` as root, where nobody minds that it clears IPVS and
 * takes kube-ipvs0 away. Needs ipvsadm, iproute2 and bash. Prints a line for each check; exit code 1 if one failed.
 */

const isLoaded = await loadIpvs(['rr', 'mh']);
const kernel = await IpvsadmKernel.open();

const lines = (text: string) => text.split('\n').sort().join('\n');
const open = (options: Parameters<typeof IpvsadmKernel.open>[0]) =>
  IpvsadmKernel.open(options).then(
    () => 'it opens',
    (error: unknown) => (error instanceof KernelError ? `${error.failure}: ${error.message}` : String(error)),
  );

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

await check('modules are loaded', () => Promise.resolve(isLoaded ? undefined : 'there is no /proc/sys/net/ipv4/vs'));

await check('everything that we ask for comes back, and the kernel prints it as we do', async () => {
  const failed = await kernel.apply(everything);
  const memory = new MemoryIpvsKernel();
  await memory.apply(everything);
  const actual = await kernel.readVirtualServers();
  const sorted = (all: typeof actual) => new Map([...all].sort(([a], [b]) => (a < b ? -1 : 1)));
  return (
    expectSame(messages(failed), '', 'what failed') ??
    expectSame(sorted(actual), sorted(await memory.readVirtualServers()), 'IPVS') ??
    expectSame(lines(printSave(actual)), lines(await saved()), 'our text')
  );
});

await check('our text can be restored', async () => {
  await kernel.apply(everything);
  const text = printSave(await kernel.readVirtualServers());
  await ipvsadm(['-C']);
  const { stderr } = await ipvsadm(['--restore'], text);
  return expectSame(stderr, '', 'stderr') ?? expectSame(printSave(await kernel.readVirtualServers()), text, 'IPVS');
});

await check('what is so already is no failure, and an add over another form changes it', async () => {
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
});

await check('refused steps are named with the reason, and the others are carried out', async () => {
  const failed = await kernel.apply([
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
  ]);
  const invalid =
    'Invalid operation.  Possibly wrong module version, address not unicast, ...; a real server is a unicast address that is not link-local';
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
  const words = failed.map(({ error }) => error.message).join('\n');
  return expectSame(words, wanted.join('\n'), 'what failed') ?? expectSame(await saved(), left, 'IPVS');
});

await check("other programs' virtual servers stay as they are", async () => {
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
  const found = [...(await kernel.readVirtualServers()).keys()].filter((key) => key.startsWith('192.168'));
  const removal = everything.flatMap((step) => (step.kind === 'virtual-server' ? [noServer(step.server)] : []));
  await kernel.apply(removal);
  return (
    expectSame(found, ['192.168.0.2 . tcp . 6443', '192.168.0.3 . tcp . 0'], 'others') ??
    expectSame(await saved(), others, 'IPVS')
  );
});

await check('addresses are added and deleted on an interface that stays down', async () => {
  const own = ['10.96.0.1', '10.96.0.2', 'fd00::1', 'fd00::2'];
  const before = await kernel.readAddresses();
  const failed = await kernel.apply([theInterface('add'), ...own.map((each) => address('add', each))]);
  const repeated = await kernel.apply([
    theInterface('add'),
    ...own.map((each) => address('add', each)),
    address('delete', '10.96.0.9'),
    address('delete', 'fd00::9'),
    address('delete', '10.96.0.2'),
  ]);
  const after = await kernel.readAddresses();
  const { stdout } = await ip('-br', 'link', 'show', 'kube-ipvs0');
  const gone = await kernel.apply([theInterface('delete'), theInterface('delete')]);
  const orphan = await kernel.apply([address('delete', '10.96.0.2'), address('add', '10.96.0.1')]);
  return (
    expectSame(before.own, undefined, 'the interface before') ??
    expectSame(messages([...failed, ...repeated, ...gone]), '', 'what failed') ??
    expectSame([...(after.own ?? [])].sort(), ['10.96.0.1', 'fd00::1', 'fd00::2'], 'addresses') ??
    expectSame(after.others.has('127.0.0.1' as never), true, 'loopback among the others') ??
    expectSame(/DOWN/.test(stdout), true, 'down') ??
    expectSame((await kernel.readAddresses()).own, undefined, 'the interface after') ??
    expectSame(
      messages(orphan),
      'ip address add 10.96.0.1/32 dev kube-ipvs0: address 10.96.0.1 of kube-ipvs0 cannot be added: Cannot find device "kube-ipvs0"',
    )
  );
});

await check('IPv6 that is turned off is named, and IPv4 goes on', async () => {
  await kernel.apply([theInterface('add')]);
  await writeFile('/proc/sys/net/ipv6/conf/kube-ipvs0/disable_ipv6', '1');
  const failed = await kernel.apply([address('add', 'fd00::1'), address('add', '10.96.0.1')]);
  return (
    expectSame(
      failed.map(({ error }) => error.message),
      [
        'address fd00::1 of kube-ipvs0 cannot be added: RTNETLINK answers: Permission denied; IPv6 is turned off on the interface (sysctl -w net.ipv6.conf.kube-ipvs0.disable_ipv6=0)',
      ],
    ) ?? expectSame([...((await kernel.readAddresses()).own ?? [])], ['10.96.0.1'])
  );
});

await check("an interface of our name that is no dummy is somebody else's", async () => {
  await ip('link', 'add', 'kube-ipvs0', 'type', 'bridge');
  const wanted =
    "refused: interface kube-ipvs0 is a bridge, and services' addresses go on a dummy of that name; rename or delete it (ip link delete kube-ipvs0)";
  const deleted = await kernel
    .apply([theInterface('delete')])
    .catch((error: unknown) => `refused: ${(error as Error).message}`);
  return (
    expectSame(await open({}), wanted) ??
    expectSame(deleted, wanted) ??
    expectSame(/kube-ipvs0/.test((await ip('link')).stdout), true)
  );
});

await check('thousands of steps take one process for IPVS, and a failure among them three more', async () => {
  const count = '/tmp/vipmap-runs';
  const counted = await shim('ipvsadm', `echo >> ${count}; exec ipvsadm "$@"`);
  const busy = await IpvsadmKernel.open({ ipvsadm: counted });
  const runs = async () => (await readFile(count, 'utf8')).length;
  const many = Array.from({ length: 1000 }, (_, i) => id(`10.97.${i >> 8}.${i & 255}`)).flatMap((server) => [
    virtualServer('add', server),
    realServer('add', server, real('10.244.1.5')),
    realServer('add', server, real('10.244.1.6')),
  ]);
  const before = await runs();
  const failed = await busy.apply([theInterface('add'), ...many]);
  const first = (await runs()) - before;
  const wrong = virtualServer('add', id('10.98.0.1'), { scheduler: 'no_such', schedulerFlags: [] });
  const again = await busy.apply([...many.slice(0, 2000), wrong, ...many.slice(2000)]);
  return (
    expectSame(failed.length, 0, 'failed') ??
    expectSame(
      again.map(({ step }) => printStep(step)),
      [printStep(wrong)],
      'failed',
    ) ??
    expectSame(first, 1, 'runs') ??
    expectSame((await runs()) - before - first, 4, 'runs with a failure') ??
    expectSame((await kernel.readVirtualServers()).size, 1000, 'virtual servers')
  );
});

await check('memory and the kernel agree on steps drawn at random, one by one and together', async () => {
  const seed = Number(process.env['VIPMAP_TEST_SEED'] ?? Date.now() % 1_000_000);
  for (const all of fc.sample(steps, { numRuns: 12, seed })) {
    await ipvsadm(['-C']);
    await ip('link', 'delete', 'kube-ipvs0');
    const memory = new MemoryIpvsKernel();
    for (const part of [all.slice(0, 4), all.slice(4)]) {
      const failed = await kernel.apply(part);
      await memory.apply(part);
      const wrong =
        expectSame(
          printSave(await kernel.readVirtualServers()),
          printSave(await memory.readVirtualServers()),
          'IPVS',
        ) ??
        expectSame(
          [...((await kernel.readAddresses()).own ?? ['none'])].sort(),
          [...((await memory.readAddresses()).own ?? ['none'])].sort(),
          'the addresses',
        );
      if (wrong !== undefined)
        return `seed ${seed}: ${wrong}\nof ${part.map(printStep).join('\n')}\nfailed: ${messages(failed)}`;
    }
  }
  return undefined;
});

await check('sysctls are set', async () => {
  await applyIpvsSysctls({ isStrictArp: true, runsEstimation: false });
  const { outcomes } = await applyIpvsSysctls({ isStrictArp: true, runsEstimation: false });
  return expectSame(
    outcomes.filter(({ kind }) => kind !== 'right'),
    [],
    'what is not right',
  );
});

await check('timeouts are set, and 0 keeps what is there', async () => {
  await ipvsadm(['--set', '900', '120', '300']);
  const first = await kernel.ensureTimeouts({ tcpMs: 0, tcpFinMs: 5_999, udpMs: 0 });
  const again = await kernel.ensureTimeouts({ tcpMs: 0, tcpFinMs: 0, udpMs: 0 });
  return (
    expectSame(first, { found: [900, 120, 300], now: [900, 5, 300] }) ??
    expectSame(again, { found: [900, 5, 300], now: [900, 5, 300] })
  );
});

await check('what keeps it from working is named', async () => {
  const unprivileged = 'setpriv --bounding-set -net_admin --inh-caps -net_admin';
  const found = [
    await open({ ipvsadm: '/no/ipvsadm' }),
    await open({ ip: '/no/ip' }),
    await open({ ipvsadm: await shim('ipvsadm', `exec ${unprivileged} ipvsadm "$@"`) }),
  ].map((text) => text.replace(/\/tmp\/\S+\/ipvsadm/g, 'ipvsadm'));
  return expectSame(found, [
    'missing: the program "/no/ipvsadm" cannot be started (ENOENT); install it (Debian: apt-get install ipvsadm), or name the program by --ipvsadm or VIPMAP_IPVSADM',
    'missing: the program "/no/ip" cannot be started (ENOENT); install iproute2 (Debian: apt-get install iproute2)',
    "not-permitted: ipvsadm may not change the kernel's services and addresses (Can't initialize ipvs: Permission denied (you must be root)); run as root or with CAP_NET_ADMIN",
  ]);
});

await checkPackets(kernel);
process.exit(exitCode());
