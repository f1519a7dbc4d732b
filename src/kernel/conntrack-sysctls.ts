import { availableParallelism, cpus } from 'node:os';
import { ensureSysctl, procSysctl, readSysctl, type Sysctl, type SysctlOutcome } from './sysctl.ts';

/** What connection tracking should be like. A timeout of 0 leaves the kernel's as it is. */
export interface ConntrackLimits {
  /** Connections for each CPU; 0 leaves the kernel's limit as it is, whatever `min` says. */
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  /** False leaves it as it is. */
  readonly tcpBeLiberal: boolean;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

/** kube-proxy's: on nodes with many CPUs the table would take too much memory. */
const most = 1_048_576;

/** The limit of tracked connections as kube-proxy has it, or undefined if the kernel's is to stay. */
export function conntrackMax({ maxPerCore, min }: ConntrackLimits, cpuCount: number): number | undefined {
  if (maxPerCore <= 0) return undefined;
  const scaled = maxPerCore * cpuCount;
  if (scaled > most) return most;
  const max = Math.max(scaled, min);
  return max > 0 ? max : undefined;
}

/** The sysctls that the limits come to, the limit and the size of its table first. */
export function conntrackSysctls(limits: ConntrackLimits, cpuCount: number): readonly Sysctl[] {
  const max = conntrackMax(limits, cpuCount);
  return [
    ...(max === undefined ? [] : [procSysctl(maxName, max, 'limit'), hashSize(max)]),
    ...timeout('tcp_timeout_established', limits.tcpEstablishedTimeoutMs),
    ...timeout('tcp_timeout_close_wait', limits.tcpCloseWaitTimeoutMs),
    ...(limits.tcpBeLiberal ? [procSysctl('net.netfilter.nf_conntrack_tcp_be_liberal', 1)] : []),
    ...timeout('udp_timeout', limits.udpTimeoutMs),
    ...timeout('udp_timeout_stream', limits.udpStreamTimeoutMs),
  ];
}

const maxName = 'net.netfilter.nf_conntrack_max';

/** With more than four connections to a bucket, finding one gets slow. The kernel rounds the size up. */
function hashSize(max: number): Sysctl {
  const path = '/sys/module/nf_conntrack/parameters/hashsize';
  return { name: path, path, value: Math.floor(max / 4), match: 'at-least' };
}

/** Whole seconds, as kube-proxy cuts them; but never 0, at which the kernel would forget connections at once. */
function timeout(name: string, ms: number): readonly Sysctl[] {
  return ms > 0 ? [procSysctl(`net.netfilter.nf_conntrack_${name}`, Math.max(1, Math.floor(ms / 1000)))] : [];
}

export interface SysctlReport {
  readonly outcomes: readonly SysctlOutcome[];
  /** What the node's owner should know, though it is not for a service proxy to change. */
  readonly advice: readonly string[];
}

export interface SysctlOptions {
  /** Default: those of this host, whatever part of them this process may use. */
  readonly cpuCount?: number;
  /** A folder in place of `/`. */
  readonly root?: string;
}

/**
 * Brings the kernel's connection tracking to these limits, and says what became of each; never throws. Forwarding is looked at and
 * left alone, as kube-proxy's iptables and nftables modes do: whether a host routes is for its owner and network plugin to say.
 */
export async function applySysctls(limits: ConntrackLimits, options: SysctlOptions = {}): Promise<SysctlReport> {
  const { cpuCount = cpus().length || availableParallelism(), root = '/' } = options;
  const outcomes: SysctlOutcome[] = [];
  for (const sysctl of conntrackSysctls(limits, cpuCount)) {
    const [first] = outcomes;
    // A table for a limit that could not be raised would be too large.
    if (first?.kind === 'failed' && first.sysctl.name === maxName && sysctl.match === 'at-least') continue;
    outcomes.push(await ensureSysctl(sysctl, root));
  }
  return { outcomes, advice: await forwardingAdvice(root) };
}

/** A cluster may do with one family, so only a host that forwards neither is worth a word. */
async function forwardingAdvice(root: string): Promise<readonly string[]> {
  const ip = await readSysctl('/proc/sys/net/ipv4/ip_forward', root);
  const ip6 = await readSysctl('/proc/sys/net/ipv6/conf/all/forwarding', root);
  if (ip !== 0 || (ip6 ?? 0) !== 0) return [];
  return [
    'this node forwards no packets, so services reach only endpoints on the node itself; set net.ipv4.ip_forward=1 (or net.ipv6.conf.all.forwarding=1), which network plugins mostly do',
  ];
}

/** `net.netfilter.nf_conntrack_max is 131072 now (was 65536)`; of a failure, its error's message. */
export function printOutcome(outcome: SysctlOutcome): string {
  const { sysctl, found } = outcome;
  switch (outcome.kind) {
    case 'failed':
      return outcome.error.message;
    case 'set':
      return `${sysctl.name} is ${sysctl.value} now (was ${found})`;
    case 'right':
      return outcome.found === sysctl.value
        ? `${sysctl.name} is ${sysctl.value} already`
        : `${sysctl.name} is ${found} and stays: ${sysctl.value} is enough`;
  }
}
