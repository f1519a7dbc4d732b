import { defaultDaemonSettings, FlagError, mergeDaemonSettings, parseConfig } from './config.ts';
import { meaninglessFields } from './daemon-settings-meaningless.ts';

const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const parse = (yaml: string) => parseConfig(head + yaml, 'config.yaml');

/** As `kubeadm init --pod-network-cidr 10.244.0.0/16` of 1.36 writes it into the cluster. */
const kubeadm = `kind: ConfigMap
apiVersion: v1
metadata:
  annotations:
    kubeadm.kubernetes.io/component-config.hash: sha256:0b1f2c
  labels:
    app: kube-proxy
  name: kube-proxy
  namespace: kube-system
data:
  kubeconfig.conf: |-
    apiVersion: v1
    kind: Config
    clusters:
    - cluster:
        certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
        server: https://192.168.0.2:6443
      name: default
    contexts:
    - context:
        cluster: default
        namespace: default
        user: default
      name: default
    current-context: default
    users:
    - name: default
      user:
        tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
  config.conf: |-
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    bindAddress: 0.0.0.0
    bindAddressHardFail: false
    clientConnection:
      acceptContentTypes: ""
      burst: 0
      contentType: ""
      kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
      qps: 0
    clusterCIDR: 10.244.0.0/16
    configSyncPeriod: 0s
    conntrack:
      maxPerCore: null
      min: null
      tcpBeLiberal: false
      tcpCloseWaitTimeout: null
      tcpEstablishedTimeout: null
      udpStreamTimeout: 0s
      udpTimeout: 0s
    detectLocal:
      bridgeInterface: ""
      interfaceNamePrefix: ""
    detectLocalMode: ""
    enableProfiling: false
    healthzBindAddress: ""
    hostnameOverride: ""
    iptables:
      localhostNodePorts: null
      masqueradeAll: false
      masqueradeBit: null
      minSyncPeriod: 0s
      syncPeriod: 0s
    ipvs:
      excludeCIDRs: null
      minSyncPeriod: 0s
      scheduler: ""
      strictARP: false
      syncPeriod: 0s
      tcpFinTimeout: 0s
      tcpTimeout: 0s
      udpTimeout: 0s
    kind: KubeProxyConfiguration
    logging:
      flushFrequency: 0
      options:
        json:
          infoBufferSize: "0"
        text:
          infoBufferSize: "0"
      verbosity: 0
    metricsBindAddress: ""
    mode: ""
    nftables:
      masqueradeAll: false
      masqueradeBit: null
      minSyncPeriod: 0s
      syncPeriod: 0s
    nodePortAddresses: null
    oomScoreAdj: null
    portRange: ""
    showHiddenMetricsForVersion: ""
    winkernel:
      enableDSR: false
      forwardHealthCheckVip: false
      networkName: ""
      rootHnsEndpointName: ""
      sourceVip: ""
`;

/** As `kube-proxy --write-config-to` of 1.36 writes it: every default. */
const written = `bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  {acceptContentTypes: "", burst: 10, contentType: application/vnd.kubernetes.protobuf, kubeconfig: "", qps: 5}
clusterCIDR: ""
configSyncPeriod: 15m0s
conntrack:
  maxPerCore: 32768
  min: 131072
  tcpBeLiberal: false
  tcpCloseWaitTimeout: 1h0m0s
  tcpEstablishedTimeout: 24h0m0s
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocalMode: ClusterCIDR
enableProfiling: false
healthzBindAddress: 0.0.0.0:10256
iptables: {localhostNodePorts: true, masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 1s, syncPeriod: 30s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 30s, tcpTimeout: 0s}
logging: {flushFrequency: 5s, format: text, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: 127.0.0.1:10249
mode: iptables
nftables: {masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 1s, syncPeriod: 30s}
oomScoreAdj: -999
`;

describe('the daemon’s settings in a file', () => {
  it('are those of kube-proxy for what kubeadm writes, without a word', () => {
    const config = parseConfig(kubeadm, 'cm.yaml');
    expect(config.problems).toEqual([]);
    expect(meaninglessFields(config)).toEqual([]);
    expect(mergeDaemonSettings(config.daemon, {})).toEqual({
      mode: '',
      healthzBindAddress: '0.0.0.0:10256',
      metricsBindAddress: '127.0.0.1:10249',
      bindAddressHardFail: false,
      enableProfiling: false,
      kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf',
      apiServer: '',
      qps: 5,
      burst: 10,
      configSyncPeriodMs: 900_000,
      syncPeriodMs: 30_000,
      minSyncPeriodMs: 0,
      oomScoreAdj: -999,
      conntrack: {
        maxPerCore: 32768,
        min: 131072,
        tcpEstablishedTimeoutMs: 86_400_000,
        tcpCloseWaitTimeoutMs: 3_600_000,
        tcpBeLiberal: false,
        udpTimeoutMs: 0,
        udpStreamTimeoutMs: 0,
      },
      ipvs: defaultDaemonSettings.ipvs,
      verbosity: 0,
      logFormat: 'text',
    });
  });

  it('are the defaults for what kube-proxy writes, but for the time between syncs that is named there', () => {
    const config = parse(written);
    expect(config.problems).toEqual([]);
    expect(meaninglessFields(config)).toEqual([]);
    expect(mergeDaemonSettings(config.daemon, {})).toEqual({
      ...defaultDaemonSettings,
      mode: 'iptables',
      minSyncPeriodMs: 1000,
    });
  });

  it('are taken from every field', () => {
    const { daemon } = parse(`mode: nftables
clientConnection: {kubeconfig: /k, qps: 50, burst: 100}
healthzBindAddress: 10.0.0.1
metricsBindAddress: "[::]:10249"
bindAddressHardFail: true
enableProfiling: true
configSyncPeriod: 1m
nftables: {syncPeriod: 1m, minSyncPeriod: 5s}
iptables: {syncPeriod: 2m, minSyncPeriod: 6s}
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 1, tcpEstablishedTimeout: 0s, tcpBeLiberal: true, udpTimeout: 30s, udpStreamTimeout: 3m}
logging: {verbosity: 4, format: json}
`);
    expect(daemon).toEqual({
      mode: 'nftables',
      healthzBindAddress: '10.0.0.1',
      metricsBindAddress: '[::]:10249',
      bindAddressHardFail: true,
      enableProfiling: true,
      kubeconfig: '/k',
      qps: 50,
      burst: 100,
      configSyncPeriodMs: 60_000,
      syncPeriodMs: 60_000,
      minSyncPeriodMs: 5_000,
      oomScoreAdj: 0,
      conntrack: {
        maxPerCore: 0,
        min: 1,
        tcpEstablishedTimeoutMs: 0,
        tcpBeLiberal: true,
        udpTimeoutMs: 30_000,
        udpStreamTimeoutMs: 180_000,
      },
      verbosity: 4,
      logFormat: 'json',
    });
  });

  it.each([
    ['', 1],
    ['mode: iptables', 1],
    ['mode: ipvs', 2],
    ['mode: nftables', 3],
  ])('take the sync periods of the block of the mode (%j)', (mode, seconds) => {
    const blocks = ['iptables', 'ipvs', 'nftables'].map((name, i) => `${name}: {minSyncPeriod: ${i + 1}s}\n`);
    expect(parse(`${mode}\n${blocks.join('')}`).daemon.minSyncPeriodMs).toBe(seconds * 1000);
  });

  it('let the servers’ addresses follow the family of bindAddress', () => {
    expect(parse('bindAddress: "::"').daemon).toEqual({
      healthzBindAddress: '[::]:10256',
      metricsBindAddress: '[::1]:10249',
    });
    expect(parse('bindAddress: "::"\nmetricsBindAddress: 0.0.0.0:1').daemon.metricsBindAddress).toBe('0.0.0.0:1');
    expect(parse('bindAddress: 10.0.0.1').daemon).toEqual({});
  });

  it('refuse a log format and a verbosity that kube-proxy refuses', () => {
    expect(() => parse('logging: {format: xml}')).toThrow('logging.format "xml" is not one of text, json');
    expect(() => parse('logging: {verbosity: -1}')).toThrow(
      'logging.verbosity "-1" is not a whole number of 0 or more',
    );
  });
});

describe('mergeDaemonSettings', () => {
  it('puts flags before the file before the defaults, those of conntrack one by one', () => {
    const file = { verbosity: 2, oomScoreAdj: -1, conntrack: { min: 1, maxPerCore: 2 } };
    const flags = { verbosity: 0, minSyncPeriodMs: 500, conntrack: { maxPerCore: 0 } };
    expect(mergeDaemonSettings(file, flags)).toEqual({
      ...defaultDaemonSettings,
      verbosity: 0,
      oomScoreAdj: -1,
      minSyncPeriodMs: 500,
      conntrack: { ...defaultDaemonSettings.conntrack, min: 1, maxPerCore: 0 },
    });
  });

  it('refuses flags that make a sync due before it may be', () => {
    const merge = (file: object, flags: object) => () => mergeDaemonSettings(file, flags);
    expect(merge({}, { minSyncPeriodMs: 60_000 })).toThrow(FlagError);
    expect(merge({}, { minSyncPeriodMs: 60_000 })).toThrow(
      '--iptables-min-sync-period "60s" is not at most the sync period (30s)',
    );
    expect(merge({ minSyncPeriodMs: 10_000 }, { syncPeriodMs: 5_000, mode: 'ipvs' })).toThrow(
      '--ipvs-sync-period "5s" is not at least the minimum sync period (10s)',
    );
  });
});
