import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HostIpvs } from '../../src/kernel/host-ipvs.ts';
import { IpvsadmServers } from '../../src/kernel/ipvsadm.ts';
import { applyIpvsSysctls } from '../../src/kernel/ipvs-sysctls.ts';
import { KernelError } from '../../src/kernel/kernel.ts';
import { loadIpvs } from '../../src/kernel/load-ipvs.ts';
import { NetlinkServers } from '../../src/kernel/netlink/ipvs-servers.ts';
import { runProgram } from '../kernel/vipmap.ts';
import { address, check, exitCode, expectSame, ip, messages, shim, theInterface } from './harness.ts';
import { checkPackets } from './packets.ts';
import { checkServers } from './server-checks.ts';
import { checkWays } from './way-checks.ts';

/*
 * What both ways to IPVS promise of a real kernel: `node test/ipvs/run-ipvs-checks.ts` as root, where nobody minds that it clears IPVS and
 * takes kube-ipvs0 away. Needs ipvsadm, iproute2 and bash. Prints a line for each check; exit code 1 if one failed.
 */

const isLoaded = await loadIpvs(['rr', 'mh']);
const byIpvsadm = await IpvsadmServers.open();
const byNetlink = await NetlinkServers.open();
const kernel = await HostIpvs.open(byNetlink);

const outcome = (opening: Promise<unknown>) =>
  opening.then(
    () => 'it opens',
    (error: unknown) => (error instanceof KernelError ? `${error.failure}: ${error.message}` : String(error)),
  );

await check('modules are loaded', () => Promise.resolve(isLoaded ? undefined : 'there is no /proc/sys/net/ipv4/vs'));

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
    expectSame(await outcome(HostIpvs.open(byNetlink)), wanted) ??
    expectSame(deleted, wanted) ??
    expectSame(/kube-ipvs0/.test((await ip('link')).stdout), true)
  );
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

await check('what keeps it from working is named', async () => {
  const unprivileged = 'setpriv --bounding-set -net_admin --inh-caps -net_admin';
  const netlink = join(import.meta.dirname, '..', '..', 'src', 'kernel', 'netlink', 'ipvs-servers.ts');
  const script = `(await import('${netlink}')).NetlinkServers.open().catch((error) => console.log(error.failure + ': ' + error.message))`;
  const { stdout } = await runProgram('setpriv', [...unprivileged.split(' ').slice(1), process.execPath, '-e', script]);
  const found = [
    await outcome(IpvsadmServers.open({ ipvsadm: '/no/ipvsadm' })),
    await outcome(HostIpvs.open(byNetlink, { ip: '/no/ip' })),
    await outcome(IpvsadmServers.open({ ipvsadm: await shim('ipvsadm', `exec ${unprivileged} ipvsadm "$@"`) })),
    stdout.trim(),
  ].map((text) => text.replace(/\/tmp\/\S+\/ipvsadm/g, 'ipvsadm'));
  return expectSame(found, [
    'missing: the program "/no/ipvsadm" cannot be started (ENOENT); install it (Debian: apt-get install ipvsadm), or name the program by --ipvsadm or VIPMAP_IPVSADM',
    'missing: the program "/no/ip" cannot be started (ENOENT); install iproute2 (Debian: apt-get install iproute2)',
    "not-permitted: ipvsadm may not change the kernel's services and addresses (Can't initialize ipvs: Permission denied (you must be root)); run as root or with CAP_NET_ADMIN",
    "not-permitted: this process may not change the kernel's virtual servers (Operation not permitted); run as root or with CAP_NET_ADMIN",
  ]);
});

await check('netlink is taken where it can be used, ipvsadm where it is asked for or koffi is not there', async () => {
  const folder = join(import.meta.dirname, '..', '..', 'src', 'cli');
  const without = `import { registerHooks } from 'node:module'; registerHooks({ resolve(name, context, next) { if (name === 'koffi') throw new Error('not installed'); return next(name, context); } });`;
  const script = `const { openIpvs } = await import('${folder}/open-servers.ts');
    const reporter = { warn: (text) => console.log(text) };
    for (const kernelWriter of ['auto', 'netlink', 'nft'])
      await openIpvs({ kernelWriter, reporter }).then(
        ({ servers }) => console.log(kernelWriter + ': ' + servers.name),
        (error) => console.log(kernelWriter + ': ' + error.message),
      );`;
  const node = async (...args: readonly string[]) =>
    (await runProgram(process.execPath, [...args, '-e', script])).stdout.trim().split('\n');
  return (
    expectSame(await node(), ['auto: netlink', 'netlink: netlink', 'nft: ipvsadm']) ??
    expectSame(await node('--import', `data:text/javascript,${without}`), [
      'virtual servers are written by ipvsadm, which is slower: netlink cannot be used: koffi cannot be loaded (not installed)',
      'auto: ipvsadm',
      'netlink: netlink cannot be used: koffi cannot be loaded (not installed)',
      'nft: ipvsadm',
    ])
  );
});

await checkServers(kernel);
await checkServers(await HostIpvs.open(byIpvsadm));
await checkWays(byIpvsadm, byNetlink);
await checkPackets(kernel, byIpvsadm);
process.exit(exitCode());
