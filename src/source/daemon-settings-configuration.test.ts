import { mergeDaemonSettings, mergeSettings, parseConfig } from './config.ts';
import { configSchema } from './config-schema.ts';
import { configurationOf } from './daemon-settings-configuration.ts';

const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const parse = (yaml: string) => parseConfig(head + yaml, 'config.yaml');

describe('configurationOf', () => {
  const inUse = (yaml: string) => {
    const { settings, daemon } = parse(yaml);
    return { settings: mergeSettings(settings, {}), daemon: mergeDaemonSettings(daemon, {}) };
  };

  it.each([
    ['mode: nftables\n'],
    [
      `mode: nftables
bindAddress: fd00::1
clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
nodePortAddresses: [primary, 10.0.0.0/8, all]
nftables: {masqueradeAll: true, minSyncPeriod: 250ms, syncPeriod: 1m30s}
conntrack: {maxPerCore: 0, min: 5, tcpEstablishedTimeout: 26h3m, udpTimeout: 1.5s, tcpBeLiberal: true}
hostnameOverride: node-1
oomScoreAdj: 0
featureGates: {AllowServiceExternalIPs: false}
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cni0}
clientConnection: {kubeconfig: /k, qps: -1, burst: 3}
logging: {verbosity: 3, format: json}
healthzBindAddress: "[::1]:1"
metricsBindAddress: 0.0.0.0:2
bindAddressHardFail: true
enableProfiling: true
configSyncPeriod: 1h
`,
    ],
    ['mode: ipvs\n'],
    [
      `mode: ipvs
nodePortAddresses: [primary]
iptables: {masqueradeAll: true}
ipvs: {scheduler: "mh,mh-fallback", excludeCIDRs: [10.0.0.0/8], strictARP: true, tcpTimeout: 15m, tcpFinTimeout: 2m, udpTimeout: 5m, minSyncPeriod: 1s, syncPeriod: 1m}
`,
    ],
  ])('gives the same settings when it is read: %j', (yaml) => {
    const { settings, daemon } = inUse(yaml);
    const config = parseConfig(JSON.stringify(configurationOf(settings, daemon)), 'written.json');
    expect(config.problems).toEqual([]);
    expect(mergeSettings(config.settings, {})).toEqual(settings);
    expect(mergeDaemonSettings(config.daemon, {})).toEqual(daemon);
  });

  it('has every field of kube-proxy’s', () => {
    const { settings, daemon } = inUse('mode: nftables\n');
    const names = Object.keys(configurationOf(settings, daemon)).sort();
    const known = Object.keys(configSchema.shape).filter((name) => name !== 'windowsRunAsService');
    expect(names).toEqual(known.sort());
  });

  it('has in mode ipvs what kube-proxy reads there', () => {
    const { settings, daemon } = inUse('mode: ipvs\nipvs: {scheduler: mh, syncPeriod: 1m}\n');
    expect(configurationOf(settings, daemon)).toMatchObject({
      mode: 'ipvs',
      nodePortAddresses: [],
      ipvs: { scheduler: 'mh', syncPeriod: '1m0s', minSyncPeriod: '0s' },
      nftables: { syncPeriod: '30s', minSyncPeriod: '1s' },
    });
  });

  it('prints durations as Go does', () => {
    const { settings, daemon } = inUse('conntrack: {udpTimeout: 90s, udpStreamTimeout: 26h0m0.5s}\n');
    expect(configurationOf(settings, daemon)['conntrack']).toMatchObject({
      tcpCloseWaitTimeout: '1h0m0s',
      tcpEstablishedTimeout: '24h0m0s',
      udpTimeout: '1m30s',
      udpStreamTimeout: '26h0m0.5s',
    });
  });
});
