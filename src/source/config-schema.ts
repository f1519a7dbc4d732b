import * as z from 'zod';
import { aBoolean, aCidr, type Accepts, anIp, aText, oneOf } from './fields.ts';
import { aScheduler } from './ipvs-scheduler.ts';
import { aMode } from './mode.ts';
import { aDetectLocalMode, anInterface, aNodePortAddress, someClusterCidrs } from './settings.ts';

/** A field with one of our own readers; the issue's message is what is accepted. */
function accepted<T>({ expected, parse }: Accepts<T>) {
  return z
    .unknown()
    .transform((value, context): T => {
      const parsed = parse(value);
      if (parsed !== undefined) return parsed;
      context.addIssue({ code: 'custom', message: expected, input: value });
      return z.NEVER;
    })
    .optional();
}

/** A text where the empty one stands for "not set", as in Go. */
function orEmpty<T>({ expected, parse }: Accepts<T>) {
  return accepted<T | ''>({ expected, parse: (value) => (value === '' ? '' : parse(value)) });
}

function integer(least: number, most: number, expected: string) {
  return accepted<number>({
    expected,
    parse: (value) =>
      Number.isInteger(value) && (value as number) >= least && (value as number) <= most
        ? (value as number)
        : undefined,
  });
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A Go duration in milliseconds: `1m30s` is 90000; undefined if the text is none. */
export function parseDurationMs(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined;
  const sign = value.startsWith('-') ? -1 : 1;
  const text = value.replace(/^[-+]/, '');
  if (text === '0') return 0;
  const part = /(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y;
  let total = 0;
  let match = part.exec(text);
  let end = 0;
  for (; match !== null; match = part.exec(text)) {
    total += Number(match[1]) * (unitMs[match[2] ?? ''] ?? 0);
    end = part.lastIndex;
  }
  return end > 0 && end === text.length ? sign * total : undefined;
}

/** In milliseconds. */
export const aDuration: Accepts<number> = {
  expected: 'a duration of 0 or more, such as 30s or 1m30s',
  parse: (value) => {
    const ms = parseDurationMs(value);
    return ms !== undefined && ms >= 0 ? ms : undefined;
  },
};

const anyDuration = accepted(aDuration);
const flag = accepted(aBoolean);
const text = accepted(aText);
const masqueradeBit = integer(0, 31, 'a bit number (0-31)');
const count = integer(0, 2 ** 31 - 1, 'a whole number of 0 or more');
/** IPv4:port, [IPv6]:port, or an address alone, to which kube-proxy adds the port. */
export const aHostPort: Accepts<string> = {
  expected: 'an address and port such as 0.0.0.0:10256',
  parse: (value) => {
    if (typeof value !== 'string') return undefined;
    const [, six, four, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(value) ?? [];
    const isPort = port !== undefined && Number(port) >= 1 && Number(port) <= 65535;
    return (isPort && anIp.parse(six ?? four) !== undefined) || anIp.parse(value) !== undefined ? value : undefined;
  },
};

export const aLogFormat = oneOf('text', 'json');

/** KubeProxyConfiguration v1alpha1: every field that kube-proxy 1.36 knows. What it reads is checked as kube-proxy checks it. */
export const configSchema = z.strictObject({
  apiVersion: text,
  kind: text,
  featureGates: z.record(z.string(), accepted(aBoolean), 'an object of true and false').optional(),
  clientConnection: z
    .strictObject(
      {
        kubeconfig: text,
        acceptContentTypes: text,
        contentType: text,
        qps: z.number('a number').optional(),
        burst: count,
      },
      'an object',
    )
    .optional(),
  logging: z.looseObject({ format: orEmpty(aLogFormat), verbosity: count }, 'an object').optional(),
  hostnameOverride: text,
  bindAddress: orEmpty(anIp),
  healthzBindAddress: orEmpty(aHostPort),
  metricsBindAddress: orEmpty(aHostPort),
  bindAddressHardFail: flag,
  enableProfiling: flag,
  showHiddenMetricsForVersion: text,
  mode: accepted(aMode),
  iptables: z
    .strictObject(
      {
        masqueradeBit,
        masqueradeAll: flag,
        localhostNodePorts: flag,
        syncPeriod: anyDuration,
        minSyncPeriod: anyDuration,
      },
      'an object',
    )
    .optional(),
  ipvs: z
    .strictObject(
      {
        syncPeriod: anyDuration,
        minSyncPeriod: anyDuration,
        scheduler: orEmpty(aScheduler),
        excludeCIDRs: z.array(accepted(aCidr).nonoptional(), 'a list').optional(),
        strictARP: flag,
        tcpTimeout: anyDuration,
        tcpFinTimeout: anyDuration,
        udpTimeout: anyDuration,
      },
      'an object',
    )
    .optional(),
  nftables: z
    .strictObject(
      { masqueradeBit, masqueradeAll: flag, syncPeriod: anyDuration, minSyncPeriod: anyDuration },
      'an object',
    )
    .optional(),
  winkernel: z
    .strictObject(
      {
        networkName: text,
        sourceVip: text,
        enableDSR: flag,
        rootHnsEndpointName: text,
        forwardHealthCheckVip: flag,
      },
      'an object',
    )
    .optional(),
  detectLocalMode: orEmpty(aDetectLocalMode),
  detectLocal: z
    .strictObject({ bridgeInterface: orEmpty(anInterface), interfaceNamePrefix: orEmpty(anInterface) }, 'an object')
    .optional(),
  clusterCIDR: orEmpty(someClusterCidrs),
  nodePortAddresses: z.array(accepted(aNodePortAddress).nonoptional(), 'a list').optional(),
  oomScoreAdj: integer(-1000, 1000, 'a score (-1000 to 1000)'),
  conntrack: z
    .strictObject(
      {
        maxPerCore: count,
        min: count,
        tcpEstablishedTimeout: anyDuration,
        tcpCloseWaitTimeout: anyDuration,
        tcpBeLiberal: flag,
        udpTimeout: anyDuration,
        udpStreamTimeout: anyDuration,
      },
      'an object',
    )
    .optional(),
  configSyncPeriod: anyDuration,
  portRange: text,
  windowsRunAsService: flag,
});

export type ConfigFile = z.infer<typeof configSchema>;
