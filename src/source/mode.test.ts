import { FlagError, mergeDaemonSettings, mergeSettings, parseConfig } from './config.ts';
import { meaninglessFields } from './daemon-settings-meaningless.ts';
import { parseProxyFlags, requestedMode } from './proxy-flags.ts';
import type { RawFlags } from './settings.ts';

const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

/** As the command line puts a file and flags together. */
function resolve(yaml: string, raw: RawFlags = {}) {
  const file = parseConfig(head + yaml, 'config.yaml', requestedMode(raw));
  const flags = parseProxyFlags(raw, file.settings.fileMode);
  const settings = mergeSettings(file.settings, flags.settings);
  return {
    settings,
    daemon: mergeDaemonSettings(file.daemon, flags.daemon),
    meaningless: [...meaninglessFields(file, settings.mode), ...flags.meaningless],
  };
}

describe('the mode that runs', () => {
  it.each<[string, RawFlags, string, string]>([
    ['', {}, 'nftables', ''],
    ['mode: iptables', {}, 'nftables', 'iptables'],
    ['mode: nftables', {}, 'nftables', 'nftables'],
    ['mode: ipvs', {}, 'ipvs', 'ipvs'],
    ['', { proxyMode: 'ipvs' }, 'ipvs', 'ipvs'],
    ['mode: ipvs', { proxyMode: 'iptables' }, 'nftables', 'iptables'],
    ['mode: ipvs', { proxyMode: '' }, 'ipvs', 'ipvs'],
    ['mode: ipvs', { mode: 'nftables' }, 'nftables', 'nftables'],
    ['mode: nftables', { mode: 'ipvs', proxyMode: 'nftables' }, 'ipvs', 'ipvs'],
  ])('is, with file %j and flags %j, %s', (yaml, raw, running, asked) => {
    const { settings, daemon } = resolve(yaml, raw);
    expect([settings.mode, daemon.mode]).toEqual([running, asked]);
  });

  it('can be no other', () => {
    expect(() => resolve('', { mode: 'iptables' })).toThrow(FlagError);
    expect(() => resolve('', { mode: 'iptables' })).toThrow('--mode "iptables" is not one of nftables, ipvs');
  });
});

describe('mode ipvs', () => {
  it('has kube-proxy’s defaults', () => {
    const { settings, daemon, meaningless } = resolve('mode: ipvs');
    expect(settings).toMatchObject({
      nodePortAddresses: ['all'],
      masqueradeAll: false,
      ipvsScheduler: { name: 'rr', flags: [] },
      ipvsExcludeCidrs: [],
    });
    expect(daemon).toMatchObject({ syncPeriodMs: 30_000, minSyncPeriodMs: 0 });
    expect(daemon.ipvs).toEqual({
      strictArp: false,
      tcpTimeoutMs: 0,
      tcpFinTimeoutMs: 0,
      udpTimeoutMs: 0,
      terminationLimitMs: 900_000,
    });
    expect(meaningless).toEqual([]);
  });

  const full = `ipvs:
  scheduler: mh
  excludeCIDRs: [192.168.9.0/24, fd00:9::/64]
  strictARP: true
  tcpTimeout: 15m
  tcpFinTimeout: 2m
  udpTimeout: 5m
  syncPeriod: 1m
  minSyncPeriod: 2s
`;

  it('takes its settings from the ipvs block, masqueradeAll from that of iptables', () => {
    const others = 'iptables: {masqueradeAll: true}\nnftables: {masqueradeAll: false, minSyncPeriod: 9s}\n';
    const { settings, daemon, meaningless } = resolve(`mode: ipvs\n${full}${others}`);
    expect(settings).toMatchObject({
      masqueradeAll: true,
      ipvsScheduler: { name: 'mh', flags: ['mh-port'] },
      ipvsExcludeCidrs: [{ address: '192.168.9.0' }, { address: 'fd00:9::' }],
    });
    expect(daemon).toMatchObject({ syncPeriodMs: 60_000, minSyncPeriodMs: 2000 });
    expect(daemon.ipvs).toEqual({
      strictArp: true,
      tcpTimeoutMs: 900_000,
      tcpFinTimeoutMs: 120_000,
      udpTimeoutMs: 300_000,
      terminationLimitMs: 900_000,
    });
    expect(meaningless).toEqual(['nftables.minSyncPeriod: it counts with mode nftables only']);
  });

  it('lets flags go before the file', () => {
    const { settings, daemon, meaningless } = resolve(`mode: ipvs\n${full}`, {
      ipvsScheduler: 'sh,sh-port',
      ipvsExcludeCidrs: '10.9.0.0/16, 10.8.0.0/16',
      ipvsStrictArp: 'false',
      ipvsTcpTimeout: '1s',
      ipvsTcpfinTimeout: '2s',
      ipvsUdpTimeout: '0',
      ipvsSyncPeriod: '2m',
      ipvsMinSyncPeriod: '0s',
      ipvsTerminationLimit: '0',
      masqueradeAll: true,
      nodeportAddresses: 'primary',
    });
    expect(settings).toMatchObject({
      nodePortAddresses: ['primary'],
      masqueradeAll: true,
      ipvsScheduler: { name: 'sh', flags: ['sh-port'] },
      ipvsExcludeCidrs: [{ address: '10.9.0.0' }, { address: '10.8.0.0' }],
    });
    expect(daemon).toMatchObject({ syncPeriodMs: 120_000, minSyncPeriodMs: 0 });
    expect(daemon.ipvs).toEqual({
      strictArp: false,
      tcpTimeoutMs: 1000,
      tcpFinTimeoutMs: 2000,
      udpTimeoutMs: 0,
      terminationLimitMs: 0,
    });
    expect(meaningless).toEqual([]);
  });

  it('reads a file without a mode as its own where a flag asks for it', () => {
    const { settings, daemon, meaningless } = resolve(`${full}iptables: {masqueradeAll: true, syncPeriod: 3m}`, {
      mode: 'ipvs',
    });
    expect([settings.masqueradeAll, settings.ipvsScheduler.name, daemon.syncPeriodMs]).toEqual([true, 'mh', 60_000]);
    expect(meaningless).toEqual(['iptables.syncPeriod: it counts with mode iptables only']);
  });

  it('leaves a file that names another mode its blocks', () => {
    const blocks = 'iptables: {masqueradeAll: true}\nnftables: {masqueradeAll: false, syncPeriod: 3m}\n';
    const { settings, daemon, meaningless } = resolve(`mode: nftables\n${full}${blocks}`, { mode: 'ipvs' });
    expect([settings.masqueradeAll, settings.ipvsScheduler.name, daemon.syncPeriodMs]).toEqual([false, 'mh', 180_000]);
    expect(meaningless).toEqual([
      'iptables.masqueradeAll: it counts only in a file that says mode ipvs',
      'ipvs.syncPeriod: it counts only in a file that says mode ipvs',
      'ipvs.minSyncPeriod: it counts only in a file that says mode ipvs',
    ]);
  });

  it('names flags of the other modes', () => {
    const raw = { mode: 'ipvs', iptablesSyncPeriod: '1m', iptablesMasqueradeBit: '14' };
    expect(resolve('', raw).meaningless).toEqual([
      '--iptables-masquerade-bit: no packet marks are used',
      '--iptables-sync-period: it counts with mode iptables or nftables only',
    ]);
  });

  it('says which periods do not fit', () => {
    expect(() => resolve('mode: ipvs\nipvs: {minSyncPeriod: 1m}')).toThrow(
      'config.yaml: ipvs.minSyncPeriod "1m" is not at most syncPeriod ("30s")',
    );
    expect(() => resolve('mode: ipvs', { ipvsMinSyncPeriod: '1m' })).toThrow(
      '--ipvs-min-sync-period "60s" is not at most the sync period (30s)',
    );
  });

  it.each([
    ['scheduler: w-rr', 'ipvs.scheduler "w-rr" is not an IPVS scheduler such as rr, wrr, lc'],
    ['scheduler: "mh,sh-port"', 'ipvs.scheduler "mh,sh-port" is not an IPVS scheduler such as'],
    ['excludeCIDRs: [10.0.0.0/8, x]', 'ipvs.excludeCIDRs[1] "x" is not a CIDR block such as 10.0.0.0/8'],
    ['strictARP: 1', 'ipvs.strictARP "1" is not true or false'],
    ['tcpTimeout: -1s', 'ipvs.tcpTimeout "-1s" is not a duration of 0 or more'],
  ])('refuses in a file %j', (field, message) => {
    expect(() => resolve(`mode: ipvs\nipvs: {${field}}`)).toThrow(`config.yaml: ${message}`);
  });

  it.each<[RawFlags, string]>([
    [{ ipvsScheduler: 'RR' }, '--ipvs-scheduler "RR" is not an IPVS scheduler such as rr, wrr'],
    [{ ipvsExcludeCidrs: '10.0.0.0/8,x' }, '--ipvs-exclude-cidrs "10.0.0.0/8,x" is not a list of CIDR blocks such as'],
    [{ ipvsStrictArp: '2' }, '--ipvs-strict-arp "2" is not true or false'],
    [{ ipvsTcpfinTimeout: '5' }, '--ipvs-tcpfin-timeout "5" is not a duration of 0 or more, such as 30s or 1m30s'],
    [{ ipvsTerminationLimit: '-1s' }, '--ipvs-termination-limit "-1s" is not a duration of 0 or more'],
  ])('refuses %j', (raw, message) => {
    expect(() => resolve('mode: ipvs', raw)).toThrow(FlagError);
    expect(() => resolve('mode: ipvs', raw)).toThrow(message);
  });
});

describe('mode nftables', () => {
  it('names what is set for mode ipvs', () => {
    const yaml = 'mode: nftables\nipvs: {scheduler: wrr, strictARP: true, udpTimeout: 1s}\n';
    const raw = { ipvsScheduler: 'lc', ipvsStrictArp: 'false', ipvsTerminationLimit: '1m', ipvsSyncPeriod: '1m' };
    expect(resolve(yaml, raw).meaningless).toEqual([
      'ipvs.scheduler: it counts with mode ipvs only',
      'ipvs.strictARP: it counts with mode ipvs only',
      'ipvs.udpTimeout: it counts with mode ipvs only',
      '--ipvs-scheduler: it counts with mode ipvs only',
      '--ipvs-sync-period: it counts with mode ipvs only',
      '--ipvs-termination-limit: it counts with mode ipvs only',
    ]);
  });

  it('keeps what a file of mode ipvs says beside', () => {
    const yaml = 'mode: ipvs\niptables: {masqueradeAll: true}\nipvs: {scheduler: lc, syncPeriod: 1m}\n';
    const { settings, daemon, meaningless } = resolve(yaml, { mode: 'nftables' });
    expect([settings.masqueradeAll, settings.nodePortAddresses, daemon.syncPeriodMs]).toEqual([
      true,
      ['primary'],
      60_000,
    ]);
    expect(meaningless).toEqual(['ipvs.scheduler: it counts with mode ipvs only']);
  });

  it('does not count its own block in a file for iptables', () => {
    expect(resolve('nftables: {syncPeriod: 1m}', { mode: 'nftables' }).meaningless).toEqual([
      'nftables.syncPeriod: it counts only in a file that says mode nftables',
    ]);
  });
});
