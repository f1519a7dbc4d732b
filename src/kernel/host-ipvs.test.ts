import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { printStep } from '../ruleset/ipvs/print-step.ts';
import { reasonsByLine } from './ipvs-addresses.ts';
import { HostIpvs } from './host-ipvs.ts';
import { IpvsadmServers } from './ipvsadm.ts';
import { ensureTimeouts, printTimeouts } from './ipvs-timeouts.ts';
import { KernelError } from './kernel.ts';

/*
 * Against programs that stand in for ipvsadm and ip: what a real kernel does not do on request. What it does: test/ipvs.
 */
let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'vipmap-'))));
afterEach(() => rm(folder, { recursive: true }));

async function program(name: string, script: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\ncd ${folder}\necho "${name} $*" >> runs\n${script}\n`, { mode: 0o755 });
  return path;
}

/** Keeps added servers in a file. Refuses what has 10.96.0.66 in it and goes on; stops at scheduler flags, as old ones do. */
const fakeIpvsadm = `touch saved
case "$1" in
--save) cat saved ;;
--restore)
  while read -r line; do
    case "$line" in
    *mh-port*) echo 'invalid scheduler flag \`mh-port'"'" >&2; exit 2 ;;
    *10.96.0.66*) echo 'Memory allocation problem' >&2 ;;
    -[Aa]*) echo "$line" >> saved ;;
    esac
  done ;;
-L) echo 'Timeout (tcp tcpfin udp): 900 120 300' ;;
esac`;

const link = (kind: string, ...ips: string[]) =>
  `echo '${JSON.stringify([
    { ifname: 'lo', addr_info: [{ local: '127.0.0.1' }, { local: '::1' }] },
    { ifname: 'kube-ipvs0', linkinfo: { info_kind: kind }, addr_info: ips.map((local) => ({ local })) },
  ])}'`;

interface Options {
  readonly ipvsadm?: string;
  readonly ip?: string;
  readonly timeoutMs?: number;
}

async function open(options: Options = {}): Promise<HostIpvs> {
  const ipvsadm = options.ipvsadm ?? (await program('ipvsadm', fakeIpvsadm));
  const ip = options.ip ?? (await program('ip', link('dummy', '10.96.0.1')));
  return HostIpvs.open(await IpvsadmServers.open({ ...options, ipvsadm }), { ...options, ip });
}

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) =>
      error instanceof KernelError
        ? `${error.failure}: ${error.message.replaceAll(`${folder}/`, '')}`
        : `not a KernelError: ${String(error)}`,
  );

const server = (n: number) => ({ protocol: 'tcp', ip: `10.96.0.${n}` as Ip, port: 80 as Port }) as const;
const add = (n: number, flags: readonly string[] = []): Step => ({
  kind: 'virtual-server',
  verb: 'add',
  server: server(n),
  scheduling: { scheduler: flags.length > 0 ? 'mh' : 'rr', schedulerFlags: flags },
});
const addReal = (n: number): Step => ({
  kind: 'real-server',
  verb: 'add',
  server: server(n),
  realServer: { ip: '10.244.1.5' as Ip, port: 8080 as Port, weight: 1 },
});
const addAddress = (n: number): Step => ({ kind: 'address', verb: 'add', ip: `10.96.0.${n}` as Ip });

describe('what keeps it from working is named', () => {
  it.each([
    [
      'no IPVS',
      `echo "Can't initialize ipvs: Protocol not available" >&2; exit 2`,
      `unsupported: this kernel has no IPVS (ipvsadm says "Can't initialize ipvs: Protocol not available"); load its module on the host (modprobe ip_vs), or use a kernel that has it (CONFIG_IP_VS; Debian's linux-image-amd64 does)`,
    ],
    [
      'no rights',
      `echo "Can't initialize ipvs: Permission denied (you must be root)" >&2; exit 2`,
      `not-permitted: ipvsadm may not change the kernel's services and addresses (Can't initialize ipvs: Permission denied (you must be root)); run as root or with CAP_NET_ADMIN`,
    ],
    ['a crash', 'kill -SEGV $$', 'crashed: ipvsadm crashed (SIGSEGV); it may have done a part of its work'],
    ['a hang', 'exec sleep 60', 'timeout: ipvsadm did not end within 0.5 s and was stopped'],
    ['an error', 'echo odd >&2; exit 1', 'refused: ipvsadm --version failed: odd'],
  ])('%s', async (_, script, message) => {
    const ipvsadm = await program('ipvsadm', script);
    expect(await failureOf(open({ ipvsadm, timeoutMs: script.includes('sleep') ? 500 : 30_000 }))).toBe(message);
  });

  it.each([
    [
      'too-old: "ip -json address show" prints "1: lo\\n", which is no JSON; iproute2 4.18 or newer is needed, not busybox\'s ip: install iproute2 (Debian: apt-get install iproute2)',
      'echo "1: lo"',
    ],
    [
      "refused: interface kube-ipvs0 is a bridge, and services' addresses go on a dummy of that name; rename or delete it (ip link delete kube-ipvs0)",
      link('bridge'),
    ],
  ])('%s', async (message, script) => {
    const ip = await program('ip', script);
    expect(await failureOf(open({ ip }))).toBe(message);
  });

  it('no programs', async () => {
    expect(await failureOf(open({ ipvsadm: '/no/ipvsadm' }))).toBe(
      'missing: the program "/no/ipvsadm" cannot be started (ENOENT); install it (Debian: apt-get install ipvsadm), or name the program by --ipvsadm or VIPMAP_IPVSADM',
    );
    expect(await failureOf(open({ ip: '/no/ip' }))).toBe(
      'missing: the program "/no/ip" cannot be started (ENOENT); install iproute2 (Debian: apt-get install iproute2)',
    );
  });
});

describe('apply', () => {
  it('takes a process for each run of steps of a kind', async () => {
    const kernel = await open();
    await writeFile(join(folder, 'runs'), '');
    const steps = [add(1), addReal(1), add(2)];
    expect(
      await kernel.apply([{ kind: 'interface', verb: 'add' }, addAddress(1), addAddress(2), ...steps, addAddress(3)]),
    ).toEqual([]);
    expect((await readFile(join(folder, 'runs'), 'utf8')).trim().split('\n')).toEqual([
      'ip -force -batch -',
      'ip -force -batch -',
      'ipvsadm --restore',
      'ip -force -batch -',
    ]);
    expect(await kernel.apply([])).toEqual([]);
  });

  it('names refused steps in the order of the refusals', async () => {
    const kernel = await open();
    const failed = await kernel.apply([add(1), add(66), addReal(1), addReal(66), add(3)]);
    expect(failed.map(({ step, error }) => [printStep(step), error.failure, error.message])).toEqual([
      [
        'ipvsadm -A -t 10.96.0.66:80 -s rr',
        'refused',
        'virtual server 10.96.0.66:80/tcp cannot be added: Memory allocation problem',
      ],
      [
        'ipvsadm -a -t 10.96.0.66:80 -r 10.244.1.5:8080 -m -w 1',
        'refused',
        'real server 10.244.1.5:8080 of 10.96.0.66:80/tcp cannot be added: Memory allocation problem',
      ],
    ]);
    expect([...(await kernel.readVirtualServers()).keys()]).toEqual(['10.96.0.1 . tcp . 80', '10.96.0.3 . tcp . 80']);
  });

  it('goes on behind a line at which ipvsadm stops', async () => {
    const kernel = await open();
    const steps = [add(1), add(66), add(2, ['mh-port']), add(3), add(66), add(4, ['mh-port']), addReal(3)];
    const failed = await kernel.apply(steps);
    expect(failed.map(({ step, error }) => `${printStep(step)}: ${error.details.stderr}`)).toEqual([
      "ipvsadm -A -t 10.96.0.2:80 -s mh -b mh-port: invalid scheduler flag `mh-port'",
      'ipvsadm -A -t 10.96.0.66:80 -s rr: Memory allocation problem',
      "ipvsadm -A -t 10.96.0.4:80 -s mh -b mh-port: invalid scheduler flag `mh-port'",
    ]);
    const servers = await kernel.readVirtualServers();
    expect([...servers.keys()]).toEqual(['10.96.0.1 . tcp . 80', '10.96.0.3 . tcp . 80']);
    expect(servers.get('10.96.0.3 . tcp . 80')?.realServers.size).toBe(1);
  });

  it('gives up where it stops at too many lines, and names them all', async () => {
    const kernel = await open();
    const steps = Array.from({ length: 200 }, (_, i) => add(i + 1, ['mh-port']));
    const failed = await kernel.apply(steps);
    expect(failed.map(({ step }) => step)).toEqual(steps);
    expect(new Set(failed.map(({ error }) => error.details.stderr))).toEqual(
      new Set(["invalid scheduler flag `mh-port'"]),
    );
    const runs = (await readFile(join(folder, 'runs'), 'utf8')).split('\n').length;
    expect(runs).toBeLessThan(110);
  });

  it('names addresses that are refused, not those that are there', async () => {
    const ip = await program(
      'ip',
      `[ "$1" = -json ] && ${link('dummy', '10.96.0.1')} && exit
echo 'RTNETLINK answers: File exists
Command failed -:1
RTNETLINK answers: No buffer space available
Command failed -:2' >&2; exit 1`,
    );
    const failed = await (await open({ ip })).apply([addAddress(1), addAddress(2), addAddress(3)]);
    expect(failed.map(({ error }) => error.message)).toEqual([
      'address 10.96.0.2 of kube-ipvs0 cannot be added: RTNETLINK answers: No buffer space available',
    ]);
  });

  it('throws where nothing can be done at all', async () => {
    const ip = await program(
      'ip',
      `[ "$1" = -json ] && ${link('dummy')} && exit
echo 'RTNETLINK answers: Operation not permitted' >&2; exit 1`,
    );
    expect(await failureOf((await open({ ip })).apply([addAddress(1)]))).toMatch(/^not-permitted: ip may not change/);
  });
});

it("reads each line's reason, one of several lines too", () => {
  const stderr = `Error: ipv4: Address already assigned.
Command failed -:2
RTNETLINK answers: Operation not supported
something more
Command failed -:10
`;
  expect(reasonsByLine(stderr)).toEqual(
    new Map([
      [2, 'Error: ipv4: Address already assigned.'],
      [10, 'RTNETLINK answers: Operation not supported something more'],
    ]),
  );
});

it('never takes what it cannot read for no connections', async () => {
  const kernel = await open();
  expect(await failureOf(kernel.readConnections([]))).toContain(
    'prints "Timeout (tcp tcpfin udp): 900 120 300\\n", in which no connections are found',
  );
});

it('reads addresses and timeouts, and writes timeouts only where they differ', async () => {
  const kernel = await open();
  expect(await kernel.readAddresses()).toEqual({ own: new Set(['10.96.0.1']), others: new Set(['127.0.0.1', '::1']) });
  const same = await ensureTimeouts(kernel.servers, { tcpMs: 900_000, tcpFinMs: 0, udpMs: 0 });
  expect(await readFile(join(folder, 'runs'), 'utf8')).not.toContain('--set');
  const other = await ensureTimeouts(kernel.servers, { tcpMs: 0, tcpFinMs: 5_999, udpMs: 1 });
  expect(await readFile(join(folder, 'runs'), 'utf8')).toContain('ipvsadm --set 900 5 1\n');
  expect([same, other].map(printTimeouts)).toEqual([
    'timeouts of IPVS are 900 s (TCP), 120 s (TCP after a FIN), 300 s (UDP) already',
    'timeouts of IPVS are 900 s (TCP), 5 s (TCP after a FIN), 1 s (UDP) now (were 900, 120, 300)',
  ]);
});
