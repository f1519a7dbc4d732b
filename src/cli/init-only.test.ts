import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultDaemonSettings } from '../source/daemon-settings.ts';
import { InitError, runInitOnly, tuneConntrack } from './init-only.ts';
import type { Reporter } from './terminal.ts';

const names = ['max', 'tcp_timeout_established', 'tcp_timeout_close_wait'];
const options = () => ({ root, cpuCount: 2 });

let root: string;
let said: string[];
const reporter: Reporter = {
  info: (message) => said.push(`info: ${message}`),
  warn: (message) => said.push(`warn: ${message}`),
  error: (message) => said.push(`error: ${message}`),
  stage: () => undefined,
};

beforeEach(async () => {
  said = [];
  root = await mkdtemp(join(tmpdir(), 'vipmap-'));
  const folder = join(root, 'proc/sys/net/netfilter');
  await mkdir(folder, { recursive: true });
  for (const name of names) await writeFile(join(folder, `nf_conntrack_${name}`), '600\n');
  await mkdir(join(root, 'sys/module/nf_conntrack/parameters'), { recursive: true });
});
afterEach(() => rm(root, { recursive: true }));

const hashsize = '/sys/module/nf_conntrack/parameters/hashsize';
const missing = `cannot set ${hashsize} to 32768: ENOENT, there is no such setting here`;

it('--init-only says what it set, and fails after all the rest', async () => {
  await expect(runInitOnly(defaultDaemonSettings, 'nftables', reporter, options())).rejects.toThrow(InitError);
  expect(said.map((line) => line.split(';')[0])).toEqual([
    'info: net.netfilter.nf_conntrack_max is 131072 now (was 600)',
    `error: ${missing}`,
    'info: net.netfilter.nf_conntrack_tcp_timeout_established is 86400 now (was 600)',
    'info: net.netfilter.nf_conntrack_tcp_timeout_close_wait is 3600 now (was 600)',
  ]);
  await writeFile(join(root, hashsize), '65536\n');
  await expect(runInitOnly(defaultDaemonSettings, 'nftables', reporter, options())).resolves.toBeUndefined();
});

it('the daemon warns of what it cannot set, and is silent about what is right', async () => {
  await tuneConntrack(defaultDaemonSettings.conntrack, reporter, options());
  expect(said.filter((line) => line.startsWith('warn')).map((line) => line.split(';')[0])).toEqual([
    `warn: ${missing}`,
  ]);
  said = [];
  await writeFile(join(root, hashsize), '65536\n');
  await tuneConntrack(defaultDaemonSettings.conntrack, reporter, options());
  expect(said).toEqual([]);
});
