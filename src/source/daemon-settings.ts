import type { ConfigFile } from './config-schema.ts';
import { modeBlock, type ProxyMode } from './mode.ts';
import { FlagError } from './settings.ts';

export type LogFormat = 'text' | 'json';

/** The node's connection tracking as kube-proxy's settings ask for it. A timeout of 0 leaves the kernel's as it is. */
export interface ConntrackSettings {
  /** Connections for each CPU; 0 leaves the kernel's limit as it is, whatever `min` says. */
  readonly maxPerCore: number;
  /** The least limit, however few CPUs there are. */
  readonly min: number;
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  /** Packets outside of a connection's window are not INVALID. */
  readonly tcpBeLiberal: boolean;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

/**
 * What mode ipvs asks of the kernel beside virtual servers, and how it is changed: nothing of this follows from a cluster's state or
 * shows in what is compiled, so it stands here and not among the Settings. A timeout of 0 leaves the kernel's as it is.
 */
export interface IpvsSettings {
  /** The node answers ARP for an address on the interface alone that has it, as announcers of service addresses (MetalLB) need. */
  readonly strictArp: boolean;
  /** Of idle TCP connections. */
  readonly tcpTimeoutMs: number;
  /** Of TCP connections after a FIN. */
  readonly tcpFinTimeoutMs: number;
  readonly udpTimeoutMs: number;
  /** For so long a real server that leaves keeps the connections that it has; 0: until they end. No field in kube-proxy's file. */
  readonly terminationLimitMs: number;
}

/** The part of kube-proxy's configuration that decides how the daemon works, beside its rules. */
export interface DaemonSettings {
  /** As --mode, --proxy-mode or the file has it, in this order; `''`: none of them names one. Settings have what comes of it. */
  readonly mode: ProxyMode;
  /** `0.0.0.0:10256`; an address without a port has the server's default; `''`: no server. */
  readonly healthzBindAddress: string;
  /** `127.0.0.1:10249`; as above. */
  readonly metricsBindAddress: string;
  /** A server that cannot listen ends the daemon. */
  readonly bindAddressHardFail: boolean;
  readonly enableProfiling: boolean;
  /** A kubeconfig file; `''`: none is named. */
  readonly kubeconfig: string;
  /** The API server's URL, before the kubeconfig's; `''`: none is named. */
  readonly apiServer: string;
  /** Requests to the API server a second; negative: no limit. */
  readonly qps: number;
  readonly burst: number;
  readonly configSyncPeriodMs: number;
  /** Time until the next attempt after a failed sync; twice as long without a sync that is due is unhealthy. */
  readonly syncPeriodMs: number;
  /** Time from one sync to the next; 0: as soon as something changed. */
  readonly minSyncPeriodMs: number;
  readonly oomScoreAdj: number;
  readonly conntrack: ConntrackSettings;
  readonly ipvs: IpvsSettings;
  /** klog's level: 0 is the least. */
  readonly verbosity: number;
  readonly logFormat: LogFormat;
}

/** The settings that a file or flags name; of conntrack and ipvs also one at a time. */
export type DaemonOverrides = Partial<Omit<DaemonSettings, 'conntrack' | 'ipvs'>> & {
  readonly conntrack?: Partial<ConntrackSettings>;
  readonly ipvs?: Partial<IpvsSettings>;
};

/** kube-proxy's defaults, but for minSyncPeriod (there 1 s): a change here costs a few elements, so that nothing is won by waiting. */
export const defaultDaemonSettings: DaemonSettings = {
  mode: '',
  healthzBindAddress: '0.0.0.0:10256',
  metricsBindAddress: '127.0.0.1:10249',
  bindAddressHardFail: false,
  enableProfiling: false,
  kubeconfig: '',
  apiServer: '',
  qps: 5,
  burst: 10,
  configSyncPeriodMs: 900_000,
  syncPeriodMs: 30_000,
  minSyncPeriodMs: 0,
  oomScoreAdj: -999,
  conntrack: {
    maxPerCore: 32_768,
    min: 131_072,
    tcpEstablishedTimeoutMs: 86_400_000,
    tcpCloseWaitTimeoutMs: 3_600_000,
    tcpBeLiberal: false,
    udpTimeoutMs: 0,
    udpStreamTimeoutMs: 0,
  },
  ipvs: { strictArp: false, tcpTimeoutMs: 0, tcpFinTimeoutMs: 0, udpTimeoutMs: 0, terminationLimitMs: 900_000 },
  verbosity: 0,
  logFormat: 'text',
};

/** Both together, the second before the first. */
export function joinOverrides(first: DaemonOverrides, second: DaemonOverrides): DaemonOverrides {
  const conntrack = { ...first.conntrack, ...second.conntrack };
  const ipvs = { ...first.ipvs, ...second.ipvs };
  return { ...first, ...second, ...(isEmpty(conntrack) ? {} : { conntrack }), ...(isEmpty(ipvs) ? {} : { ipvs }) };
}

/**
 * The settings, a flag's before the file's before the default. Throws FlagError where a flag makes the shortest time between syncs
 * longer than the time after which one is due, as kube-proxy does; parseConfig has refused such a file.
 */
export function mergeDaemonSettings(file: DaemonOverrides, flags: DaemonOverrides): DaemonSettings {
  const { conntrack, ipvs, ...given } = joinOverrides(file, flags);
  const merged = {
    ...defaultDaemonSettings,
    ...given,
    conntrack: { ...defaultDaemonSettings.conntrack, ...conntrack },
    ipvs: { ...defaultDaemonSettings.ipvs, ...ipvs },
  };
  const { minSyncPeriodMs, syncPeriodMs } = merged;
  if (minSyncPeriodMs <= syncPeriodMs) return merged;
  const prefix = merged.mode === 'ipvs' ? 'ipvs' : 'iptables';
  const [flag, found, expected] =
    flags.minSyncPeriodMs === undefined
      ? ['sync-period', syncPeriodMs, `at least the minimum sync period (${minSyncPeriodMs / 1000}s)`]
      : ['min-sync-period', minSyncPeriodMs, `at most the sync period (${syncPeriodMs / 1000}s)`];
  throw new FlagError(`${prefix}-${flag}`, `${found / 1000}s`, expected);
}

/**
 * What a configuration file says of the daemon, its blocks for modes as `counting` says. As in Go, most fields that are empty or 0
 * stand for "not set".
 */
export function daemonSettingsOf(config: ConfigFile, counting: ProxyMode): DaemonOverrides {
  const { clientConnection = {}, logging = {}, mode = '' } = config;
  const periods = config[modeBlock(counting)];
  // The servers' defaults follow the family of the node's address.
  const isSix = (config.bindAddress || '').includes(':');
  const healthz = config.healthzBindAddress || (isSix ? '[::]:10256' : undefined);
  const metrics = config.metricsBindAddress || (isSix ? '[::1]:10249' : undefined);
  return defined<DaemonOverrides>({
    mode: mode || undefined,
    healthzBindAddress: healthz,
    metricsBindAddress: metrics,
    bindAddressHardFail: config.bindAddressHardFail,
    enableProfiling: config.enableProfiling,
    kubeconfig: clientConnection.kubeconfig || undefined,
    qps: clientConnection.qps || undefined,
    burst: clientConnection.burst || undefined,
    configSyncPeriodMs: config.configSyncPeriod || undefined,
    syncPeriodMs: periods?.syncPeriod || undefined,
    minSyncPeriodMs: periods?.minSyncPeriod || undefined,
    oomScoreAdj: config.oomScoreAdj,
    conntrack: config.conntrack && conntrackOf(config.conntrack),
    ipvs: config.ipvs && ipvsOf(config.ipvs),
    verbosity: logging.verbosity || undefined,
    logFormat: logging.format || undefined,
  });
}

/** Of conntrack's fields only the first four have a default that is not 0, so a 0 in them is a value. */
function conntrackOf(conntrack: NonNullable<ConfigFile['conntrack']>): Partial<ConntrackSettings> | undefined {
  const settings = defined<Partial<ConntrackSettings>>({
    maxPerCore: conntrack.maxPerCore,
    min: conntrack.min,
    tcpEstablishedTimeoutMs: conntrack.tcpEstablishedTimeout,
    tcpCloseWaitTimeoutMs: conntrack.tcpCloseWaitTimeout,
    tcpBeLiberal: conntrack.tcpBeLiberal,
    udpTimeoutMs: conntrack.udpTimeout || undefined,
    udpStreamTimeoutMs: conntrack.udpStreamTimeout || undefined,
  });
  return isEmpty(settings) ? undefined : settings;
}

function ipvsOf(ipvs: NonNullable<ConfigFile['ipvs']>): Partial<IpvsSettings> | undefined {
  const settings = defined<Partial<IpvsSettings>>({
    strictArp: ipvs.strictARP || undefined,
    tcpTimeoutMs: ipvs.tcpTimeout || undefined,
    tcpFinTimeoutMs: ipvs.tcpFinTimeout || undefined,
    udpTimeoutMs: ipvs.udpTimeout || undefined,
  });
  return isEmpty(settings) ? undefined : settings;
}

function isEmpty(settings: object): boolean {
  return Object.keys(settings).length === 0;
}

function defined<T extends object>(fields: { readonly [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
