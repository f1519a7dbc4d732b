import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  ConfigError,
  defaultSettings,
  FlagError,
  mergeSettings,
  parseConfig,
  parseSettingsFlags,
  readConfig,
} from './config.ts';
import { parseDurationMs } from './config-schema.ts';

const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const parse = (yaml: string) => parseConfig(head + yaml, 'config.yaml');

function failure(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return String(error);
  }
  return 'did not throw';
}

/** As `kubeadm init` writes it. */
const kubeadm = `bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
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
  masqueradeAll: true
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
logging:
  flushFrequency: 0
  options:
    json:
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

describe('parseConfig', () => {
  const clusterCidrs = [
    { family: 'ip', address: '10.244.0.0', prefixLength: 16 },
    { family: 'ip6', address: 'fd00:10:244::', prefixLength: 56 },
  ];

  it('reads what kubeadm writes without a word', () => {
    const { settings, problems, carried } = parse(kubeadm);
    expect(problems).toEqual([]);
    expect(settings).toEqual({ fileMode: '', bindAddress: '0.0.0.0', clusterCidrs, masqueradeAll: true });
    expect(carried).toMatchObject({ conntrack: { udpTimeout: '0s' }, logging: { verbosity: 0 } });
  });

  it('finds the configuration in a ConfigMap and among other documents', () => {
    const data = { 'config.conf': `${head}${kubeadm}`, 'kubeconfig.conf': 'x' };
    const map = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kube-proxy' }, data });
    expect(parseConfig(map, 'cm.json').settings.clusterCidrs).toEqual(clusterCidrs);
    const stream = `kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\n---\n${head}mode: ipvs\n`;
    expect(parseConfig(stream, 'all.yaml').settings.fileMode).toBe('ipvs');
  });

  it('takes masqueradeAll from the block that the mode goes by', () => {
    const both = 'iptables: {masqueradeAll: true}\nnftables: {masqueradeAll: false}\n';
    expect(parse(`mode: nftables\n${both}`).settings.masqueradeAll).toBe(false);
    expect(parse(`mode: ipvs\n${both}`).settings.masqueradeAll).toBe(true);
  });

  it('reads every setting', () => {
    const text = `mode: nftables
hostnameOverride: " Worker-1 "
bindAddress: fd00::1
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: cni0, interfaceNamePrefix: veth}
nodePortAddresses: [primary, 10.0.0.0/8, localhost, all]
featureGates: {AllowServiceExternalIPs: no}
`;
    expect(parse(text).settings).toEqual({
      fileMode: 'nftables',
      hostnameOverride: 'worker-1',
      bindAddress: 'fd00::1',
      detectLocalMode: 'BridgeInterface',
      bridgeInterface: 'cni0',
      interfaceNamePrefix: 'veth',
      nodePortAddresses: ['primary', { family: 'ip', address: '10.0.0.0', prefixLength: 8 }, 'localhost', 'all'],
      featureGates: { AllowServiceExternalIPs: false },
    });
  });

  it('tells of unknown fields and goes on without them', () => {
    const { problems, settings } = parse('mode: nftables\nmodus: x\nnftables: {masqueradeAll: true, maskBit: 3}\n');
    expect(settings).toEqual({ fileMode: 'nftables', masqueradeAll: true });
    expect(problems.map(({ object, message }) => `${object}: ${message}`).sort()).toEqual([
      'Configuration config.yaml: field "modus" is not known to KubeProxyConfiguration v1alpha1; it is ignored',
      'Configuration config.yaml: field "nftables.maskBit" is not known to KubeProxyConfiguration v1alpha1; it is ignored',
    ]);
  });

  it.each([
    ['mode: userspace', 'mode "userspace" is not one of empty, iptables, ipvs, nftables'],
    [
      'clusterCIDR: 10.244.0.0/40',
      'clusterCIDR "10.244.0.0/40" is not a CIDR block such as 10.244.0.0/16, or one of each family separated by a comma',
    ],
    ['clusterCIDR: 10.0.0.0/16,10.1.0.0/16', 'clusterCIDR "10.0.0.0/16,10.1.0.0/16" is not a CIDR block such as'],
    [
      'nodePortAddresses: [primary, 10.0.0.1]',
      'nodePortAddresses[1] "10.0.0.1" is not a CIDR block such as 192.168.0.0/16, primary, all or localhost',
    ],
    ['nodePortAddresses: primary', 'nodePortAddresses "primary" is not a list'],
    ['nftables: {masqueradeBit: 32}', 'nftables.masqueradeBit "32" is not a bit number (0-31)'],
    ['nftables: {masqueradeAll: "true"}', 'nftables.masqueradeAll "true" is not true or false'],
    ['iptables: {syncPeriod: 30x}', 'iptables.syncPeriod "30x" is not a duration of 0 or more, such as 30s or 1m30s'],
    ['conntrack: {udpTimeout: -1s}', 'conntrack.udpTimeout "-1s" is not a duration of 0 or more'],
    [
      'mode: nftables\nnftables: {minSyncPeriod: 1m, syncPeriod: 10s}',
      'nftables.minSyncPeriod "1m" is not at most syncPeriod ("10s")',
    ],
    ['oomScoreAdj: -1001', 'oomScoreAdj "-1001" is not a score (-1000 to 1000)'],
    ['bindAddress: eth0', 'bindAddress "eth0" is not an IP address'],
    [
      'metricsBindAddress: "0.0.0.0:99999"',
      'metricsBindAddress "0.0.0.0:99999" is not an address and port such as 0.0.0.0:10256',
    ],
    [
      'detectLocalMode: Cluster',
      'detectLocalMode "Cluster" is not one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix',
    ],
    ["detectLocal: {bridgeInterface: 'a\" drop'}", 'detectLocal.bridgeInterface "a\\" drop" is not an interface name'],
    ['hostnameOverride: a b', 'hostnameOverride "a b" is not a node name'],
    ['conntrack: 5', 'conntrack "5" is not an object'],
    ['featureGates: {X: 1}', 'featureGates.X "1" is not true or false'],
  ])('refuses %j', (text, message) => {
    expect(failure(() => parse(text))).toContain(`ConfigError: config.yaml: ${message}`);
  });

  it('names every fault', () => {
    expect(failure(() => parse('mode: x\nbindAddress: eth0'))).toMatch(
      /bindAddress "eth0".*\n.*mode "x"|mode "x".*\n.*bindAddress "eth0"/,
    );
  });

  it.each([
    [
      'kind: Pod',
      'c: holds no KubeProxyConfiguration; its kind and apiVersion (kubeproxy.config.k8s.io/v1alpha1) must be given',
    ],
    ['kind: KubeProxyConfiguration', 'c: apiVersion "" is not kubeproxy.config.k8s.io/v1alpha1'],
    [`${head}---\n${head}`, 'c: holds 2 KubeProxyConfigurations; leave one'],
    [`${head}mode: {`, 'c: line 3: '],
    ['{', 'c: is not valid JSON: line 1: '],
  ])('refuses the file %j', (text, message) => {
    expect(failure(() => parseConfig(text, 'c'))).toContain(`ConfigError: ${message}`);
  });

  it('throws nothing but ConfigError', () => {
    const field = fc.constantFrom(
      'mode',
      'conntrack',
      'iptables',
      'min',
      'clusterCIDR',
      'featureGates',
      'nodePortAddresses',
      'x',
      '__proto__',
    );
    fc.assert(
      fc.property(fc.dictionary(field, fc.jsonValue()), (fields) => {
        const text = JSON.stringify({
          apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
          kind: 'KubeProxyConfiguration',
          ...fields,
        });
        expect(failure(() => parseConfig(text, 'c'))).toMatch(/^did not throw$|^ConfigError: c: /);
      }),
      { numRuns: 500 },
    );
  });
});

describe('readConfig', () => {
  it('reads a file, and names one that it cannot read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vipmap-'));
    const path = join(folder, 'config.yaml');
    await expect(readConfig(path)).rejects.toThrow(ConfigError);
    await expect(readConfig(path)).rejects.toThrow(`cannot read the configuration "${path}": ENOENT`);
    await writeFile(path, `${head}mode: nftables\n`);
    expect((await readConfig(path)).settings.fileMode).toBe('nftables');
    await rm(folder, { recursive: true });
  });
});

describe('parseSettingsFlags', () => {
  it('reads flags and leaves others alone', () => {
    expect(
      parseSettingsFlags({
        hostnameOverride: 'Worker-1',
        clusterCidr: '10.244.0.0/16',
        nodeportAddresses: 'primary, 10.0.0.0/8',
        masqueradeAll: true,
        featureGates: 'A=true, B=false',
        podBridgeInterface: '',
        v: '4',
      }),
    ).toEqual({
      hostnameOverride: 'worker-1',
      clusterCidrs: [{ family: 'ip', address: '10.244.0.0', prefixLength: 16 }],
      nodePortAddresses: ['primary', { family: 'ip', address: '10.0.0.0', prefixLength: 8 }],
      masqueradeAll: true,
      featureGates: { A: true, B: false },
    });
  });

  it.each([
    [{ clusterCidr: '10.0.0.0' }, '--cluster-cidr "10.0.0.0" is not a CIDR block such as 10.244.0.0/16'],
    [{ nodeportAddresses: 'primary,x' }, '--nodeport-addresses "primary,x" is not a list of CIDR blocks'],
    [{ featureGates: 'A' }, '--feature-gates "A" is not a list such as AllowServiceExternalIPs=false'],
    [{ masqueradeAll: 'maybe' }, '--masquerade-all "maybe" is not true or false'],
    [
      { podInterfaceNamePrefix: 'a-name-of-16-let' },
      '--pod-interface-name-prefix "a-name-of-16-let" is not an interface name',
    ],
    [{ bindAddress: true }, '--bind-address "true" is not an IP address'],
  ])('refuses %j', (raw, message) => {
    expect(() => parseSettingsFlags(raw)).toThrow(FlagError);
    expect(() => parseSettingsFlags(raw)).toThrow(message);
  });
});

describe('mergeSettings', () => {
  it('puts flags before the file before defaults, feature gates one by one', () => {
    const merged = mergeSettings(
      { fileMode: 'ipvs', masqueradeAll: true, featureGates: { A: true, B: true } },
      { masqueradeAll: false, featureGates: { B: false } },
    );
    expect(merged).toEqual({
      ...defaultSettings,
      mode: 'ipvs',
      fileMode: 'ipvs',
      nodePortAddresses: ['all'],
      featureGates: { A: true, B: false },
    });
  });

  it('takes an empty list of node port addresses for the default', () => {
    expect(mergeSettings({ nodePortAddresses: [] }, {}).nodePortAddresses).toEqual(['primary']);
    expect(mergeSettings({ nodePortAddresses: [] }, { mode: 'ipvs' }).nodePortAddresses).toEqual(['all']);
  });
});

it.each([
  ['30s', 30_000],
  ['1m30.5s', 90_500],
  ['100ms', 100],
  ['0', 0],
  ['-1h', -3_600_000],
  ['', undefined],
  ['30', undefined],
  ['s', undefined],
  ['1s x', undefined],
  [30, undefined],
])('parseDurationMs(%j) is %j', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});
