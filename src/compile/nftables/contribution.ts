import type { Family } from '../../net/ip.ts';
import type { Chain } from '../../ruleset/nftables/ruleset.ts';
import { type BalancingChain, balancingChain, balancingChainName } from './balancing.ts';
import { endpointMap } from './names.ts';
import type { ContributedServer } from '../ipvs/contributed-server.ts';
import { assignSlots, type Slots } from './slots.ts';

export interface ContributedElement {
  readonly set: string;
  readonly key: string;
  readonly value: string;
}

/** The endpoints of one frontend by slot, in one endpoint map. */
export interface ContributedSlots {
  readonly map: string;
  readonly frontend: string;
  readonly slots: readonly string[];
}

/**
 * What one service port (or the node) adds to a table: elements, the chains that these lead to, and slots. Features add theirs to it
 * one after the other; a table is the sum of contributions, so that one can be taken out and replaced by a newer one.
 */
export class Contribution {
  readonly family: Family;
  readonly elements: ContributedElement[] = [];
  readonly chains = new Map<string, Chain>();
  readonly slots: ContributedSlots[] = [];
  /** Mode ipvs only. */
  readonly servers: ContributedServer[] = [];
  readonly #previous: Slots;

  constructor(family: Family, previous: Slots) {
    this.family = family;
    this.#previous = previous;
  }

  add(set: string, key: string, value = ''): void {
    this.elements.push({ set, key, value });
  }

  addChain(chain: Chain): void {
    if (!this.chains.has(chain.name)) this.chains.set(chain.name, chain);
  }

  /** Gives a frontend's list of endpoints its slots and returns the verdict that balances over them. */
  balance(frontend: string, endpoints: readonly string[], chain: Omit<BalancingChain, 'count'>): string {
    const map = endpointMap(chain.shape, chain.list, chain.protocol);
    const slots = assignSlots(this.#previous.get(map)?.get(frontend), endpoints);
    this.slots.push({ map, frontend, slots });
    for (const [slot, endpoint] of slots.entries()) this.add(map, `${frontend} . ${slot}`, endpoint);
    const plain = { ...chain, count: endpoints.length, hasAffinity: false };
    this.#addBalancingChain(plain);
    return `goto ${chain.hasAffinity ? this.#addBalancingChain({ ...plain, hasAffinity: true }) : balancingChainName(plain)}`;
  }

  #addBalancingChain(chain: BalancingChain): string {
    const name = balancingChainName(chain);
    if (!this.chains.has(name)) this.chains.set(name, balancingChain(this.family, chain));
    return name;
  }
}
