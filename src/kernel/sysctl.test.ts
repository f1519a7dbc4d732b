import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  applySysctls,
  conntrackMax,
  type ConntrackLimits,
  conntrackSysctls,
  printOutcome,
} from './conntrack-sysctls.ts';
import { ensureSysctl, oomScore, procSysctl, readSysctl, SysctlError } from './sysctl.ts';

const hashsize = '/sys/module/nf_conntrack/parameters/hashsize';
const conntrack = '/proc/sys/net/netfilter/nf_conntrack_';

const limits: ConntrackLimits = {
  maxPerCore: 32_768,
  min: 131_072,
  tcpEstablishedTimeoutMs: 86_400_000,
  tcpCloseWaitTimeoutMs: 3_600_000,
  tcpBeLiberal: false,
  udpTimeoutMs: 0,
  udpStreamTimeoutMs: 0,
};

let root: string;
beforeEach(async () => (root = await mkdtemp(join(tmpdir(), 'vipmap-'))));
afterEach(() => rm(root, { recursive: true }));

async function write(files: Readonly<Record<string, string | number>>): Promise<void> {
  for (const [path, value] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${value}\n`);
  }
}

const read = async (path: string) => (await readFile(join(root, path), 'utf8')).trim();

describe('ensureSysctl', () => {
  const forward = procSysctl('net.ipv4.ip_forward', 1);

  it('writes what differs, and nothing else', async () => {
    await write({ '/proc/sys/net/ipv4/ip_forward': 0 });
    expect(await ensureSysctl(forward, root)).toEqual({ kind: 'set', sysctl: forward, found: 0 });
    expect(await read(forward.path)).toBe('1');
    expect(await ensureSysctl(forward, root)).toEqual({ kind: 'right', sysctl: forward, found: 1 });
    // With its line end, so it is as it was written by somebody else.
    await write({ '/proc/sys/net/ipv4/ip_forward': '1 ' });
    await ensureSysctl(forward, root);
    expect(await readFile(join(root, forward.path), 'utf8')).toBe('1 \n');
  });

  it('leaves alone what is enough', async () => {
    await write({ [hashsize]: 100 });
    const size = { name: 'size', path: hashsize, value: 50, match: 'at-least' } as const;
    expect((await ensureSysctl(size, root)).kind).toBe('right');
    expect((await ensureSysctl({ ...size, match: 'limit' }, root)).kind).toBe('set');
    expect(await read(hashsize)).toBe('50');
  });

  it('names what could not be set, the reason and the remedy', async () => {
    const missing = await ensureSysctl(procSysctl('net.netfilter.nf_conntrack_max', 5), root);
    expect(missing).toMatchObject({ kind: 'failed', found: undefined, error: { code: 'ENOENT' } });
    expect(printOutcome(missing)).toBe(
      'cannot set net.netfilter.nf_conntrack_max to 5: ENOENT, there is no such setting here; load the module (modprobe nf_conntrack), or set it on the host where this network namespace has none',
    );
    await write({ [forward.path]: 'many' });
    const odd = await ensureSysctl(forward, root);
    expect(printOutcome(odd)).toBe(
      'cannot set net.ipv4.ip_forward to 1: /proc/sys/net/ipv4/ip_forward holds "many", not a number, set it on the host: sysctl -w net.ipv4.ip_forward=1',
    );
    expect(await read(forward.path)).toBe('many');
    expect(await readSysctl(forward.path, root)).toBeUndefined();
  });

  it.each([
    ['EROFS', 'it is mounted read-only here; run --init-only in a privileged container before'],
    ['EACCES', 'there is no right to; it takes root'],
    ['ENOTSUP', "only the host's own network namespace may; on the host: sysctl -w net.ipv4.ip_forward=1"],
    ['EINVAL', 'the kernel does not take that value'],
  ])('has a remedy for %s', (code, remedy) => {
    const error = new SysctlError(forward, 0, Object.assign(new Error(code), { code }));
    expect(error.message).toContain(`cannot set net.ipv4.ip_forward to 1 (it is 0): ${code}, ${remedy}`);
    expect([error.sysctl, error.value, error.code]).toEqual(['net.ipv4.ip_forward', 1, code]);
  });

  it('reads this process’s own score', async () => {
    const score = await readSysctl('/proc/self/oom_score_adj');
    expect(score).toEqual(expect.any(Number));
    expect((await ensureSysctl(oomScore(score ?? 0))).kind).toBe('right');
  });
});

describe('conntrackMax', () => {
  it.each([
    [2, 32_768, 131_072, 131_072],
    [8, 32_768, 131_072, 262_144],
    [64, 32_768, 131_072, 1_048_576],
    [1, 32_768, 2_000_000, 2_000_000],
    [64, 32_768, 2_000_000, 1_048_576],
    [4, 0, 131_072, undefined],
    [4, 10, 0, 40],
  ])('on %i CPUs, %i each, at least %i: %s', (cpuCount, maxPerCore, min, max) => {
    expect(conntrackMax({ ...limits, maxPerCore, min }, cpuCount)).toBe(max);
  });
});

describe('conntrackSysctls', () => {
  const named = (changes: Partial<ConntrackLimits>) =>
    conntrackSysctls({ ...limits, ...changes }, 4).map(({ name, value }) => `${name}=${value}`);

  it('are kube-proxy’s for its defaults', () => {
    expect(named({})).toEqual([
      'net.netfilter.nf_conntrack_max=131072',
      `${hashsize}=32768`,
      'net.netfilter.nf_conntrack_tcp_timeout_established=86400',
      'net.netfilter.nf_conntrack_tcp_timeout_close_wait=3600',
    ]);
  });

  it('are everything that is asked for, and nothing for 0', () => {
    const none = { maxPerCore: 0, tcpEstablishedTimeoutMs: 0, tcpCloseWaitTimeoutMs: 0 };
    expect(named(none)).toEqual([]);
    expect(named({ ...none, tcpBeLiberal: true, udpTimeoutMs: 1999, udpStreamTimeoutMs: 5 })).toEqual([
      'net.netfilter.nf_conntrack_tcp_be_liberal=1',
      'net.netfilter.nf_conntrack_udp_timeout=1',
      'net.netfilter.nf_conntrack_udp_timeout_stream=1',
    ]);
  });
});

describe('applySysctls', () => {
  const apply = async () => {
    const { outcomes, advice } = await applySysctls(limits, { cpuCount: 1, root });
    return { said: outcomes.map(printOutcome), kinds: outcomes.map(({ kind }) => kind), advice };
  };

  it('says what was set and what was right already, and does nothing a second time', async () => {
    await write({
      [`${conntrack}max`]: 65_536,
      [hashsize]: 16_384,
      [`${conntrack}tcp_timeout_established`]: 432_000,
      [`${conntrack}tcp_timeout_close_wait`]: 3600,
      '/proc/sys/net/ipv4/ip_forward': 1,
    });
    expect(await apply()).toEqual({
      kinds: ['set', 'set', 'set', 'right'],
      said: [
        'net.netfilter.nf_conntrack_max is 131072 now (was 65536)',
        `${hashsize} is 32768 now (was 16384)`,
        'net.netfilter.nf_conntrack_tcp_timeout_established is 86400 now (was 432000)',
        'net.netfilter.nf_conntrack_tcp_timeout_close_wait is 3600 already',
      ],
      advice: [],
    });
    expect((await apply()).kinds).toEqual(['right', 'right', 'right', 'right']);
  });

  it('goes on after a failure, but for the table of a limit that could not be raised', async () => {
    await write({ [hashsize]: 1, [`${conntrack}tcp_timeout_close_wait`]: 60 });
    expect((await apply()).kinds).toEqual(['failed', 'failed', 'set']);
    expect(await read(hashsize)).toBe('1');
  });

  it('has a word for a host that forwards nothing, and leaves it so', async () => {
    await write({ '/proc/sys/net/ipv4/ip_forward': 0, '/proc/sys/net/ipv6/conf/all/forwarding': 0 });
    expect((await apply()).advice).toEqual([expect.stringContaining('this node forwards no packets')]);
    expect(await read('/proc/sys/net/ipv4/ip_forward')).toBe('0');
    await write({ '/proc/sys/net/ipv6/conf/all/forwarding': 1 });
    expect((await apply()).advice).toEqual([]);
  });
});
