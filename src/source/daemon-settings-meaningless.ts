import get from 'lodash-es/get.js';
import { parseDurationMs } from './config-schema.ts';
import type { Json } from './fields.ts';
import { countingMode, modeBlock, type ProxyMode, runningMode, type RunningMode } from './mode.ts';
import { externalIpsGate, type Settings } from './settings.ts';

/** Why settings of kube-proxy's have no meaning here, in the words of the log. */
export const reasons = {
  marks: 'no packet marks are used',
  loopback: 'node ports are never offered on loopback',
  windows: 'only Windows has it',
  contentType: 'the API server is asked for JSON',
  requests: 'a few watches are all that the API server is asked for',
  resync: 'objects are watched and need no refresh',
  hiddenMetrics: 'no metrics are hidden',
  profiling: 'there is no profiler of Go in it',
  verbosity: 'one verbosity holds for all messages',
  flush: 'each message is written at once',
  streams: 'all messages go to standard error',
  identity: 'the file is not read',
  portRange: 'kube-proxy does not use it either',
  gate: 'it switches nothing here',
  otherMode: (mode: string) => `it counts with mode ${mode} only`,
  otherFileMode: (mode: string) => `it counts only in a file that says mode ${mode}`,
} as const;

interface Field {
  /** `nftables.masqueradeBit` */
  readonly path: string;
  /** What is as good as not set; durations in milliseconds. */
  readonly defaults: readonly unknown[];
  /** Undefined where the field has a meaning with these modes. */
  readonly reason: (modes: Modes) => string | undefined;
}

interface Modes {
  /** By which the file's blocks count. */
  readonly counting: ProxyMode;
  readonly running: RunningMode;
}

function never(reason: string, defaults: readonly unknown[], ...paths: readonly string[]): readonly Field[] {
  return paths.map((path) => ({ path, defaults, reason: () => reason }));
}

/** Where the mode runs and the file says another, "only with that mode" would not be the truth. */
function elsewhere(mode: ProxyMode, running: RunningMode, modes: string = mode): string {
  return mode === running ? reasons.otherFileMode(mode) : reasons.otherMode(modes);
}

function syncPeriods(block: 'iptables' | 'ipvs' | 'nftables', minDefaultMs: number): readonly Field[] {
  const reason = ({ counting, running }: Modes) =>
    modeBlock(counting) === block ? undefined : elsewhere(block, running);
  return [
    { path: `${block}.syncPeriod`, defaults: [0, 30_000], reason },
    { path: `${block}.minSyncPeriod`, defaults: [0, minDefaultMs], reason },
  ];
}

function withIpvs(defaults: readonly unknown[], ...names: readonly string[]): readonly Field[] {
  const reason = ({ running }: Modes) => (running === 'ipvs' ? undefined : reasons.otherMode('ipvs'));
  return names.map((name) => ({ path: `ipvs.${name}`, defaults, reason }));
}

const masqueradeAll: readonly Field[] = [
  {
    path: 'iptables.masqueradeAll',
    defaults: [false],
    reason: ({ counting, running }) =>
      counting === 'nftables' ? elsewhere('ipvs', running, 'iptables or ipvs') : undefined,
  },
  {
    path: 'nftables.masqueradeAll',
    defaults: [false],
    reason: ({ counting, running }) => (counting === 'nftables' ? undefined : elsewhere('nftables', running)),
  },
];

const fields: readonly Field[] = [
  ...never(reasons.contentType, ['', 'application/json'], 'clientConnection.acceptContentTypes'),
  ...never(
    reasons.contentType,
    ['', 'application/vnd.kubernetes.protobuf', 'application/json'],
    'clientConnection.contentType',
  ),
  ...never(reasons.requests, [0, 5], 'clientConnection.qps'),
  ...never(reasons.requests, [0, 10], 'clientConnection.burst'),
  ...never(reasons.resync, [0, 900_000], 'configSyncPeriod'),
  ...never(reasons.flush, [0, 5_000, 5e9], 'logging.flushFrequency'),
  ...never(reasons.flush, [0], 'logging.options.text.infoBufferSize', 'logging.options.json.infoBufferSize'),
  ...never(reasons.streams, [false], 'logging.options.text.splitStream', 'logging.options.json.splitStream'),
  ...never(reasons.verbosity, [], 'logging.vmodule'),
  ...never(reasons.profiling, [false], 'enableProfiling'),
  ...never(reasons.hiddenMetrics, [''], 'showHiddenMetricsForVersion'),
  ...never(reasons.marks, [14], 'iptables.masqueradeBit', 'nftables.masqueradeBit'),
  ...never(reasons.loopback, [true], 'iptables.localhostNodePorts'),
  ...masqueradeAll,
  ...syncPeriods('iptables', 1000),
  ...syncPeriods('ipvs', 0),
  ...syncPeriods('nftables', 1000),
  ...withIpvs([''], 'scheduler'),
  ...withIpvs([], 'excludeCIDRs'),
  ...withIpvs([false], 'strictARP'),
  ...withIpvs([0], 'tcpTimeout', 'tcpFinTimeout', 'udpTimeout'),
  ...never(reasons.windows, [''], 'winkernel.networkName', 'winkernel.sourceVip', 'winkernel.rootHnsEndpointName'),
  ...never(reasons.windows, [false], 'winkernel.enableDSR', 'winkernel.forwardHealthCheckVip', 'windowsRunAsService'),
  ...never(reasons.portRange, [''], 'portRange'),
];

/**
 * The fields of a configuration that are set to something other than kube-proxy's default and have no meaning here, each with the
 * reason: `nftables.masqueradeBit: no packet marks are used`. Takes what parseConfig gives, and the mode that runs where a flag may
 * have changed it.
 */
export function meaninglessFields(
  config: { readonly carried: Json; readonly settings: Partial<Settings> },
  mode?: RunningMode,
): readonly string[] {
  const { fileMode = '', featureGates = {} } = config.settings;
  const running = mode ?? runningMode(fileMode);
  const modes = { counting: countingMode(fileMode, running), running };
  const named = fields.flatMap(({ path, defaults, reason }) => {
    const why = reason(modes);
    const isNamed = why !== undefined && isSet(get(config.carried, path.split('.')), defaults);
    return isNamed ? [`${path}: ${why}`] : [];
  });
  return [...named, ...meaninglessGates('featureGates.', featureGates)];
}

function isSet(value: unknown, defaults: readonly unknown[]): boolean {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return false;
  return !defaults.includes(parseDurationMs(value) ?? value);
}

/** A line for each feature gate that switches nothing here; the prefix is what stands before its name. */
export function meaninglessGates(prefix: string, gates: Settings['featureGates']): readonly string[] {
  const others = Object.keys(gates).filter((gate) => gate !== externalIpsGate);
  return others.map((gate) => `${prefix}${gate}: ${reasons.gate}`);
}
