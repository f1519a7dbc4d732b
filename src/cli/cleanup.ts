import type { Command } from 'commander';
import { type Leftovers, removeKubeProxyLeftovers } from '../kernel/kube-proxy-leftovers.ts';
import { planRemoval, type ServersRecord } from '../diff/ipvs.ts';
import { families } from '../net/ip.ts';
import { readRuleset } from '../reconcile/read-ruleset.ts';
import { recordOf } from '../reconcile/servers.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { interfaceName } from '../ruleset/ipvs/virtual-server.ts';
import { tableName } from '../ruleset/nftables/ruleset.ts';
import { addKernelOptions, addLogFormat, openKernel } from './inputs.ts';
import { openIpvs } from './open-servers.ts';
import { reportFailedSteps } from './report.ts';
import { createReporter, type LogFormat, plural, type Reporter, writeData } from './terminal.ts';

export interface CleanupOptions {
  /** Also what kube-proxy left. */
  readonly kubeProxy: boolean;
  /** Leaves our own tables alone: for a node that vipmap serves. */
  readonly keepOwn?: boolean;
  /** The nft program; default `$VIPMAP_NFT`, else `nft`. */
  readonly nft?: string;
  /** The ipvsadm program; default `$VIPMAP_IPVSADM`, else `ipvsadm`. */
  readonly ipvsadm?: string;
}

/** Something could not be removed; what, and why, was said before. */
export class CleanupError extends Error {
  override readonly name = 'CleanupError';
}

export function addCleanupCommand(program: Command): void {
  addKernelOptions(addLogFormat(program.command('cleanup')))
    .description('remove our tables from this kernel, and nothing else')
    .option(
      '--kube-proxy',
      "also what kube-proxy left: its tables of nftables, its chains of iptables (but not kubelet's), its virtual servers of IPVS (but nobody else's) with kube-ipvs0, its sets of ipset",
      false,
    )
    .option('--keep-own', 'leave our own tables alone: with --kube-proxy, on a node that vipmap has taken over')
    .addHelpText('after', '\nExample:\n  sudo vipmap cleanup\n  sudo vipmap cleanup --kube-proxy --keep-own')
    .action((options: CleanupOptions & { readonly logFormat: LogFormat }) =>
      runCleanup(options, createReporter(options.logFormat)),
    );
}

/**
 * Removes our tables, and what kube-proxy left if that is asked for, with a line on standard output for each thing that is gone. What
 * cannot be removed keeps nothing else from it: then this throws CleanupError at the end.
 */
export async function runCleanup(options: CleanupOptions, reporter: Reporter): Promise<void> {
  const nft = options.nft ?? (process.env['VIPMAP_NFT'] || 'nft');
  if (!options.kubeProxy) {
    const removed = await removeOwn(options, reporter);
    if (removed === 0) reporter.info(`nothing to remove: there is no table ip ${tableName} or ip6 ${tableName}`);
    return;
  }
  let failures = 0;
  const own = await (options.keepOwn === true ? Promise.resolve(0) : removeOwn(options, reporter)).catch(
    (error: unknown) => {
      failures++;
      reporter.error(`our tables: ${error instanceof Error ? error.message : String(error)}`);
      return 0;
    },
  );
  const ours = options.keepOwn === true ? recordOf(await readRuleset(await openKernel({ nft }))) : undefined;
  const leftovers = await removeKubeProxyLeftovers({ nft, ...(ours && { ours }) });
  await tell(leftovers, reporter);
  failures += leftovers.failed.length;
  if (failures > 0) throw new CleanupError(`${plural(failures, 'thing')} could not be removed; see above`);
  if (own + leftovers.removed.length === 0)
    reporter.info("nothing to remove: neither our tables nor kube-proxy's things");
}

/**
 * Both families in one transaction, so that services never work for one of them alone. Gives how many tables there were. Virtual servers
 * go first: the tables tell which are ours, and stay if one of those does.
 */
async function removeOwn(options: CleanupOptions, reporter: Reporter): Promise<number> {
  const kernel = await openKernel({ nft: options.nft ?? (process.env['VIPMAP_NFT'] || 'nft') });
  const actual = await readRuleset(kernel);
  const record = recordOf(actual);
  if (record.servers.size + record.ips.size > 0) await removeServers(record, options, reporter);
  const tables = families.map((family) => actual[family]).filter((table) => table !== undefined);
  if (tables.length === 0) return 0;
  await kernel.apply({ commands: tables.map(({ family }) => ({ kind: 'table', verb: 'delete', family })) });
  for (const { family, chains, sets } of tables) {
    const contents = `${chains.size} chains, ${sets.size} sets and maps`;
    await writeData(`removed table ${family} ${tableName} (${contents})\n`);
  }
  return tables.length;
}

async function removeServers(record: ServersRecord, options: CleanupOptions, reporter: Reporter): Promise<void> {
  const kernel = await openIpvs({ ipvsadm: options.ipvsadm, reporter });
  const steps = planRemoval(await kernel.readVirtualServers(), await kernel.readAddresses(), record);
  const failed = await kernel.apply(steps);
  reportFailedSteps(reporter, failed, () => undefined);
  const count = (kind: Step['kind']) => steps.filter((step) => step.kind === kind).length;
  const what = `${plural(count('virtual-server'), 'virtual server')} and ${count('address')} service addresses`;
  await writeData(`removed ${what} of mode ipvs${count('interface') > 0 ? ` with ${interfaceName}` : ''}\n`);
  if (failed.length > 0)
    throw new CleanupError(`${plural(failed.length, 'step')} failed; the tables stay, which tell what is ours`);
}

async function tell({ removed, kept, failed, notLookedFor }: Leftovers, reporter: Reporter): Promise<void> {
  for (const what of removed) await writeData(`removed ${what}\n`);
  for (const what of kept) reporter.info(`kept ${what}`);
  for (const what of failed) reporter.error(`not removed: ${what}`);
  for (const what of notLookedFor) reporter.info(`not looked for: ${what}`);
}
