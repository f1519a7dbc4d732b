import { printOutcome } from '../kernel/conntrack-sysctls.ts';
import { applyIpvsSysctls } from '../kernel/ipvs-sysctls.ts';
import { printTimeouts } from '../kernel/ipvs-timeouts.ts';
import { IpvsadmKernel } from '../kernel/ipvsadm.ts';
import { KernelError } from '../kernel/kernel.ts';
import { loadIpvs } from '../kernel/load-ipvs.ts';
import { ServersKeeper } from '../reconcile/servers.ts';
import type { Settings } from '../source/config.ts';
import type { DaemonSettings } from '../source/daemon-settings.ts';
import { reportSysctls } from './init-only.ts';
import type { Reporter } from './terminal.ts';

export interface ServersOptions {
  readonly settings: Pick<Settings, 'ipvsScheduler'>;
  readonly ipvs: DaemonSettings['ipvs'];
  /** The ipvsadm program; default `$VIPMAP_IPVSADM`, else `ipvsadm`. */
  readonly ipvsadm?: string | undefined;
  readonly reporter: Reporter;
}

/** IPVS, made ready for mode ipvs: modules, sysctls and timeouts. Throws a KernelError where there is none. */
export async function openServers(options: ServersOptions): Promise<ServersKeeper> {
  const { settings, ipvs, reporter } = options;
  await loadIpvs([settings.ipvsScheduler.name]);
  const kernel = await openIpvs(options);
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
    reporter.info(printTimeouts(await kernel.ensureTimeouts({ tcpMs, tcpFinMs, udpMs })));
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

export function openIpvs({ ipvsadm }: Pick<ServersOptions, 'ipvsadm'>): Promise<IpvsadmKernel> {
  return IpvsadmKernel.open({ ipvsadm: ipvsadm ?? (process.env['VIPMAP_IPVSADM'] || 'ipvsadm') });
}

function keeperOf(kernel: IpvsadmKernel, { terminationLimitMs }: DaemonSettings['ipvs']): ServersKeeper {
  return new ServersKeeper({ kernel, terminationLimitMs, clock: () => performance.now() });
}
