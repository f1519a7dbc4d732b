import { readFile } from 'node:fs/promises';
import {
  count,
  failureOf,
  joinLeftovers,
  type Leftovers,
  nothing,
  runIfInstalled,
  some,
} from './kube-proxy-leftovers-report.ts';

/** Chains that the hooks' own chains jump to, of the modes iptables, ipvs and (up to 1.25) userspace. */
const entryChains = new Set([
  ...['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-FORWARD'],
  ...['KUBE-PROXY-FIREWALL', 'KUBE-NODE-PORT', 'KUBE-IPVS-FILTER', 'KUBE-IPVS-OUT-FILTER'],
  ...['KUBE-PORTALS-CONTAINER', 'KUBE-PORTALS-HOST', 'KUBE-NODEPORT-CONTAINER', 'KUBE-NODEPORT-HOST'],
  'KUBE-NODEPORT-NON-LOCAL',
]);

const innerChains = new Set([
  ...['KUBE-MARK-MASQ', 'KUBE-PROXY-CANARY', 'KUBE-LOAD-BALANCER', 'KUBE-SOURCE-RANGES-FIREWALL', 'KUBE-FIRE-WALL'],
]);

/** Of a service's and of an endpoint's chains; KUBE-XLB- up to 1.23. */
const serviceChain = /^KUBE-(?:SVC|SVL|SEP|FW|EXT|XLB)-/;

/**
 * Not every chain that begins with KUBE- is kube-proxy's: kubelet's stay (KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT, KUBE-FIREWALL,
 * KUBE-MARK-DROP, as in kube-proxy's own clean-up), and kube-router has KUBE-ROUTER-, KUBE-POD-FW- and KUBE-NWPLCY-.
 */
function isKubeProxyChain(name: string): boolean {
  return entryChains.has(name) || innerChains.has(name) || serviceChain.test(name);
}

/** What is to be done about one table. */
export interface TablePlan {
  readonly table: string;
  /** For iptables-restore --noflush; `''` if there is nothing to remove. */
  readonly script: string;
  readonly chains: number;
  /** Rules in the hooks' chains that lead to those. */
  readonly jumps: number;
  /** kube-proxy's chains that rules of others lead to, with a chain that such a rule is in. */
  readonly kept: readonly { readonly chain: string; readonly usedBy: string }[];
}

interface Rule {
  readonly chain: string;
  /** `-m comment --comment "kubernetes service portals" -j KUBE-SERVICES` */
  readonly text: string;
  readonly target: string;
}

interface Table {
  readonly name: string;
  readonly chains: Set<string>;
  readonly builtin: Set<string>;
  readonly rules: Rule[];
}

/** What removes kube-proxy's chains from the tables that iptables-save prints; tables without any are left out. */
export function planRemoval(saved: string): readonly TablePlan[] {
  return parseSaved(saved).flatMap((table) => {
    const plan = planTable(table);
    return plan.chains + plan.kept.length > 0 ? [plan] : [];
  });
}

function parseSaved(saved: string): readonly Table[] {
  const tables: Table[] = [];
  for (const line of saved.split('\n')) {
    const table = tables.at(-1);
    const [word = '', second = ''] = line.split(' ', 2);
    if (line.startsWith('*')) {
      tables.push({ name: line.slice(1).trim(), chains: new Set(), builtin: new Set(), rules: [] });
    } else if (line.startsWith(':')) {
      const name = word.slice(1);
      // A chain of a hook has a policy.
      (second === '-' ? table?.chains : table?.builtin)?.add(name);
    } else if (word === '-A') {
      const text = line.slice(4 + second.length);
      table?.rules.push({ chain: second, text, target: targetOf(text) });
    }
  }
  return tables;
}

/** Comments may hold anything, `-j` too. */
function targetOf(rule: string): string {
  const bare = rule.includes('"') ? rule.replace(/"(?:[^"\\]|\\.)*"/g, '""') : rule;
  return /(?:^| )(?:-j|-g|--jump|--goto) (\S+)/.exec(bare)?.[1] ?? '';
}

function planTable({ name, chains, builtin, rules }: Table): TablePlan {
  const kept = chainsInUse(
    rules.filter(({ target }) => isKubeProxyChain(target)),
    builtin,
  );
  const doomed = [...chains].filter((chain) => isKubeProxyChain(chain) && !kept.has(chain));
  const gone = new Set(doomed);
  const jumps = rules.filter(({ chain, target }) => gone.has(target) && !gone.has(chain));
  const script = [
    `*${name}`,
    // Naming a chain empties it, so that the order in which they go does not matter.
    ...doomed.map((chain) => `:${chain} - [0:0]`),
    ...jumps.map(({ chain, text }) => `-D ${chain} ${text}`),
    ...doomed.map((chain) => `-X ${chain}`),
    'COMMIT\n',
  ].join('\n');
  return {
    table: name,
    script: doomed.length === 0 ? '' : script,
    chains: doomed.length,
    jumps: jumps.length,
    kept: [...kept].map(([chain, usedBy]) => ({ chain, usedBy })),
  };
}

/**
 * The chains that somebody else's rules lead to, straight or through others of kube-proxy's, each with a chain that leads there: the
 * plugin portmap can be told to mark host ports' packets with KUBE-MARK-MASQ. What is marked there, KUBE-POSTROUTING masquerades.
 */
function chainsInUse(jumps: readonly Rule[], builtin: ReadonlySet<string>): ReadonlyMap<string, string> {
  const isForeign = ({ chain, target }: Rule) =>
    !isKubeProxyChain(chain) && !(builtin.has(chain) && entryChains.has(target));
  const used = new Map<string, string>();
  const queue = jumps.filter(isForeign);
  if (queue.length === 0) return used;
  const bySource = new Map<string, Rule[]>();
  for (const rule of jumps) {
    const rules = bySource.get(rule.chain);
    if (rules === undefined) bySource.set(rule.chain, [rule]);
    else rules.push(rule);
  }
  for (const { chain, target } of queue) {
    if (used.has(target)) continue;
    used.set(target, chain);
    for (const rule of bySource.get(target) ?? []) queue.push(rule);
    if (target === 'KUBE-MARK-MASQ') queue.push({ chain: target, target: 'KUBE-POSTROUTING', text: '' });
  }
  return used;
}

const families = ['iptables', 'ip6tables'] as const;

/** What the kernel says where it has no such tables at all, which is no failure to remove them. */
const noSuchTables = /Table does not exist|Address family not supported|Protocol not supported|do you need to insmod/i;

/** Removes kube-proxy's chains, and the rules that lead to them, through each iptables that is installed. */
export async function removeChains(): Promise<Leftovers> {
  const reports: Leftovers[] = [];
  for (const family of families) {
    // A host may have rules of both, by different programs; before 1.8 there is one iptables, without a second name.
    const both = [await removeLegacy(family), await removeWith(`${family}-nft`)];
    const found = both.filter((report) => report !== undefined);
    const report = found.length > 0 ? joinLeftovers(found) : await removeWith(family);
    reports.push(report ?? { ...nothing, notLookedFor: [`chains of ${family}: ${family} is not installed`] });
  }
  return joinLeftovers(reports);
}

/** Where the kernel has no tables of the old kind, its program is not asked: it needs CAP_NET_RAW for that alone, and loads its modules. */
async function removeLegacy(family: (typeof families)[number]): Promise<Leftovers | undefined> {
  const names = await readFile(`/proc/net/${family.replace('tables', '_tables')}_names`, 'utf8').catch(() => '');
  return names.trim() === '' ? undefined : removeWith(`${family}-legacy`);
}

/** Undefined if there is no such program. Without naming tables, of which the old iptables would then make those that are missing. */
async function removeWith(program: string): Promise<Leftovers | undefined> {
  const saved = await runIfInstalled(`${program}-save`, []);
  if (saved === undefined) return undefined;
  const failure = failureOf(saved);
  if (failure !== undefined) {
    return noSuchTables.test(saved.stderr) ? nothing : { ...nothing, failed: [`chains of ${program}: ${failure}`] };
  }
  const reports: Leftovers[] = [];
  for (const plan of planRemoval(saved.stdout)) reports.push(await removeFrom(program, plan));
  return joinLeftovers(reports);
}

async function removeFrom(program: string, { table, script, chains, jumps, kept }: TablePlan): Promise<Leftovers> {
  const place = `table ${table} of ${program}`;
  const stays = kept.map(({ chain, usedBy }) => `chain ${chain} in ${place}: ${usedBy} leads to it`);
  const report = { ...nothing, kept: stays };
  if (script === '') return report;
  const what = `${count(chains, 'chain')} of kube-proxy and ${count(jumps, 'rule')} that led there, in ${place}`;
  const result = await runIfInstalled(`${program}-restore`, ['--noflush', '--wait=5'], script);
  const failure = result === undefined ? `${program}-restore is not installed` : failureOf(result);
  if (failure === undefined) return { ...report, removed: [what] };
  return { ...report, failed: [`${what}: ${some([failure])}`] };
}
