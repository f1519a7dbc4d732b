import { applySysctls, type ConntrackLimits, printOutcome, type SysctlOptions } from '../kernel/conntrack-sysctls.ts';
import { applyIpvsSysctls } from '../kernel/ipvs-sysctls.ts';
import { loadIpvs } from '../kernel/load-ipvs.ts';
import type { SysctlOutcome } from '../kernel/sysctl.ts';
import type { DaemonSettings } from '../source/daemon-settings.ts';
import type { RunningMode } from '../source/mode.ts';
import { plural, type Reporter } from './terminal.ts';

/** Something that needs all of root's rights could not be done. */
export class InitError extends Error {
  override readonly name = 'InitError';
}

/**
 * Does what needs more rights than CAP_NET_ADMIN, so that the daemon can do with that alone: brings connection tracking to what the
 * settings ask for. Says what was done, and throws InitError after the last if something could not be.
 */
export async function runInitOnly(
  daemon: Pick<DaemonSettings, 'conntrack' | 'ipvs'>,
  mode: RunningMode,
  reporter: Reporter,
  options: SysctlOptions = {},
): Promise<void> {
  const { outcomes: conntrack, advice } = await applySysctls(daemon.conntrack, options);
  const outcomes = [...conntrack, ...(mode === 'ipvs' ? await initIpvs(daemon.ipvs, options) : [])];
  for (const outcome of outcomes) {
    if (outcome.kind === 'failed') reporter.error(printOutcome(outcome), { sysctl: outcome.sysctl.name });
    else reporter.info(printOutcome(outcome), { sysctl: outcome.sysctl.name });
  }
  for (const message of advice) reporter.warn(message);
  const failed = outcomes.filter(({ kind }) => kind === 'failed').length;
  if (failed > 0) {
    throw new InitError(
      `--init-only: ${failed} of ${plural(outcomes.length, 'setting')} could not be made; see above, or leave them out (0 leaves the kernel's value as it is)`,
    );
  }
}

/** The daemon may load no modules, and asks for the timeouts itself. */
async function initIpvs(ipvs: DaemonSettings['ipvs'], { root }: SysctlOptions): Promise<readonly SysctlOutcome[]> {
  const where = root === undefined ? {} : { root };
  await loadIpvs([], where);
  return (await applyIpvsSysctls({ isStrictArp: ipvs.strictArp }, where)).outcomes;
}

/** The same from within the daemon, where what cannot be done is a warning: it may have been done by --init-only, or on the host. */
export async function tuneConntrack(
  limits: ConntrackLimits,
  reporter: Reporter,
  options: SysctlOptions = {},
): Promise<void> {
  const { outcomes, advice } = await applySysctls(limits, options);
  reportSysctls(outcomes, reporter);
  for (const message of advice) reporter.warn(message);
}

/** What was set, and what could not be. */
export function reportSysctls(outcomes: readonly SysctlOutcome[], reporter: Reporter): void {
  for (const outcome of outcomes) {
    const fields = { sysctl: outcome.sysctl.name };
    if (outcome.kind === 'failed') reporter.warn(printOutcome(outcome), fields);
    if (outcome.kind === 'set') reporter.info(printOutcome(outcome), fields);
  }
}
