import { families } from '../net/ip.ts';
import { readKnownServers, removeSets } from './kube-proxy-leftovers-ipset.ts';
import { removeChains } from './kube-proxy-leftovers-iptables.ts';
import { type IpvsLeftovers, type Kept, removeVirtualServers } from './kube-proxy-leftovers-ipvs.ts';
import { failureOf, joinLeftovers, type Leftovers, nothing, runIfInstalled } from './kube-proxy-leftovers-report.ts';

export type { Leftovers } from './kube-proxy-leftovers-report.ts';

/** The name of kube-proxy's tables in mode nftables, `ip kube-proxy` and `ip6 kube-proxy`. */
const tableName = 'kube-proxy';

export interface LeftoversOptions {
  /** The program; default `nft`. */
  readonly nft?: string;
  /** Of IPVS: what is ours and stays. */
  readonly ours?: Kept;
}

/**
 * Removes what kube-proxy, in any of its modes, left in this network namespace: tables of nftables, virtual servers of IPVS with their
 * interface, chains of iptables, sets of ipset. What cannot be removed does not keep the rest from being, and a program that is not
 * installed is no failure.
 */
export async function removeKubeProxyLeftovers(options: LeftoversOptions = {}): Promise<Leftovers> {
  const tables = await attempt('tables of nftables', () => removeTables(options.nft ?? 'nft'));
  // The sets tell which virtual servers are kube-proxy's, and rules of iptables hold the sets: so this order.
  const known = await readKnownServers().catch(() => ({ servers: new Set<string>(), nodePorts: new Set<string>() }));
  const ipvs = await attempt('virtual servers of IPVS', () => removeVirtualServers(known, undefined, options.ours));
  const chains = await attempt('chains of iptables', removeChains);
  const sets = hasServers(ipvs) ? nothing : await attempt('sets of ipset', removeSets);
  return joinLeftovers([tables, ipvs, chains, sets]);
}

/** Where that is not known, the sets must stay too. */
const hasServers = (ipvs: IpvsLeftovers | Leftovers) => !('hasServers' in ipvs) || ipvs.hasServers;

async function attempt<T extends Leftovers>(what: string, remove: () => Promise<T>): Promise<T | Leftovers> {
  try {
    return await remove();
  } catch (error) {
    return { ...nothing, failed: [`${what}: ${error instanceof Error ? error.message : String(error)}`] };
  }
}

interface TableListing {
  readonly nftables: readonly { readonly table?: { readonly family: string; readonly name: string } }[];
}

async function removeTables(nft: string): Promise<Leftovers> {
  const what = 'tables of nftables';
  const listed = await runIfInstalled(nft, ['-j', 'list', 'tables']);
  if (listed === undefined) return { ...nothing, notLookedFor: [`${what}: nft is not installed`] };
  const failure = failureOf(listed);
  // A kernel without nf_tables has none of kube-proxy's.
  if (failure !== undefined && /Protocol not supported/.test(listed.stderr)) return nothing;
  if (failure !== undefined) return { ...nothing, failed: [`${what}: ${failure}`] };
  const { nftables } = JSON.parse(listed.stdout) as TableListing;
  const ours = families.filter((family) =>
    nftables.some(({ table }) => table?.family === family && table.name === tableName),
  );
  if (ours.length === 0) return nothing;
  const commands = ours.map((family) => ({ delete: { table: { family, name: tableName } } }));
  const result = await runIfInstalled(nft, ['-j', '-f', '-'], JSON.stringify({ nftables: commands }));
  const reason = result && failureOf(result);
  const names = ours.map((family) => `table ${family} ${tableName}`);
  if (reason === undefined) return { ...nothing, removed: names };
  return { ...nothing, failed: names.map((name) => `${name}: ${reason}`) };
}
