import { aDuration, aHostPort, aLogFormat } from './config-schema.ts';
import {
  type ConntrackSettings,
  type DaemonOverrides,
  defaultDaemonSettings,
  type IpvsSettings,
  joinOverrides,
} from './daemon-settings.ts';
import { meaninglessGates, reasons } from './daemon-settings-meaningless.ts';
import { type Accepts, aText } from './fields.ts';
import { aMode, aRunningMode, type ProxyMode, runningMode, type RunningMode } from './mode.ts';
import { type FlagKind, ownFlags, type ProxyFlag, proxyFlags } from './proxy-flags-table.ts';
import { aFlag, FlagError, parseSettingsFlags, type RawFlags, type Settings } from './settings.ts';

export { type FlagKind, ownFlags, type ProxyFlag, proxyFlags } from './proxy-flags-table.ts';

/** What kube-proxy's flags, and ours beside them, come to. */
export interface ParsedFlags {
  readonly settings: Partial<Settings>;
  readonly daemon: DaemonOverrides;
  /** What the process is to do instead of being a daemon. */
  readonly actions: { readonly cleanup: boolean; readonly initOnly: boolean; readonly writeConfigTo: string };
  /** Flags that are given and have no meaning here: `--iptables-masquerade-bit: no packet marks are used`. */
  readonly meaningless: readonly string[];
}

/**
 * kube-proxy's flags and ours (--mode, ownFlags), by the names that commander gives them: `{ nodeportAddresses: 'primary', v: '4' }`;
 * of a list that was given several times, all by commas. Some count with one mode only: that of --mode, else of --proxy-mode, else
 * `fileMode`. Other options, and flags without a value, are left alone. Throws FlagError on a value that is not accepted; of
 * kube-proxy's flags that is one that kube-proxy would not take either.
 */
export function parseProxyFlags(raw: RawFlags, fileMode: ProxyMode = ''): ParsedFlags {
  const settings = parseSettingsFlags(raw);
  const mode = settings.mode ?? runningMode(fileMode);
  return {
    settings,
    daemon: [serverFlags(raw), ...daemonFlags.map((read) => read(raw)), periodFlags(raw, mode)].reduce(joinOverrides),
    actions: {
      cleanup: readFlag(raw, 'cleanup', aFlag) ?? false,
      initOnly: readFlag(raw, 'init-only', aFlag) ?? false,
      writeConfigTo: readFlag(raw, 'write-config-to', aText) ?? '',
    },
    meaningless: [...meaninglessFlags(raw, mode), ...meaninglessGates('--feature-gates ', settings.featureGates ?? {})],
  };
}

/** The mode that --mode or --proxy-mode asks for, which readConfig takes. Throws FlagError as parseProxyFlags does. */
export function requestedMode({ mode, proxyMode }: RawFlags): RunningMode | undefined {
  return parseSettingsFlags({ mode, proxyMode }).mode;
}

/** commander's name for a flag: `nodeport-addresses` is `nodeportAddresses`. */
export function flagKey(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** A flag's value; undefined if there is none. An empty text means "not set", which templates make use of. */
function readFlag<T>(raw: RawFlags, name: string, accepts: Accepts<T>): T | undefined {
  const value = raw[flagKey(name)];
  if (value === undefined || value === '') return undefined;
  const parsed = accepts.parse(value);
  if (parsed === undefined) throw new FlagError(name, value, accepts.expected);
  return parsed;
}

function anInteger(least: number, most: number, expected: string): Accepts<number> {
  return {
    expected,
    parse: (value) => {
      const number = typeof value === 'string' && /^[-+]?\d+$/.test(value) ? Number(value) : NaN;
      return number >= least && number <= most ? number : undefined;
    },
  };
}

/** kube-proxy's whole numbers have 32 bits. */
const most = 2 ** 31 - 1;
const aCount = anInteger(0, most, 'a whole number of 0 or more');
const aPort = anInteger(0, 65535, 'a port (1-65535), or 0 for no server');
const aScore = anInteger(-1000, 1000, 'a score (-1000 to 1000)');
const aBit = anInteger(0, 31, 'a bit number (0-31)');

/** pflag takes `-v=4` and `-v4` alike; commander leaves the `=` to the value. */
const aLevel: Accepts<number> = {
  expected: 'a whole number of 0 or more',
  parse: (value) => aCount.parse(typeof value === 'string' ? value.replace(/^=/, '') : value),
};

const aNumber: Accepts<number> = {
  expected: 'a number',
  parse: (value) => {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : NaN;
    return Number.isFinite(number) ? number : undefined;
  },
};

const aPeriod: Accepts<number> = {
  expected: 'a duration of more than 0, such as 30s or 1m30s',
  parse: (value) => aDuration.parse(value) || undefined,
};

type ReadFlag = (raw: RawFlags) => DaemonOverrides;

function daemonFlag<K extends Exclude<keyof DaemonOverrides, 'conntrack' | 'ipvs'>>(
  name: string,
  setting: K,
  accepts: Accepts<NonNullable<DaemonOverrides[K]>>,
): ReadFlag {
  return (raw) => {
    const value = readFlag(raw, name, accepts);
    return value === undefined ? {} : { [setting]: value };
  };
}

function conntrackFlag<K extends keyof ConntrackSettings>(
  name: string,
  setting: K,
  accepts: Accepts<ConntrackSettings[K]>,
): ReadFlag {
  return (raw) => {
    const value = readFlag(raw, name, accepts);
    return value === undefined ? {} : { conntrack: { [setting]: value } };
  };
}

function ipvsFlag<K extends keyof IpvsSettings>(name: string, setting: K, accepts: Accepts<IpvsSettings[K]>): ReadFlag {
  return (raw) => {
    const value = readFlag(raw, name, accepts);
    return value === undefined ? {} : { ipvs: { [setting]: value } };
  };
}

const daemonFlags: readonly ReadFlag[] = [
  daemonFlag('proxy-mode', 'mode', aMode),
  daemonFlag('mode', 'mode', aRunningMode),
  daemonFlag('bind-address-hard-fail', 'bindAddressHardFail', aFlag),
  daemonFlag('profiling', 'enableProfiling', aFlag),
  daemonFlag('kubeconfig', 'kubeconfig', aText),
  daemonFlag('master', 'apiServer', aText),
  daemonFlag('kube-api-qps', 'qps', aNumber),
  daemonFlag('kube-api-burst', 'burst', aCount),
  daemonFlag('config-sync-period', 'configSyncPeriodMs', aPeriod),
  daemonFlag('oom-score-adj', 'oomScoreAdj', aScore),
  daemonFlag('v', 'verbosity', aLevel),
  daemonFlag('logging-format', 'logFormat', aLogFormat),
  conntrackFlag('conntrack-max-per-core', 'maxPerCore', aCount),
  conntrackFlag('conntrack-min', 'min', aCount),
  conntrackFlag('conntrack-tcp-timeout-established', 'tcpEstablishedTimeoutMs', aDuration),
  conntrackFlag('conntrack-tcp-timeout-close-wait', 'tcpCloseWaitTimeoutMs', aDuration),
  conntrackFlag('conntrack-tcp-be-liberal', 'tcpBeLiberal', aFlag),
  conntrackFlag('conntrack-udp-timeout', 'udpTimeoutMs', aDuration),
  conntrackFlag('conntrack-udp-timeout-stream', 'udpStreamTimeoutMs', aDuration),
  ipvsFlag('ipvs-strict-arp', 'strictArp', aFlag),
  ipvsFlag('ipvs-tcp-timeout', 'tcpTimeoutMs', aDuration),
  ipvsFlag('ipvs-tcpfin-timeout', 'tcpFinTimeoutMs', aDuration),
  ipvsFlag('ipvs-udp-timeout', 'udpTimeoutMs', aDuration),
  ipvsFlag('ipvs-termination-limit', 'terminationLimitMs', aDuration),
];

function serverFlags(raw: RawFlags): DaemonOverrides {
  const healthz = serverAddress(raw, 'healthz', defaultDaemonSettings.healthzBindAddress);
  // kube-proxy says of this flag alone that an empty address asks for no server.
  const metrics =
    raw['metricsBindAddress'] === '' ? '' : serverAddress(raw, 'metrics', defaultDaemonSettings.metricsBindAddress);
  return {
    ...(healthz === undefined ? {} : { healthzBindAddress: healthz }),
    ...(metrics === undefined ? {} : { metricsBindAddress: metrics }),
  };
}

/** An address's own port is before that of the deprecated flag, whose 0 is before everything. */
function serverAddress(raw: RawFlags, server: 'healthz' | 'metrics', fallback: string): string | undefined {
  const address = readFlag(raw, `${server}-bind-address`, aHostPort);
  const port = readFlag(raw, `${server}-port`, aPort);
  if (port === undefined) return address;
  if (port === 0) return '';
  if (address === undefined) return fallback.replace(/\d+$/, String(port));
  const hasPort = /^[^:]*:\d+$|\]:\d+$/.test(address);
  if (hasPort) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Each pair counts with its own mode only; that of iptables with nftables too. */
function periodFlags(raw: RawFlags, mode: RunningMode): DaemonOverrides {
  const prefix = mode === 'ipvs' ? 'ipvs' : 'iptables';
  const syncPeriodMs = readFlag(raw, `${prefix}-sync-period`, aPeriod);
  const minSyncPeriodMs = readFlag(raw, `${prefix}-min-sync-period`, aDuration);
  return {
    ...(syncPeriodMs === undefined ? {} : { syncPeriodMs }),
    ...(minSyncPeriodMs === undefined ? {} : { minSyncPeriodMs }),
  };
}

/** Even where nothing follows from a value, one that kube-proxy would refuse is a mistake that somebody wants to know of. */
const byKind: Readonly<Record<FlagKind, Accepts<unknown>>> = {
  text: aText,
  boolean: aFlag,
  integer: anInteger(-most - 1, most, 'a whole number'),
  number: aNumber,
  duration: aDuration,
  list: aText,
};

function meaninglessFlags(raw: RawFlags, mode: RunningMode): readonly string[] {
  return [...proxyFlags, ...ownFlags].flatMap((flag) => {
    const { name, kind } = flag;
    const why = whyMeaningless(flag, mode);
    if (why === undefined) return [];
    const value = readFlag(raw, name, name === 'iptables-masquerade-bit' ? aBit : byKind[kind]);
    // What is switched off is as good as not asked for.
    return value === undefined || value === false ? [] : [`--${name}: ${why}`];
  });
}

function whyMeaningless({ meaningless, onlyWith }: ProxyFlag, mode: RunningMode): string | undefined {
  if (meaningless !== undefined || onlyWith === undefined || onlyWith === mode) return meaningless;
  return reasons.otherMode(onlyWith === 'ipvs' ? 'ipvs' : 'iptables or nftables');
}
