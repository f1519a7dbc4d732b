import type { ServicePort } from '../../model/service-port.ts';
import type { Family } from '../../net/ip.ts';
import { type Chain, concatenate } from '../../ruleset/nftables/ruleset.ts';
import { type BalancingChain, balancingChain, balancingNumber, maxEndpoints } from './balancing.ts';
import { endpointMap } from './names.ts';
import type { ContributedServer } from '../ipvs/contributed-server.ts';
import { assignSlots, type Slots } from './slots.ts';

/** The endpoints of one frontend by slot, in one endpoint map. */
export interface ContributedSlots {
  readonly map: string;
  readonly frontend: string;
  readonly slots: readonly string[];
}

const noSlots: Slots = new Map();
// One for all, and never push() or a spread: most contributions have one of each, and V8 keeps room for 16 more in both cases.
const none: readonly never[] = [];

/**
 * What one service port (or the node) adds to a table: elements, the chains that these lead to, and slots. Features add theirs to it
 * one after the other; a table is the sum of contributions, so that one can be taken out and replaced by a newer one.
 */
export class Contribution {
  readonly family: Family;
  /** Whose it is; undefined for the node's. */
  readonly servicePort: ServicePort | undefined;
  chains: readonly Chain[] = none;
  slots: readonly ContributedSlots[] = none;
  /** Mode ipvs only. */
  servers: readonly ContributedServer[] = none;
  /** Set, key and value of one element after the other: a large cluster has hundreds of thousands, and objects would take twice as much. */
  #elements: string[] = [];
  #previous: Slots;

  constructor(family: Family, previous: Slots = noSlots, servicePort?: ServicePort) {
    this.family = family;
    this.servicePort = servicePort;
    this.#previous = previous;
  }

  add(set: string, key: string, value = ''): void {
    this.#elements.push(set, key, value);
  }

  forEachElement(visit: (set: string, key: string, value: string) => void): void {
    const elements = this.#elements;
    for (let i = 0; i < elements.length; i += 3) visit(elements[i] ?? '', elements[i + 1] ?? '', elements[i + 2] ?? '');
  }

  /** Nothing more comes: gives back what the arrays hold in reserve, and the past. */
  seal(): this {
    this.#elements = this.#elements.slice();
    this.#previous = noSlots;
    return this;
  }

  addServer(server: ContributedServer): void {
    this.servers = this.servers.concat(server);
  }

  addChain(chain: Chain): void {
    if (!this.chains.some(({ name }) => name === chain.name)) this.chains = this.chains.concat(chain);
  }

  /** Gives a frontend's list of endpoints its slots and returns the number of the chain that balances over them. */
  balance(frontend: string, list: readonly string[], chain: Omit<BalancingChain, 'count'>): string {
    const endpoints = list.length > maxEndpoints ? list.slice(0, maxEndpoints) : list;
    const map = endpointMap(chain.shape, chain.list, chain.protocol);
    const slots = assignSlots(this.#previous.get(map)?.get(frontend), endpoints);
    this.slots = this.slots.concat({ map, frontend, slots });
    slots.forEach((endpoint, slot) => this.add(map, concatenate(frontend, String(slot)), endpoint));
    const full = { ...chain, count: endpoints.length };
    this.addChain(balancingChain(this.family, chain.hasAffinity ? { ...full, hasAffinity: false } : full));
    if (chain.hasAffinity) this.addChain(balancingChain(this.family, full));
    return balancingNumber(full);
  }
}
