import type { NodeState } from '../../model/proxy-state.ts';
import { servicePortName, type ServicePort } from '../../model/service-port.ts';
import { families, type Family, familyOf, type Ip } from '../../net/ip.ts';
import type { VirtualServer } from '../../ruleset/ipvs/virtual-server.ts';
import type { Ruleset, Table } from '../../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../../ruleset/nftables/transaction.ts';
import { LiveServers } from '../ipvs/live-servers.ts';
import { Claims, type Conflict } from './claims.ts';
import { contributeNode, contributeServicePort } from './contribute.ts';
import { Contribution } from './contribution.ts';
import { LiveTable } from './live-table.ts';
import { sets } from './names.ts';
import { frontendOfElement } from './owners.ts';
import { skeletonChains, skeletonSets } from './skeleton.ts';
import type { Slots } from './slots.ts';
import { chainOnDemand } from './spare-chains.ts';

export type FamilySlots = Readonly<Record<Family, Slots>>;

/** What the next ruleset takes from the kernel where there is nothing yet. */
export const noSlots: FamilySlots = { ip: new Map(), ip6: new Map() };

/** A Service and its service ports as they are now; none: there is no such Service (any more), or nothing of it is proxied. */
export type ServiceChanges = ReadonlyMap<string, readonly ServicePort[]>;

/**
 * The ruleset of a node, kept up to date service by service. What it holds after any sequence of changes is what compile() gives for
 * the last state: balancing chains that were needed once, and which endpoint has which slot, aside.
 *
 * No clock, no I/O. A change costs what the services in it have, however many others there are.
 */
export class LiveRuleset {
  readonly node: NodeState;
  /** Mode ipvs: virtual servers; the tables are their companions there. */
  readonly servers = new LiveServers();
  readonly #draining = new Map<string, Contribution>();
  readonly #families: Readonly<Record<Family, LiveFamily>>;

  /** `existing`: what is in the kernel, of which chains made on demand are kept. */
  constructor(
    node: NodeState,
    servicePorts: Iterable<ServicePort>,
    previous: FamilySlots = noSlots,
    existing: Ruleset = {},
  ) {
    this.node = node;
    const family = (name: Family) => new LiveFamily(node, name, previous[name], this.servers);
    this.#families = { ip: family('ip'), ip6: family('ip6') };
    for (const family of families) {
      for (const name of existing[family]?.chains.keys() ?? []) {
        const chain = chainOnDemand(family, name);
        if (chain !== undefined) this.#families[family].table.keepChain(chain);
      }
    }
    this.change(groupByService(servicePorts));
    for (const family of families) this.#families[family].start();
  }

  /** Takes Services, by `namespace/name`, as they are now. */
  change(changes: ServiceChanges): void {
    for (const family of families) this.#families[family].change(changes);
  }

  /** Endpoints of these frontends, by map, take the slots that they had as far as they can. */
  takeSlots(family: Family, previous: Slots): void {
    this.#families[family].takeSlots(previous);
  }

  /**
   * Virtual servers that stay for a while though no service asks for them, all of them, by key; in another mode than ipvs what that
   * left. The tables go on to name them and their addresses as ours, and these addresses.
   */
  drain(servers: ReadonlyMap<string, VirtualServer>, ips: Iterable<Ip> = []): void {
    const wanted = new Map<string, VirtualServer | Ip>([...servers, ...[...ips].map((ip) => [ip, ip] as const)]);
    for (const [key, contribution] of this.#draining) {
      if (wanted.has(key)) continue;
      this.#draining.delete(key);
      this.#families[contribution.family].table.remove(contribution);
    }
    for (const [key, what] of wanted) {
      if (this.#draining.has(key)) continue;
      const ip = typeof what === 'string' ? what : what.ip;
      const contribution = new Contribution(familyOf(ip));
      if (typeof what !== 'string') contribution.add(sets.virtualServers, key);
      if (this.node.ipvs?.interfaceIps.includes(ip) !== true) contribution.add(sets.boundIps, ip);
      this.#draining.set(key, contribution);
      this.#families[contribution.family].table.add(contribution);
    }
  }

  /** What was changed since the last time, in one transaction. */
  takeChanges(): Transaction {
    return { commands: families.flatMap((family) => this.#families[family].table.takeChanges()) };
  }

  get ruleset(): Readonly<Record<Family, Table>> {
    return { ip: this.#families.ip.table.table, ip6: this.#families.ip6.table.table };
  }

  /** Slots in use: what the ruleset of another node state goes on from. */
  get slots(): FamilySlots {
    return { ip: this.#families.ip.slots(), ip6: this.#families.ip6.slots() };
  }

  /** Mode ipvs: services' addresses that are to be on our interface. */
  get boundIps(): readonly Ip[] {
    return families.flatMap((family) => [...(this.ruleset[family].elements.get(sets.boundIps)?.keys() ?? [])] as Ip[]);
  }

  /** Frontends that two services claim: the loser is left out. */
  get conflicts(): readonly Conflict[] {
    return families.flatMap((family) => this.#families[family].claims.conflicts());
  }

  *servicePorts(): Generator<ServicePort> {
    for (const family of families) yield* this.#families[family].servicePorts();
  }

  /** Whose an element is: `shop/web:http`, or undefined for what belongs to no single service, or to one that is gone. */
  readonly ownerOf = (family: Family, set: string, key: string): string | undefined =>
    this.#families[family].ownerOf(set, key);
}

function groupByService(servicePorts: Iterable<ServicePort>): ServiceChanges {
  const services = new Map<string, ServicePort[]>();
  for (const servicePort of servicePorts) {
    const key = [servicePort.namespace, servicePort.service].join('/');
    const siblings = services.get(key);
    if (siblings === undefined) services.set(key, [servicePort]);
    else siblings.push(servicePort);
  }
  return services;
}

class LiveFamily {
  readonly table: LiveTable;
  readonly claims = new Claims();
  readonly #node: NodeState;
  readonly #servers: LiveServers;
  /** The contributions of each Service, by `namespace/name`. */
  readonly #services = new Map<string, readonly Contribution[]>();
  /** Whose a cluster IP or health check port is. */
  readonly #holders = new Map<string, ServicePort>();
  #previous: Slots;

  constructor(node: NodeState, family: Family, previous: Slots, servers: LiveServers) {
    this.#node = node;
    this.#servers = servers;
    this.#previous = previous;
    this.table = new LiveTable(family, skeletonSets(node, family), skeletonChains(node, family));
    this.table.add(contributeNode(node, family));
  }

  /** From here on changes count, and slots come from the table itself. */
  start(): void {
    this.#previous = new Map();
    this.table.trackChanges();
  }

  change(changes: ServiceChanges): void {
    const leaving = new Map<string, readonly ServicePort[]>();
    const coming = new Map<string, readonly ServicePort[]>();
    const isOurs = ({ family }: ServicePort) => family === this.table.family;
    for (const [service, servicePorts] of changes) {
      const before = this.#servicePortsOf(service);
      const after = servicePorts.every(isOurs) ? servicePorts : servicePorts.filter(isOurs);
      if (before.length > 0) leaving.set(service, before);
      if (after.length > 0) coming.set(service, after);
    }
    for (const servicePort of this.claims.replace([...leaving.values()].flat(), [...coming.values()].flat())) {
      const service = `${servicePort.namespace}/${servicePort.service}`;
      // All ports of the Service: they go out and in together.
      const all = this.#servicePortsOf(service);
      leaving.set(service, all);
      coming.set(service, all);
    }
    this.#replace(leaving, coming);
  }

  #servicePortsOf(service: string): readonly ServicePort[] {
    return (this.#services.get(service) ?? []).flatMap(({ servicePort }) => servicePort ?? []);
  }

  takeSlots(previous: Slots): void {
    const services = new Map<string, readonly ServicePort[]>();
    for (const [service, contributions] of this.#services) {
      const isMeant = contributions.some(({ slots }) =>
        slots.some(({ map, frontend }) => previous.get(map)?.has(frontend)),
      );
      if (isMeant) services.set(service, this.#servicePortsOf(service));
    }
    this.#replace(services, services, previous);
  }

  /** All that leaves goes out before anything comes in: a frontend may go from one service to another. */
  #replace(leaving: ServiceChanges, coming: ServiceChanges, slots = this.#slotsOf(leaving)): void {
    for (const service of leaving.keys()) {
      for (const contribution of this.#services.get(service) ?? []) {
        this.table.remove(contribution);
        this.#servers.remove(contribution.servers);
      }
      for (const { clusterIp, healthCheckNodePort } of this.#servicePortsOf(service)) {
        this.#holders.delete(clusterIp);
        this.#holders.delete(String(healthCheckNodePort));
      }
      this.#services.delete(service);
    }
    const isOwner = this.claims.isOwner.bind(this.claims);
    for (const [service, servicePorts] of coming) {
      const contributions = servicePorts.map((servicePort) => {
        const contribution = contributeServicePort(this.#node, servicePort, isOwner, slots);
        this.table.add(contribution);
        this.#servers.add(contribution.servers);
        this.#holders.set(servicePort.clusterIp, servicePort);
        if (servicePort.healthCheckNodePort !== undefined)
          this.#holders.set(String(servicePort.healthCheckNodePort), servicePort);
        return contribution;
      });
      this.#services.set(service, contributions);
    }
  }

  /** The slots of what is about to leave, over those from before the start. */
  #slotsOf(leaving: ServiceChanges): Slots {
    const slots = this.slots(leaving.keys());
    return slots.size > 0 ? slots : this.#previous;
  }

  /** The slots in use of these Services. */
  slots(services: Iterable<string> = this.#services.keys()): Slots {
    const slots = new Map<string, Map<string, readonly string[]>>();
    for (const service of services) {
      for (const contribution of this.#services.get(service) ?? []) {
        for (const { map, frontend, slots: own } of contribution.slots) {
          const mapSlots = slots.get(map) ?? new Map<string, readonly string[]>();
          slots.set(map, mapSlots);
          mapSlots.set(frontend, own);
        }
      }
    }
    return slots;
  }

  *servicePorts(): Generator<ServicePort> {
    for (const service of this.#services.keys()) yield* this.#servicePortsOf(service);
  }

  ownerOf(set: string, key: string): string | undefined {
    const frontend = frontendOfElement(set, key);
    if (frontend === undefined) return undefined;
    const isHeld = set === sets.clusterIps || set === sets.healthCheckNodePorts;
    const owner = isHeld ? this.#holders.get(frontend) : this.claims.ownerOf(frontend);
    return owner && servicePortName(owner);
  }
}
