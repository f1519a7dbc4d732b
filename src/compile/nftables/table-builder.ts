import type { Family } from '../../net/ip.ts';
import type { Chain, SetDeclaration, Table } from '../../ruleset/nftables/ruleset.ts';
import { type BalancingChain, balancingChain, balancingChainName } from './balancing.ts';
import { endpointMap, type FrontendShape, type ListName } from './names.ts';
import { assignSlots, type MapSlots, type Slots } from './slots.ts';
import type { Protocol } from '../../net/protocol.ts';

/** Gathers a table's chains and elements while features add theirs. Local to compile: what leaves it is a plain value. */
export class TableBuilder {
  readonly family: Family;
  readonly #previous: Slots;
  readonly #chains = new Map<string, Chain>();
  readonly #sets = new Map<string, SetDeclaration>();
  readonly #elements = new Map<string, Map<string, string>>();
  readonly #slots = new Map<string, Map<string, readonly string[]>>();

  constructor(family: Family, sets: readonly SetDeclaration[], previous: Slots) {
    this.family = family;
    this.#previous = previous;
    for (const set of sets) {
      this.#sets.set(set.name, set);
      this.#elements.set(set.name, new Map());
    }
  }

  add(set: string, key: string, value = ''): void {
    const elements = this.#elements.get(set);
    if (elements === undefined) throw new Error(`no set ${set} in table ${this.family}`);
    elements.set(key, value);
  }

  addChain(chain: Chain): void {
    if (!this.#chains.has(chain.name)) this.#chains.set(chain.name, chain);
  }

  /** Gives a frontend's list of endpoints its slots and returns the verdict that balances over them. */
  balance(frontend: string, endpoints: readonly string[], chain: Omit<BalancingChain, 'count'>): string {
    this.#fillSlots(chain.shape, chain.list, chain.protocol, frontend, endpoints);
    const plain = { ...chain, count: endpoints.length, hasAffinity: false };
    this.#addBalancingChain(plain);
    return `goto ${chain.hasAffinity ? this.#addBalancingChain({ ...plain, hasAffinity: true }) : balancingChainName(plain)}`;
  }

  #addBalancingChain(chain: BalancingChain): string {
    const name = balancingChainName(chain);
    if (!this.#chains.has(name)) this.#chains.set(name, balancingChain(this.family, chain));
    return name;
  }

  #fillSlots(
    shape: FrontendShape,
    list: ListName,
    protocol: Protocol,
    frontend: string,
    endpoints: readonly string[],
  ): void {
    const map = endpointMap(shape, list, protocol);
    const slots = assignSlots(this.#previous.get(map)?.get(frontend), endpoints);
    const mapSlots = this.#slots.get(map) ?? new Map<string, readonly string[]>();
    this.#slots.set(map, mapSlots);
    mapSlots.set(frontend, slots);
    const elements = this.#elements.get(map) as Map<string, string>;
    for (let slot = 0; slot < slots.length; slot++) elements.set(`${frontend} . ${slot}`, slots[slot] as string);
  }

  /** The table, and the slots for the next one. Balancing chains come in the order of their names, whatever order services came in. */
  build(skeleton: readonly Chain[]): { table: Table; slots: ReadonlyMap<string, MapSlots> } {
    const chains = new Map(skeleton.map((chain) => [chain.name, chain]));
    const own = [...this.#chains.values()].sort((a, b) => Number(a.name > b.name) - Number(a.name < b.name));
    // A chain with affinity goes on to the plain one, which must exist first: `affinity-` sorts before `cluster-`, so plain ones go first.
    const isPlain = (chain: Chain) => !chain.name.startsWith('affinity-');
    for (const chain of [...own.filter(isPlain), ...own.filter((each) => !isPlain(each))])
      chains.set(chain.name, chain);
    return { table: { family: this.family, chains, sets: this.#sets, elements: this.#elements }, slots: this.#slots };
  }
}
