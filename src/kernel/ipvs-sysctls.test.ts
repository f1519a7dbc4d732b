import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { printOutcome } from './conntrack-sysctls.ts';
import { applyIpvsSysctls, ipvsSysctls, kernelVersion } from './ipvs-sysctls.ts';
import { loadIpvs } from './load-ipvs.ts';

let root: string;
beforeEach(async () => (root = await mkdtemp(join(tmpdir(), 'vipmap-'))));
afterEach(() => rm(root, { recursive: true }));

async function write(path: string, text: string, mode = 0o644): Promise<string> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text, { mode });
  return join(root, path);
}

const settings = { isStrictArp: false };
const print = (...args: Parameters<typeof ipvsSysctls>) =>
  ipvsSysctls(...args).map(({ name, value }) => `${name.replace('net.ipv4.', '')}=${value}`);
const always = ['vs.conntrack=1', 'vs.expire_nodest_conn=1', 'vs.expire_quiescent_template=1'];

it.each([
  ['6.12.0-1-amd64', settings, [...always, 'ip_forward=1']],
  ['6.1.0-56-amd64', settings, [...always, 'vs.run_estimation=0', 'ip_forward=1']],
  ['6.1.0', { ...settings, runsEstimation: true }, [...always, 'vs.run_estimation=1', 'ip_forward=1']],
  ['6.12.0', { ...settings, runsEstimation: false }, [...always, 'vs.run_estimation=0', 'ip_forward=1']],
  ['5.15.0', settings, [...always, 'ip_forward=1']],
  ['5.4.0', settings, [always[0], 'vs.conn_reuse_mode=0', ...always.slice(1), 'ip_forward=1']],
  ['6.12.0', { isStrictArp: true }, [...always, 'ip_forward=1', 'conf.all.arp_ignore=1', 'conf.all.arp_announce=2']],
])('Linux %s with %p', (version, given, sysctls) => {
  expect(print(given, version)).toEqual(sysctls);
});

it('reads the version of a kernel', () => {
  expect(['6.18.44-fc', '5.4', 'odd'].map(kernelVersion)).toEqual([
    [6, 18],
    [5, 4],
    [0, 0],
  ]);
});

it('sets them, and names what could not be set', async () => {
  await write('/proc/sys/net/ipv4/vs/conntrack', '0\n');
  await write('/proc/sys/net/ipv4/ip_forward', '1\n');
  const { outcomes } = await applyIpvsSysctls(settings, { version: '6.12.0', root });
  expect(outcomes.map(printOutcome)).toEqual([
    'net.ipv4.vs.conntrack is 1 now (was 0)',
    'cannot set net.ipv4.vs.expire_nodest_conn to 1: ENOENT, there is no such setting in this kernel or network namespace',
    'cannot set net.ipv4.vs.expire_quiescent_template to 1: ENOENT, there is no such setting in this kernel or network namespace',
    'net.ipv4.ip_forward is 1 already',
  ]);
});

describe('loadIpvs', () => {
  const modprobe = () =>
    write('modprobe', `#!/bin/sh\necho "$*" >> ${root}/runs\nmkdir -p ${root}/proc/sys/net/ipv4/vs\n`, 0o755);
  const runs = () => readFile(join(root, 'runs'), 'utf8');

  it('loads what is missing', async () => {
    expect(await loadIpvs(['rr', 'mh', '../odd'], { root, modprobe: await modprobe() })).toBe(true);
    expect(await runs()).toBe('-q -a ip_vs ip_vs_rr ip_vs_mh\n-q dummy numdummies=0\n');
  });

  it('starts nothing where all is there', async () => {
    for (const path of ['/proc/sys/net/ipv4/vs/conntrack', '/sys/module/ip_vs_rr/x', '/sys/module/dummy/x'])
      await write(path, '');
    expect(await loadIpvs(['rr'], { root, modprobe: await modprobe() })).toBe(true);
    await expect(runs()).rejects.toThrow('ENOENT');
  });

  it('says when there is no IPVS, also without modprobe', async () => {
    expect(await loadIpvs(['rr'], { root, modprobe: '/no/modprobe' })).toBe(false);
  });
});
