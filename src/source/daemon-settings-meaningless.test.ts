import { parseConfig } from './config.ts';
import { meaninglessFields } from './daemon-settings-meaningless.ts';

const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const parse = (yaml: string) => parseConfig(head + yaml, 'config.yaml');

describe('meaninglessFields', () => {
  it('names every field without meaning', () => {
    const config = parse(`mode: nftables
featureGates: {AllowServiceExternalIPs: true, NFTablesProxyMode: true}
clientConnection: {acceptContentTypes: x, contentType: application/cbor, qps: 6, burst: 11}
configSyncPeriod: 1m
logging: {flushFrequency: 1s, vmodule: [{filePattern: a, verbosity: 1}], options: {json: {infoBufferSize: 1Ki, splitStream: true}}}
enableProfiling: true
showHiddenMetricsForVersion: "1.35"
iptables: {masqueradeBit: 0, localhostNodePorts: false, masqueradeAll: true, syncPeriod: 1m, minSyncPeriod: 2s}
nftables: {masqueradeBit: 15, masqueradeAll: true, syncPeriod: 1m, minSyncPeriod: 2s}
ipvs:
  {scheduler: wrr, excludeCIDRs: [10.0.0.0/8], strictARP: true, tcpTimeout: 1s, tcpFinTimeout: 1s, udpTimeout: 1s, syncPeriod: 1m}
winkernel: {networkName: a, sourceVip: b, enableDSR: true, rootHnsEndpointName: c, forwardHealthCheckVip: true}
windowsRunAsService: true
portRange: 1-2
`);
    const named = meaninglessFields(config);
    expect(named.map((line) => line.replace(/:.*/, ''))).toEqual([
      'clientConnection.acceptContentTypes',
      'clientConnection.contentType',
      'clientConnection.qps',
      'clientConnection.burst',
      'configSyncPeriod',
      'logging.flushFrequency',
      'logging.options.json.infoBufferSize',
      'logging.options.json.splitStream',
      'logging.vmodule',
      'enableProfiling',
      'showHiddenMetricsForVersion',
      'iptables.masqueradeBit',
      'nftables.masqueradeBit',
      'iptables.localhostNodePorts',
      'iptables.masqueradeAll',
      'iptables.syncPeriod',
      'iptables.minSyncPeriod',
      'ipvs.syncPeriod',
      'ipvs.scheduler',
      'ipvs.excludeCIDRs',
      'ipvs.strictARP',
      'ipvs.tcpTimeout',
      'ipvs.tcpFinTimeout',
      'ipvs.udpTimeout',
      'winkernel.networkName',
      'winkernel.sourceVip',
      'winkernel.rootHnsEndpointName',
      'winkernel.enableDSR',
      'winkernel.forwardHealthCheckVip',
      'windowsRunAsService',
      'portRange',
      'featureGates.NFTablesProxyMode',
    ]);
    expect(named).toContain('nftables.masqueradeBit: no packet marks are used');
    expect(named).toContain('iptables.masqueradeAll: it counts with mode iptables or ipvs only');
  });

  it('leaves alone what counts in the mode of the file', () => {
    const iptables = 'iptables: {masqueradeAll: true, syncPeriod: 1m, minSyncPeriod: 2s}\n';
    expect(meaninglessFields(parse(iptables))).toEqual([]);
    expect(meaninglessFields(parse(`mode: ipvs\n${iptables}`))).toEqual([
      'iptables.syncPeriod: it counts with mode iptables only',
      'iptables.minSyncPeriod: it counts with mode iptables only',
    ]);
  });
});
