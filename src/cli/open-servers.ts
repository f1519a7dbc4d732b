import { printOutcome } from '../kernel/conntrack-sysctls.ts';
import { applyIpvsSysctls } from '../kernel/ipvs-sysctls.ts';
import { HostIpvs, type HostIpvsOptions } from '../kernel/host-ipvs.ts';
import type { ServersAccess } from '../kernel/ipvs-kernel.ts';
import { ensureTimeouts, printTimeouts } from '../kernel/ipvs-timeouts.ts';
import { IpvsadmServers } from '../kernel/ipvsadm.ts';
import { KernelError } from '../kernel/kernel.ts';
import { loadIpvs } from '../kernel/load-ipvs.ts';
import { NetlinkServers } from '../kernel/netlink/ipvs-servers.ts';
import { ServersKeeper } from '../reconcile/servers.ts';
import type { Settings } from '../source/config.ts';
import type { DaemonSettings } from '../source/daemon-settings.ts';
import { reportSysctls } from './init-only.ts';
import type { KernelWriter } from './open-kernel.ts';
import type { Reporter } from './terminal.ts';

export interface IpvsOptions {
  /** Default auto. */
  readonly kernelWriter?: KernelWriter;
  /** The ipvsadm program, where it is needed; default `$VIPMAP_IPVSADM`, else `ipvsadm`. */
  readonly ipvsadm?: string | undefined;
  readonly reporter: Reporter;
  /** Steps for virtual servers were carried out. */
  readonly onApplied?: HostIpvsOptions['onApplied'];
}

export interface ServersOptions extends IpvsOptions {
  readonly settings: Pick<Settings, 'ipvsScheduler'>;
  readonly ipvs: DaemonSettings['ipvs'];
}

/** IPVS, made ready for mode ipvs: modules, sysctls and timeouts. Throws a KernelError where there is none. */
export async function openServers(options: ServersOptions): Promise<ServersKeeper> {
  const { settings, ipvs, reporter } = options;
  const kernel = await openIpvs(options, [settings.ipvsScheduler.name]);
  const { outcomes } = await applyIpvsSysctls({ isStrictArp: ipvs.strictArp });
  reportSysctls(outcomes, reporter);
  for (const outcome of outcomes) {
    if (outcome.kind === 'failed' && outcome.sysctl.name === 'net.ipv4.vs.conntrack')
      throw new KernelError(
        'not-permitted',
        `${printOutcome(outcome)}; without it nothing that IPVS forwards is masqueraded: run --init-only first, with all of root's rights`,
      );
  }
  const { tcpTimeoutMs: tcpMs, tcpFinTimeoutMs: tcpFinMs, udpTimeoutMs: udpMs } = ipvs;
  if (tcpMs + tcpFinMs + udpMs > 0)
    reporter.info(printTimeouts(await ensureTimeouts(kernel.servers, { tcpMs, tcpFinMs, udpMs })));
  return keeperOf(kernel, ipvs);
}

/** IPVS as it is, for a look. */
export async function openServersAsTheyAre(options: Omit<ServersOptions, 'settings'>): Promise<ServersKeeper> {
  return keeperOf(await openIpvs(options), options.ipvs);
}

/** In another mode, where mode ipvs left virtual servers: what takes them away; undefined, with a warning, if that cannot be. */
export async function openLeftovers(options: Omit<ServersOptions, 'settings'>): Promise<ServersKeeper | undefined> {
  try {
    return await openServersAsTheyAre(options);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    options.reporter.warn(`virtual servers that mode ipvs left are not taken away: ${error.message}`);
    return undefined;
  }
}

/** IPVS by netlink, or by ipvsadm where that is asked for or the other cannot be had. Loads modules, with those of the schedulers. */
export async function openIpvs(options: IpvsOptions, schedulers: readonly string[] = []): Promise<HostIpvs> {
  await loadIpvs(schedulers);
  const servers = await openAccess(options);
  return HostIpvs.open(servers, { onApplied: options.onApplied });
}

async function openAccess({ kernelWriter = 'auto', ipvsadm, reporter }: IpvsOptions): Promise<ServersAccess> {
  if (kernelWriter !== 'nft') {
    try {
      return await NetlinkServers.open();
    } catch (error) {
      // What else can be wrong, no rights or no IPVS, is wrong for ipvsadm too.
      const isMissing = error instanceof KernelError && error.failure === 'missing';
      if (!isMissing || kernelWriter === 'netlink') throw error;
      reporter.warn(`virtual servers are written by ipvsadm, which is slower: ${error.message}`);
    }
  }
  return IpvsadmServers.open({ ipvsadm: ipvsadm ?? (process.env['VIPMAP_IPVSADM'] || 'ipvsadm') });
}

function keeperOf(kernel: HostIpvs, { terminationLimitMs }: DaemonSettings['ipvs']): ServersKeeper {
  return new ServersKeeper({ kernel, terminationLimitMs, clock: () => performance.now() });
}
