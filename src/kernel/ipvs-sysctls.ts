import { release } from 'node:os';
import type { SysctlReport } from './conntrack-sysctls.ts';
import { ensureSysctl, procSysctl, type Sysctl, type SysctlOutcome } from './sysctl.ts';

export interface IpvsSettings {
  /** Answers ARP only for addresses of the interface that is asked, so that nobody's but ours are not announced: MetalLB needs it. */
  readonly isStrictArp: boolean;
  /** Whether the kernel adds up the counters of `ipvsadm --stats` and `--rate`; absent: see ipvsSysctls. */
  readonly runsEstimation?: boolean;
}

/** `[6, 1]` of `6.1.0-56-amd64`. */
export function kernelVersion(text: string): readonly [major: number, minor: number] {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(text) ?? [];
  return [Number(major), Number(minor)];
}

/**
 * What IPVS mode needs of the kernel, as kube-proxy sets it.
 *
 * - conntrack: masquerading and the companion table's rules see the connections that IPVS makes
 * - conn_reuse_mode 0 before Linux 5.9: there a reused client port costs a second, or meets an endpoint that is gone (kubernetes#81775)
 * - expire_nodest_conn, expire_quiescent_template: clients are not held on endpoints that are gone or have weight 0
 * - run_estimation, which kube-proxy leaves alone: the counters of every server are added up every 2 s over all CPUs, up to Linux 6.1
 *   all at once in a timer, in which no packet goes through its CPU. So it is turned off there, which costs `ipvsadm --stats` and
 *   `--rate`: both stand still. Since 6.2 threads do it in small parts (commit 705dd3444081), and it stays as it is.
 */
export function ipvsSysctls({ isStrictArp, runsEstimation }: IpvsSettings, version: string): readonly Sysctl[] {
  const [major, minor] = kernelVersion(version);
  const isBefore = (otherMajor: number, otherMinor: number) =>
    major < otherMajor || (major === otherMajor && minor < otherMinor);
  const vs = (name: string, value: number) => procSysctl(`net.ipv4.vs.${name}`, value);
  const estimation = runsEstimation ?? (isBefore(6, 2) ? false : undefined);
  return [
    vs('conntrack', 1),
    ...(isBefore(5, 9) ? [vs('conn_reuse_mode', 0)] : []),
    vs('expire_nodest_conn', 1),
    vs('expire_quiescent_template', 1),
    // There is no such setting before.
    ...(estimation === undefined || isBefore(5, 16) ? [] : [vs('run_estimation', estimation ? 1 : 0)]),
    procSysctl('net.ipv4.ip_forward', 1),
    ...(isStrictArp
      ? [procSysctl('net.ipv4.conf.all.arp_ignore', 1), procSysctl('net.ipv4.conf.all.arp_announce', 2)]
      : []),
  ];
}

export interface IpvsSysctlOptions {
  /** Default: this kernel's, e.g. `6.1.0-56-amd64`. */
  readonly version?: string;
  /** A folder in place of `/`. */
  readonly root?: string;
}

/** Sets them and says what became of each; never throws. IPVS must be loaded, or its sysctls do not exist. */
export async function applyIpvsSysctls(
  settings: IpvsSettings,
  { version = release(), root = '/' }: IpvsSysctlOptions = {},
): Promise<SysctlReport> {
  const outcomes: SysctlOutcome[] = [];
  for (const sysctl of ipvsSysctls(settings, version)) outcomes.push(await ensureSysctl(sysctl, root));
  return { outcomes, advice: [] };
}
