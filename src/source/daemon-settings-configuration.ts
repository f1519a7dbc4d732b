import isEqual from 'lodash-es/isEqual.js';
import type { Cidr } from '../net/cidr.ts';
import type { DaemonSettings } from './daemon-settings.ts';
import type { Json } from './fields.ts';
import { printScheduler } from './ipvs-scheduler.ts';
import { defaultNodePortAddresses, type NodePortAddress, type Settings } from './settings.ts';

/**
 * The settings in use as a KubeProxyConfiguration v1alpha1, every field of kube-proxy's with a value: for /configz and
 * --write-config-to. Read back it gives the same settings, but for what a file cannot say: that there is to be no server, and how long
 * real servers keep their connections.
 */
export function configurationOf(settings: Settings, daemon: DaemonSettings): Json {
  const { conntrack } = daemon;
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    bindAddress: settings.bindAddress,
    bindAddressHardFail: daemon.bindAddressHardFail,
    clientConnection: {
      acceptContentTypes: '',
      burst: daemon.burst,
      contentType: 'application/json',
      kubeconfig: daemon.kubeconfig,
      qps: daemon.qps,
    },
    clusterCIDR: settings.clusterCidrs.map(printCidr).join(','),
    configSyncPeriod: duration(daemon.configSyncPeriodMs),
    conntrack: {
      maxPerCore: conntrack.maxPerCore,
      min: conntrack.min,
      tcpBeLiberal: conntrack.tcpBeLiberal,
      tcpCloseWaitTimeout: duration(conntrack.tcpCloseWaitTimeoutMs),
      tcpEstablishedTimeout: duration(conntrack.tcpEstablishedTimeoutMs),
      udpStreamTimeout: duration(conntrack.udpStreamTimeoutMs),
      udpTimeout: duration(conntrack.udpTimeoutMs),
    },
    detectLocal: { bridgeInterface: settings.bridgeInterface, interfaceNamePrefix: settings.interfaceNamePrefix },
    detectLocalMode: settings.detectLocalMode,
    enableProfiling: daemon.enableProfiling,
    featureGates: settings.featureGates,
    healthzBindAddress: daemon.healthzBindAddress,
    hostnameOverride: settings.hostnameOverride,
    ...modeBlocks(settings, daemon),
    kind: 'KubeProxyConfiguration',
    logging: { flushFrequency: 0, format: daemon.logFormat, verbosity: daemon.verbosity },
    metricsBindAddress: daemon.metricsBindAddress,
    // What runs, whatever was asked for.
    mode: settings.mode,
    nodePortAddresses: nodePortAddresses(settings),
    oomScoreAdj: daemon.oomScoreAdj,
    portRange: '',
    showHiddenMetricsForVersion: '',
    winkernel: {
      enableDSR: false,
      forwardHealthCheckVip: false,
      networkName: '',
      rootHnsEndpointName: '',
      sourceVip: '',
    },
  };
}

/** What has no meaning in the mode that runs has kube-proxy's defaults. */
function modeBlocks(settings: Settings, daemon: DaemonSettings): Json {
  const { masqueradeAll } = settings;
  const periods = { minSyncPeriod: duration(daemon.minSyncPeriodMs), syncPeriod: duration(daemon.syncPeriodMs) };
  switch (settings.mode) {
    case 'nftables':
      return { ...defaultBlocks, nftables: { masqueradeAll, masqueradeBit: 14, ...periods } };
    case 'ipvs':
      return {
        ...defaultBlocks,
        iptables: { ...defaultBlocks.iptables, masqueradeAll },
        ipvs: {
          excludeCIDRs: settings.ipvsExcludeCidrs.map(printCidr),
          scheduler: printScheduler(settings.ipvsScheduler),
          strictARP: daemon.ipvs.strictArp,
          tcpFinTimeout: duration(daemon.ipvs.tcpFinTimeoutMs),
          tcpTimeout: duration(daemon.ipvs.tcpTimeoutMs),
          udpTimeout: duration(daemon.ipvs.udpTimeoutMs),
          ...periods,
        },
      };
  }
}

const defaultBlocks = {
  iptables: {
    localhostNodePorts: true,
    masqueradeAll: false,
    masqueradeBit: 14,
    minSyncPeriod: '1s',
    syncPeriod: '30s',
  },
  ipvs: {
    excludeCIDRs: [],
    minSyncPeriod: '0s',
    scheduler: '',
    strictARP: false,
    syncPeriod: '30s',
    tcpFinTimeout: '0s',
    tcpTimeout: '0s',
    udpTimeout: '0s',
  },
  nftables: { masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: '1s', syncPeriod: '30s' },
} as const satisfies Json;

/** kube-proxy knows no word for all addresses, which are its default in mode ipvs. */
function nodePortAddresses(settings: Settings): readonly string[] {
  const isDefault = settings.mode === 'ipvs' && isEqual(settings.nodePortAddresses, defaultNodePortAddresses.ipvs);
  return isDefault ? [] : settings.nodePortAddresses.map(printNodePortAddress);
}

function printCidr({ address, prefixLength }: Cidr): string {
  return `${address}/${prefixLength}`;
}

function printNodePortAddress(address: NodePortAddress): string {
  return typeof address === 'string' ? address : printCidr(address);
}

/** As Go prints it: `1h0m0s`, `30s`, `1.5s`, `250ms`, `0s`. */
function duration(ms: number): string {
  if (ms > 0 && ms < 1000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = `${Number(((ms % 60_000) / 1000).toFixed(9))}s`;
  if (minutes === 0) return seconds;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`;
}
