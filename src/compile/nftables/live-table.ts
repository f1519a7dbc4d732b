import type { Family } from '../../net/ip.ts';
import type { Chain, SetDeclaration, Table } from '../../ruleset/nftables/ruleset.ts';
import { addChain, type Command, type ElementCommand } from '../../ruleset/nftables/transaction.ts';
import type { Contribution } from './contribution.ts';
import { balancingNumber, parseBalancingChainName } from './balancing.ts';
import { balancingMap, sets } from './names.ts';

/** Sets of which several service ports may contribute the same element: a Service's ports share its addresses, services share pods. */
const sharedSets: ReadonlySet<string> = new Set([
  sets.clusterIps,
  sets.hairpin,
  sets.healthCheckNodePorts,
  sets.virtualServers,
  sets.boundIps,
]);

/**
 * A table as it should be: the sum of contributions. They come and go, and what that changed can be asked for as commands; both cost
 * what the contributions hold, however large the table.
 */
export class LiveTable {
  readonly family: Family;
  readonly #skeleton: readonly Chain[];
  readonly #sets = new Map<string, SetDeclaration>();
  readonly #elements = new Map<string, Map<string, string>>();
  /** By shared set and key: how many contribute the element, where that is more than one. */
  readonly #shares = new Map<string, Map<string, number>>();
  readonly #chains = new Map<string, Chain>();
  #newChains: Chain[] = [];
  /** By set and key: the value before the first change since the last look, undefined for none. Not kept before trackChanges(). */
  #touched: Map<string, Map<string, string | undefined>> | undefined;

  constructor(family: Family, declarations: readonly SetDeclaration[], skeleton: readonly Chain[]) {
    this.family = family;
    this.#skeleton = skeleton;
    for (const set of declarations) {
      this.#sets.set(set.name, set);
      this.#elements.set(set.name, new Map());
    }
  }

  /** The table's present contents. Its elements are those that later changes change. */
  get table(): Table {
    const chains = new Map(this.#skeleton.map((chain) => [chain.name, chain]));
    for (const chain of inOrderOfUse([...this.#chains.values()])) chains.set(chain.name, chain);
    return { family: this.family, chains, sets: this.#sets, elements: this.#elements };
  }

  add(contribution: Contribution): void {
    contribution.forEachElement((set, key, value) => {
      if (!sharedSets.has(set) || !this.#share(set, key)) this.#put(set, key, value);
    });
    for (const chain of contribution.chains) {
      if (this.#chains.has(chain.name)) continue;
      this.keepChain(chain);
      this.#newChains.push(chain);
    }
  }

  /** Counts a chain as there, and the number that stands for it, though no service needs it (yet). */
  keepChain(chain: Chain): void {
    this.#chains.set(chain.name, chain);
    const balancing = parseBalancingChainName(chain.name);
    if (balancing !== undefined) this.#put(balancingMap, balancingNumber(balancing), `goto ${chain.name}`);
  }

  /** Takes a contribution out again. Its chains stay, for the next one that needs them. */
  remove(contribution: Contribution): void {
    contribution.forEachElement((set, key) => {
      if (!sharedSets.has(set) || !this.#unshare(set, key)) this.#put(set, key, undefined);
    });
  }

  /** From here on changes are kept for takeChanges(). */
  trackChanges(): void {
    this.#newChains = [];
    this.#touched = new Map();
  }

  /**
   * What changed since the last time: new chains first, then elements in the order of the sets' declarations, deletes before adds. What
   * came and went again, or is as it was, is left out.
   */
  takeChanges(): readonly Command[] {
    const { family } = this;
    const commands: Command[] = [];
    for (const chain of inOrderOfUse(this.#newChains)) {
      // Somebody, or an earlier instance, may have made it: its rules must not be there twice.
      commands.push(addChain(family, chain));
      commands.push({ kind: 'chain', verb: 'flush', family, name: chain.name });
      for (const rule of chain.rules) commands.push({ kind: 'rule', verb: 'add', family, chain: chain.name, rule });
    }
    for (const set of this.#sets.values()) {
      const touched = this.#touched?.get(set.name);
      if (touched === undefined) continue;
      const now = this.#elements.get(set.name) as Map<string, string>;
      const deletes: ElementCommand[] = [];
      const adds: ElementCommand[] = [];
      for (const [key, before] of touched) {
        const value = now.get(key);
        if (value === before) continue;
        if (before !== undefined) deletes.push({ kind: 'element', verb: 'delete', family, set, key, value: before });
        if (value !== undefined) adds.push({ kind: 'element', verb: 'add', family, set, key, value });
      }
      for (const command of deletes) commands.push(command);
      for (const command of adds) commands.push(command);
    }
    this.trackChanges();
    return commands;
  }

  /** One more contributes the element; false if nobody did before. */
  #share(set: string, key: string): boolean {
    if (this.#elements.get(set)?.has(key) !== true) return false;
    const counts = this.#shares.get(set) ?? new Map<string, number>();
    this.#shares.set(set, counts);
    counts.set(key, (counts.get(key) ?? 1) + 1);
    return true;
  }

  /** One less contributes the element; false if nobody does any more. */
  #unshare(set: string, key: string): boolean {
    const counts = this.#shares.get(set);
    const count = counts?.get(key);
    if (counts === undefined || count === undefined) return false;
    if (count === 2) counts.delete(key);
    else counts.set(key, count - 1);
    return true;
  }

  #put(set: string, key: string, value: string | undefined): void {
    const elements = this.#elements.get(set);
    if (elements === undefined) throw new Error(`no set ${set} in table ${this.family}`);
    if (this.#touched !== undefined) {
      let touched = this.#touched.get(set);
      if (touched === undefined) this.#touched.set(set, (touched = new Map<string, string | undefined>()));
      if (!touched.has(key)) touched.set(key, elements.get(key));
    }
    if (value === undefined) elements.delete(key);
    else elements.set(key, value);
  }
}

/** By name, whatever order services came in. A chain with affinity goes on to the plain one, which must exist first. */
function inOrderOfUse(chains: readonly Chain[]): readonly Chain[] {
  const sorted = [...chains].sort((a, b) => Number(a.name > b.name) - Number(a.name < b.name));
  const isPlain = (chain: Chain) => !chain.name.startsWith('affinity-');
  return [...sorted.filter(isPlain), ...sorted.filter((chain) => !isPlain(chain))];
}
