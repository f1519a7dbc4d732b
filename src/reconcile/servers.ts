import { sets } from '../compile/nftables/names.ts';
import type { LiveRuleset } from '../compile/nftables/live-ruleset.ts';
import {
  type ActualServers,
  addressSteps,
  diffServers,
  type Judgement,
  planServers,
  type ServersPlan,
  type ServersRecord,
} from '../diff/ipvs.ts';
import type { FailedStep, IpvsKernel } from '../kernel/ipvs-kernel.ts';
import type { Ip } from '../net/ip.ts';
import { families } from '../net/ip.ts';
import { applyStep, type ServersImage } from '../ruleset/ipvs/apply-steps.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { type VirtualServer, virtualServerKey } from '../ruleset/ipvs/virtual-server.ts';
import type { Ruleset } from '../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../ruleset/nftables/transaction.ts';

export interface ServersOptions {
  readonly kernel: IpvsKernel;
  /** How long a real server that leaves may keep its connections; 0: for ever. */
  readonly terminationLimitMs: number;
  /** Milliseconds, from any fixed point. */
  readonly clock: () => number;
}

/** What of IPVS is ours by the companion tables that are in the kernel. */
export function recordOf(actual: Ruleset): ServersRecord {
  const keys = (set: string) =>
    new Set(families.flatMap((family) => [...(actual[family]?.elements.get(set)?.keys() ?? [])]));
  return { servers: keys(sets.virtualServers), ips: keys(sets.boundIps) };
}

export function joinRecords(a: ServersRecord, b: ServersRecord): ServersRecord {
  return { servers: new Set([...a.servers, ...b.servers]), ips: new Set([...a.ips, ...b.ips]) };
}

/**
 * Keeps IPVS and the addresses of our interface at what a LiveRuleset asks for: the part of mode ipvs that is not a table. It knows what
 * the kernel holds from what it has sent.
 *
 * In mode nftables it takes away what mode ipvs left, as connections end.
 */
export class ServersKeeper {
  readonly #options: ServersOptions;
  #image: (ServersImage & { readonly others: ReadonlySet<Ip> }) | undefined;
  #record: ServersRecord = { servers: new Set(), ips: new Set() };
  #draining: ReadonlyMap<string, VirtualServer> = new Map();
  #leaving = new Set<string>();
  /** Virtual servers of which a step failed, by key. */
  readonly #failed = new Set<string>();
  #hasFailedAddresses = false;
  /** In another mode than ipvs: is something of that left? */
  #hasLeft = false;
  /** When a real server was first seen to wait for its connections, by both keys. */
  readonly #waitingSince = new Map<string, number>();

  constructor(options: ServersOptions) {
    this.#options = options;
  }

  /** False before the first reading, and when a run of steps broke off. */
  get isKnown(): boolean {
    return this.#image !== undefined;
  }

  /** Does something wait for the end of its connections, or did it fail? */
  get hasPending(): boolean {
    return this.#leaving.size > 0 || this.#failed.size > 0 || this.#hasFailedAddresses || this.#hasLeft;
  }

  /** Reads the kernel and compares it as a whole. What waits for the end of connections is left waiting: see planPending. */
  async planWhole(live: LiveRuleset, record: ServersRecord): Promise<ServersPlan> {
    await this.#read(live, record);
    return this.#noteWhole(live, () => false);
  }

  async #read(live: LiveRuleset, record: ServersRecord): Promise<void> {
    const { kernel } = this.#options;
    const [servers, addresses] = [await kernel.readVirtualServers(), await kernel.readAddresses()];
    this.#image = { servers: new Map(servers), own: addresses.own && new Set(addresses.own), others: addresses.others };
    // Mode nftables has no companion that would go on to tell. What is gone may come again as somebody else's.
    const known = live.node.ipvs === undefined ? joinRecords(this.#record, record) : record;
    this.#record = {
      servers: new Set([...known.servers].filter((key) => servers.has(key))),
      ips: new Set([...known.ips].filter((ip) => addresses.own?.has(ip as Ip) === true)),
    };
  }

  #noteWhole(live: LiveRuleset, isDrained: Judgement['isDrained']): ServersPlan {
    // Their addresses stay if they do, which the plan says anew.
    this.#setDraining(live, new Map());
    const plan = planServers(live.servers.servers, live.boundIps, this.#actual(), this.#judgement(live, isDrained));
    live.servers.takeTouched();
    this.#failed.clear();
    this.#hasFailedAddresses = false;
    this.#leaving = new Set(plan.leaving);
    this.#setDraining(live, plan.draining);
    if (live.node.ipvs === undefined) this.#keepRecord(live);
    return plan;
  }

  /** In another mode everything that is left of ours is written down until it was seen to be gone. */
  #keepRecord(live: LiveRuleset): void {
    const { servers, own } = this.#actual();
    const left = new Map([...servers].filter(([key]) => this.#record.servers.has(key)));
    const ips = [...(own ?? [])].filter((ip) => this.#record.ips.has(ip));
    this.#hasLeft = left.size + ips.length > 0;
    live.drain(left, ips);
  }

  /** What the changes since the last plan ask for, from what is known of the kernel. Call before the table's changes are taken. */
  planChange(live: LiveRuleset): ServersPlan {
    const touched = live.servers.takeTouched();
    // In another mode no service asks for anything here.
    if (live.node.ipvs === undefined)
      return { steps: [], isWhole: true, draining: this.#draining, leaving: this.#leaving };
    // What came back has all its time when it leaves again.
    for (const key of this.#waitingSince.size > 0 ? touched : [])
      for (const id of live.servers.get(key)?.realServers.keys() ?? []) this.#waitingSince.delete(`${key} ${id}`);
    return this.#notePart(live, touched, () => false);
  }

  /** What may go, now that connections have ended, and what failed before. */
  async planPending(live: LiveRuleset): Promise<ServersPlan> {
    const isDrained = await this.#isDrained(this.#leaving.size > 0);
    const hasFailed = this.#failed.size > 0 || this.#hasFailedAddresses;
    // The kernel is not what it was thought to be: somebody else may have been there.
    if (hasFailed) await this.#read(live, recordOf(live.ruleset));
    if (hasFailed || live.node.ipvs === undefined) return this.#noteWhole(live, isDrained);
    return this.#notePart(live, new Set(this.#leaving), isDrained);
  }

  #notePart(live: LiveRuleset, keys: ReadonlySet<string>, isDrained: Judgement['isDrained']): ServersPlan {
    const plan = diffServers((key) => live.servers.get(key), this.#actual().servers, keys, isDrained);
    const draining = new Map(this.#draining);
    for (const key of [...keys]) {
      this.#leaving.delete(key);
      this.#failed.delete(key);
      draining.delete(key);
    }
    for (const key of plan.leaving) this.#leaving.add(key);
    for (const [key, server] of plan.draining) draining.set(key, server);
    this.#setDraining(live, draining);
    return plan;
  }

  /** The steps of a plan with those for the addresses: of a part, the companion's transaction names them. */
  stepsOf(live: LiveRuleset, plan: ServersPlan, { commands }: Transaction): readonly Step[] {
    if (plan.isWhole) return plan.steps;
    const named = (verb: 'add' | 'delete') =>
      commands.flatMap((command) =>
        command.kind === 'element' && command.set.name === sets.boundIps && command.verb === verb
          ? [command.key as Ip]
          : [],
      );
    const judgement = this.#judgement(live, () => false);
    const { coming, going } = addressSteps(named('add'), named('delete'), this.#actual(), judgement);
    return [...coming, ...plan.steps, ...going];
  }

  /** Carries steps out; those that fail are given, and tried again by planPending. */
  async apply(steps: readonly Step[]): Promise<readonly FailedStep[]> {
    if (steps.length === 0) return [];
    const image = this.#image;
    this.#image = undefined;
    const failed = await this.#options.kernel.apply(steps);
    if (image === undefined) return failed;
    const refused = new Set(failed.map(({ step }) => step));
    for (const step of steps) if (!refused.has(step)) applyStep(image, step);
    this.#image = image;
    for (const step of refused) {
      if ('server' in step) this.#failed.add(virtualServerKey(step.server));
      else this.#hasFailedAddresses = true;
    }
    return failed;
  }

  /** What could not be removed stays written down as ours, as if it waited for connections. Afterwards take the table's changes. */
  keepFailed(live: LiveRuleset): void {
    if (live.node.ipvs === undefined) return;
    const draining = new Map(this.#draining);
    for (const key of this.#failed) {
      const server = this.#image?.servers.get(key);
      if (server === undefined || live.servers.get(key) !== undefined) continue;
      draining.set(key, server);
      this.#leaving.add(key);
    }
    this.#setDraining(live, draining);
  }

  #actual(): ActualServers {
    if (this.#image === undefined) throw new Error('IPVS was not read yet');
    return this.#image;
  }

  #judgement({ node }: LiveRuleset, isDrained: Judgement['isDrained']): Judgement {
    return {
      record: this.#record,
      ownsInterface: node.ipvs !== undefined,
      excludeCidrs: node.ipvs?.excludeCidrs ?? [],
      isDrained,
    };
  }

  #setDraining(live: LiveRuleset, draining: ReadonlyMap<string, VirtualServer>): void {
    this.#draining = draining;
    live.drain(draining);
  }

  /** Asks for connections; the answer is for one plan that goes over everything that is leaving. */
  async #isDrained(hasLeaving: boolean): Promise<Judgement['isDrained']> {
    const before = new Map(this.#waitingSince);
    // What does not wait any more, or came back, starts anew the next time.
    this.#waitingSince.clear();
    if (!hasLeaving) return () => false;
    const { kernel, terminationLimitMs, clock } = this.#options;
    const connections = await kernel.readConnections(this.#leaving);
    const now = clock();
    return (server, realServer) => {
      const id = `${server} ${realServer}`;
      const sinceMs = before.get(id) ?? now;
      const isOver = terminationLimitMs > 0 && now - sinceMs >= terminationLimitMs;
      if (isOver || (connections.get(server)?.get(realServer) ?? 0) === 0) return true;
      this.#waitingSince.set(id, sinceMs);
      return false;
    };
  }
}
