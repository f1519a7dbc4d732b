import { defaultDaemonSettings, FlagError, mergeDaemonSettings } from './config.ts';
import { flagKey, ownFlags, parseProxyFlags, proxyFlags } from './proxy-flags.ts';

/** What `kube-proxy --help` of 1.36.3 lists, and the two deprecated flags that it hides. */
const linux = `bind-address bind-address-hard-fail boot-id-file cleanup cluster-cidr config config-sync-period
conntrack-max-per-core conntrack-min conntrack-tcp-be-liberal conntrack-tcp-timeout-close-wait
conntrack-tcp-timeout-established conntrack-udp-timeout conntrack-udp-timeout-stream detect-local-mode feature-gates
healthz-bind-address healthz-port hostname-override init-only iptables-localhost-nodeports iptables-masquerade-bit
iptables-min-sync-period iptables-sync-period ipvs-exclude-cidrs ipvs-min-sync-period ipvs-scheduler ipvs-strict-arp
ipvs-sync-period ipvs-tcp-timeout ipvs-tcpfin-timeout ipvs-udp-timeout kube-api-burst kube-api-content-type
kube-api-qps kubeconfig log-flush-frequency log-json-info-buffer-size log-json-split-stream log-text-info-buffer-size
log-text-split-stream logging-format machine-id-file masquerade-all master metrics-bind-address metrics-port
nodeport-addresses oom-score-adj pod-bridge-interface pod-interface-name-prefix profiling proxy-mode
show-hidden-metrics-for-version v version vmodule write-config-to`.split(/\s+/);

const windows = 'enable-dsr forward-healthcheck-vip network-name root-hnsendpoint-name source-vip windows-service';

describe('proxyFlags', () => {
  it('has every flag of kube-proxy once', () => {
    const names = proxyFlags.map(({ name }) => name).sort();
    expect(names).toEqual([...linux, ...windows.split(' ')].sort());
  });

  it('has the syntax that commander takes', () => {
    const syntax = (name: string) => proxyFlags.find((flag) => flag.name === name)?.syntax;
    expect(syntax('v')).toBe('-v, --v <level>');
    expect(syntax('conntrack-min')).toBe('--conntrack-min <count>');
    expect(syntax('masquerade-all')).toBe('--masquerade-all [value]');
  });

  it('leaves no flag without a part to play', () => {
    const values = { text: 'x', boolean: true, integer: '7', number: '7', duration: '7s', list: 'x' };
    const special: Readonly<Record<string, string>> = {
      'bind-address': '10.0.0.1',
      'cluster-cidr': '10.0.0.0/8',
      'detect-local-mode': 'NodeCIDR',
      'feature-gates': 'A=true',
      'healthz-bind-address': '10.0.0.1:1',
      'ipvs-exclude-cidrs': '10.0.0.0/8',
      'logging-format': 'json',
      'metrics-bind-address': '10.0.0.1:1',
      'nodeport-addresses': 'all',
      'proxy-mode': 'nftables',
    };
    const empty = JSON.stringify(parseProxyFlags({}));
    const idle = [...proxyFlags, ...ownFlags].filter(({ name, kind }) => {
      const raw = { [flagKey(name)]: special[name] ?? values[kind] };
      return JSON.stringify(parseProxyFlags(raw)) === empty;
    });
    // The command line reads these itself.
    expect(idle.map(({ name }) => name)).toEqual(['config', 'version']);
  });
});

describe('parseProxyFlags', () => {
  it('gives nothing for nothing, and leaves other options alone', () => {
    const nothing = {
      settings: {},
      daemon: {},
      actions: { cleanup: false, initOnly: false, writeConfigTo: '' },
      meaningless: [],
    };
    expect(parseProxyFlags({})).toEqual(nothing);
    expect(parseProxyFlags({ logFormat: 'json', node: 'x', kubeconfig: '', v: undefined })).toEqual(nothing);
  });

  it('reads what kubeadm gives', () => {
    const { settings, daemon } = parseProxyFlags({
      config: '/var/lib/kube-proxy/config.conf',
      hostnameOverride: 'Node-1',
    });
    expect({ settings, daemon }).toEqual({ settings: { hostnameOverride: 'node-1' }, daemon: {} });
  });

  it('reads the daemon’s flags', () => {
    const raw = {
      proxyMode: 'nftables',
      bindAddressHardFail: true,
      profiling: 'false',
      kubeconfig: '/k',
      master: 'https://10.0.0.1:6443',
      kubeApiQps: '2.5',
      kubeApiBurst: '9',
      configSyncPeriod: '1m',
      iptablesSyncPeriod: '1m30s',
      iptablesMinSyncPeriod: '0',
      oomScoreAdj: '-5',
      v: '=4',
      loggingFormat: 'json',
      conntrackMaxPerCore: '0',
      conntrackMin: '5',
      conntrackTcpTimeoutEstablished: '0s',
      conntrackTcpTimeoutCloseWait: '1s',
      conntrackTcpBeLiberal: 'T',
      conntrackUdpTimeout: '2s',
      conntrackUdpTimeoutStream: '3s',
    };
    expect(parseProxyFlags(raw).daemon).toEqual({
      mode: 'nftables',
      bindAddressHardFail: true,
      enableProfiling: false,
      kubeconfig: '/k',
      apiServer: 'https://10.0.0.1:6443',
      qps: 2.5,
      burst: 9,
      configSyncPeriodMs: 60_000,
      syncPeriodMs: 90_000,
      minSyncPeriodMs: 0,
      oomScoreAdj: -5,
      verbosity: 4,
      logFormat: 'json',
      conntrack: {
        maxPerCore: 0,
        min: 5,
        tcpEstablishedTimeoutMs: 0,
        tcpCloseWaitTimeoutMs: 1000,
        tcpBeLiberal: true,
        udpTimeoutMs: 2000,
        udpStreamTimeoutMs: 3000,
      },
    });
  });

  it('lets a flag of 0 stand against the file', () => {
    const { daemon } = parseProxyFlags({ iptablesMinSyncPeriod: '0s', conntrackMaxPerCore: '0' });
    const merged = mergeDaemonSettings({ minSyncPeriodMs: 5000, conntrack: { maxPerCore: 1, min: 2 } }, daemon);
    expect(merged).toEqual({
      ...defaultDaemonSettings,
      conntrack: { ...defaultDaemonSettings.conntrack, maxPerCore: 0, min: 2 },
    });
  });

  it.each([
    [{ healthzBindAddress: '10.0.0.1:1', metricsBindAddress: '[::]:2' }, '10.0.0.1:1', '[::]:2'],
    [{ healthzPort: '0', metricsPort: '0' }, '', ''],
    [{ healthzBindAddress: '10.0.0.1:1', healthzPort: '0' }, '', undefined],
    [{ healthzPort: '1', metricsPort: '2' }, '0.0.0.0:1', '127.0.0.1:2'],
    [{ healthzBindAddress: '10.0.0.1', healthzPort: '1' }, '10.0.0.1:1', undefined],
    [{ healthzBindAddress: '10.0.0.1:9', healthzPort: '1' }, '10.0.0.1:9', undefined],
    [{ metricsBindAddress: 'fd00::1', metricsPort: '2' }, undefined, '[fd00::1]:2'],
    [{ metricsBindAddress: '[fd00::1]:3', metricsPort: '2' }, undefined, '[fd00::1]:3'],
    [{ metricsBindAddress: '', healthzBindAddress: '' }, undefined, ''],
  ])('takes %j for the addresses of the servers', (raw, healthz, metrics) => {
    const { daemon } = parseProxyFlags(raw);
    expect([daemon.healthzBindAddress, daemon.metricsBindAddress]).toEqual([healthz, metrics]);
  });

  it('takes the sync periods of the mode', () => {
    const raw = { iptablesSyncPeriod: '1m', ipvsSyncPeriod: '2m', ipvsMinSyncPeriod: '1s' };
    const others = parseProxyFlags(raw);
    expect(others.daemon).toEqual({ syncPeriodMs: 60_000 });
    expect(others.meaningless).toEqual([
      '--ipvs-sync-period: it counts with mode ipvs only',
      '--ipvs-min-sync-period: it counts with mode ipvs only',
    ]);
    const ipvs = parseProxyFlags({ ...raw, proxyMode: 'ipvs' });
    expect(ipvs.daemon).toEqual({ mode: 'ipvs', syncPeriodMs: 120_000, minSyncPeriodMs: 1000 });
    expect(ipvs.meaningless).toEqual(['--iptables-sync-period: it counts with mode iptables or nftables only']);
  });

  it('takes the mode of the file where no flag names one', () => {
    const raw = { ipvsMinSyncPeriod: '1s', iptablesMinSyncPeriod: '2s' };
    expect(parseProxyFlags(raw, 'ipvs').daemon).toEqual({ minSyncPeriodMs: 1000 });
    expect(parseProxyFlags({ ...raw, mode: 'nftables' }, 'ipvs').daemon).toEqual({
      mode: 'nftables',
      minSyncPeriodMs: 2000,
    });
  });

  it('reads what the process is to do', () => {
    expect(parseProxyFlags({ cleanup: true, initOnly: 'false', writeConfigTo: '/x' }).actions).toEqual({
      cleanup: true,
      initOnly: false,
      writeConfigTo: '/x',
    });
  });

  it('names flags without meaning that are asked for', () => {
    const raw = {
      iptablesMasqueradeBit: '14',
      iptablesLocalhostNodeports: true,
      ipvsStrictArp: 'false',
      ipvsScheduler: '',
      kubeApiContentType: 'application/json',
      featureGates: 'AllowServiceExternalIPs=false,NFTablesProxyMode=true',
      sourceVip: '10.0.0.1',
    };
    expect(parseProxyFlags(raw).meaningless).toEqual([
      '--kube-api-content-type: the API server is asked for JSON',
      '--iptables-masquerade-bit: no packet marks are used',
      '--iptables-localhost-nodeports: node ports are never offered on loopback',
      '--source-vip: only Windows has it',
      '--feature-gates NFTablesProxyMode: it switches nothing here',
    ]);
  });

  it.each([
    [{ proxyMode: 'userspace' }, '--proxy-mode "userspace" is not one of empty, iptables, ipvs, nftables'],
    [{ healthzBindAddress: 'eth0' }, '--healthz-bind-address "eth0" is not an address and port such as 0.0.0.0:10256'],
    [{ metricsPort: '70000' }, '--metrics-port "70000" is not a port (1-65535), or 0 for no server'],
    [{ oomScoreAdj: '1001' }, '--oom-score-adj "1001" is not a score (-1000 to 1000)'],
    [{ conntrackMin: '-1' }, '--conntrack-min "-1" is not a whole number of 0 or more'],
    [{ conntrackMin: '1.5' }, '--conntrack-min "1.5" is not a whole number of 0 or more'],
    [{ conntrackMin: '3000000000' }, '--conntrack-min "3000000000" is not a whole number of 0 or more'],
    [{ conntrackTcpBeLiberal: 'yes' }, '--conntrack-tcp-be-liberal "yes" is not true or false'],
    [
      { conntrackUdpTimeout: '30' },
      '--conntrack-udp-timeout "30" is not a duration of 0 or more, such as 30s or 1m30s',
    ],
    [{ iptablesSyncPeriod: '0s' }, '--iptables-sync-period "0s" is not a duration of more than 0'],
    [{ configSyncPeriod: '-1s' }, '--config-sync-period "-1s" is not a duration of more than 0'],
    [{ kubeApiQps: 'many' }, '--kube-api-qps "many" is not a number'],
    [{ v: 'high' }, '--v "high" is not a whole number of 0 or more'],
    [{ loggingFormat: 'xml' }, '--logging-format "xml" is not one of text, json'],
    [{ cleanup: 'maybe' }, '--cleanup "maybe" is not true or false'],
    [{ iptablesMasqueradeBit: '32' }, '--iptables-masquerade-bit "32" is not a bit number (0-31)'],
    [{ ipvsTcpTimeout: 'x' }, '--ipvs-tcp-timeout "x" is not a duration of 0 or more'],
    [{ ipvsStrictArp: '2' }, '--ipvs-strict-arp "2" is not true or false'],
    [{ clusterCidr: 'x' }, '--cluster-cidr "x" is not a CIDR block'],
  ])('refuses %j', (raw, message) => {
    expect(() => parseProxyFlags(raw)).toThrow(FlagError);
    expect(() => parseProxyFlags(raw)).toThrow(message);
  });
});
