import isEqual from 'lodash-es/isEqual.js';
import { LiveRuleset, type ServiceChanges } from '../compile/nftables/live-ruleset.ts';
import { affectsAffinity } from '../compile/nftables/affinity.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { serverOwner } from '../compile/ipvs/describe.ts';
import type { ServersPlan } from '../diff/ipvs.ts';
import type { FailedStep } from '../kernel/ipvs-kernel.ts';
import { type Kernel, KernelError } from '../kernel/kernel.ts';
import type { NodeState, ProxyState } from '../model/proxy-state.ts';
import { families, type Family } from '../net/ip.ts';
import {
  type Elements,
  elementsOf,
  isDynamic,
  type Ruleset,
  type SetDeclaration,
  type Table,
} from '../ruleset/nftables/ruleset.ts';
import { type Command, elementId, type Transaction } from '../ruleset/nftables/transaction.ts';
import { adopt } from './adopt.ts';
import { applyTransaction, type SetAside } from './apply-transaction.ts';
import { auditMap, auditStructure, type Wrong, wrongServers } from './audit.ts';
import { type Forgotten, forgetStaleAffinity } from './forget-affinity.ts';
import { chunkTransaction, planTransaction, splitAround } from './plan-transactions.ts';
import { readExpected, readMost, readRuleset } from './read-ruleset.ts';
import { joinRecords, recordOf, type ServersKeeper } from './servers.ts';

/** What bringing the kernel up to date came to. */
export interface SyncResult extends Forgotten {
  /** Was the kernel read and compared as a whole, or was only the change sent? */
  readonly kind: 'full' | 'partial';
  readonly commands: number;
  readonly setAside: readonly SetAside[];
  /** Why what was believed of the kernel had to be given up, if it had. */
  readonly refusal?: KernelError;
  /** Mode ipvs: how many steps were carried out, and those that were not. */
  readonly steps: number;
  readonly failedSteps: readonly FailedStep[];
  /** Something of the kernel was adopted unread. */
  readonly isAuditDue?: boolean;
}

export interface AuditResult {
  /** What was not as it should be, and is again. */
  readonly wrong: readonly Wrong[];
  readonly setAside: readonly SetAside[];
}

export interface KeeperOptions {
  /** What keeps IPVS beside the tables, in mode ipvs. */
  readonly servers?: ServersKeeper | undefined;
  /** In another mode, where mode ipvs left virtual servers: what takes them away as connections end. */
  readonly openLeftovers?: () => Promise<ServersKeeper | undefined>;
}

/**
 * Keeps a kernel at the ruleset of a state that changes. It knows what the kernel holds from what it has sent, so that a change costs
 * no reading; when a transaction fails, that knowledge is given up, and the next one is planned from what the kernel really holds.
 *
 *   start ── read, adopt, apply ──►  known ◄──── resync: read, compare, apply ◄──┐
 *                                   │    ▲                                       │
 *                      change: send │    └── taken                               │
 *                                   └──────── refused, or not known any more ────┘
 *
 * One thing at a time happens to the kernel; calls wait for those before them. Throws KernelErrors that no smaller transaction would
 * mend (see applyTransaction); the next call begins with a resync then.
 */
export class Keeper {
  readonly #kernel: Kernel;
  /** IPVS, where it is used, or was before. */
  #servers: ServersKeeper | undefined;
  readonly #openLeftovers: KeeperOptions['openLeftovers'];
  #live: LiveRuleset | undefined;
  /** True if the kernel holds what #live says, what is set aside excepted. */
  #isKnown = false;
  /** Owners (or elements that nobody owns) that the kernel refused. Left alone until they change or the next audit. */
  readonly #setAside = new Set<string>();
  /** Keys that changed while an audit reads a map; undefined: none reads. */
  #changedMeanwhile: Set<string> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #readAhead: { readonly ruleset: Promise<Ruleset | undefined>; readonly sinceMs: number } | undefined;

  constructor(kernel: Kernel, { servers, openLeftovers }: KeeperOptions = {}) {
    this.#kernel = kernel;
    this.#servers = servers;
    this.#openLeftovers = openLeftovers;
  }

  /** Does something of IPVS wait for the end of its connections, or did it fail? Then drain() is to be called from time to time. */
  get hasPending(): boolean {
    return this.#servers?.hasPending ?? false;
  }

  /** The desired ruleset; undefined before the start. */
  get live(): LiveRuleset | undefined {
    return this.#live;
  }

  /** How many services (or elements that no single service owns) the kernel refused. */
  get setAsideCount(): number {
    return this.#setAside.size;
  }

  /** Begins to read the kernel, which takes seconds where it holds much, while the cluster's state is still on its way. */
  readAhead(): void {
    const ruleset = readMost(this.#kernel).catch(() => undefined);
    this.#readAhead = { ruleset, sinceMs: performance.now() };
  }

  /** Somebody else changed the kernel. */
  forgetReadAhead(): void {
    this.#readAhead = undefined;
  }

  /** What was read ahead, unless that failed or is not fresh any more. */
  async #takeReadAhead(): Promise<Ruleset | undefined> {
    const { ruleset, sinceMs = 0 } = this.#readAhead ?? {};
    const read = await ruleset;
    const isFresh = this.#readAhead !== undefined && performance.now() - sinceMs < freshMs;
    this.#readAhead = undefined;
    return isFresh ? read : undefined;
  }

  /** Takes over what the kernel holds: endpoints keep their slots there, and only what differs is sent. */
  start({ servicePorts, ...node }: ProxyState): Promise<SyncResult> {
    return this.#exclusively(async () => {
      const read = await this.#takeReadAhead();
      const { live, actual, isComplete } = await adopt(this.#kernel, node, servicePorts, { read });
      this.#live = live;
      const result = await this.#bring(live, actual);
      return isComplete ? result : { ...result, isAuditDue: true };
    });
  }

  /** Takes in Services as they are now, and the node's own state where that changed. */
  change(changes: ServiceChanges, node: NodeState): Promise<SyncResult> {
    return this.#exclusively(async () => {
      if (this.#live === undefined) throw new Error('change before start');
      for (const service of changes.keys()) this.#liftSetAside(service);
      const isSameNode = isEqual(node, this.#live.node);
      if (!this.#isKnown || this.#servers?.isKnown === false || (!isSameNode && this.#servers !== undefined)) {
        // Its addresses are virtual servers in mode ipvs: all is compared.
        if (isSameNode) this.#changeServices(this.#live, changes);
        else this.#changeNode(this.#live, changes, node);
        // Until that has come to its end.
        this.#isKnown = false;
        return await this.#resync();
      }
      if (!isSameNode) return await this.#send(this.#changeNode(this.#live, changes, node));
      this.#live.change(changes);
      const plan = this.#servers?.planChange(this.#live);
      return await this.#send(this.#live.takeChanges(), plan);
    });
  }

  /** Mode ipvs: takes away what waited for the end of its connections, where these have ended, and tries again what failed. */
  drain(): Promise<SyncResult> {
    return this.#exclusively(async () => {
      if (this.#live === undefined || this.#servers === undefined) throw new Error('drain before start');
      if (!this.#isKnown || !this.#servers.isKnown) return await this.#resync();
      const plan = await this.#servers.planPending(this.#live);
      return await this.#send(this.#live.takeChanges(), plan);
    });
  }

  /** Reads the kernel, compares, and sends what differs. */
  resync(): Promise<SyncResult> {
    return this.#exclusively(() => this.#resync());
  }

  /**
   * Compares the kernel with the desired ruleset, map by map, and mends it. Changes go on meanwhile: what they change is not judged by
   * a reading from before.
   */
  async audit(): Promise<AuditResult> {
    const wrong: Wrong[] = [];
    const setAside: SetAside[] = [];
    const mend = async (found: { commands: readonly Command[]; wrong: readonly Wrong[] }) => {
      wrong.push(...found.wrong);
      if (found.commands.length > 0) setAside.push(...(await this.#apply({ commands: found.commands })));
    };
    this.#setAside.clear();
    if (!this.#isKnown) await this.resync();
    for (const family of families) {
      await this.#exclusively(async () => mend(await auditStructure(this.#kernel, this.#table(family))));
      for (const set of this.#table(family).sets.values()) {
        if (isDynamic(set)) continue;
        await this.#readAside(family, set, async (actual, changed) =>
          mend(auditMap(this.#table(family), set, actual, changed)),
        );
      }
    }
    wrong.push(...(await this.#exclusively(() => this.#auditServers())));
    return { wrong, setAside };
  }

  async #auditServers(): Promise<readonly Wrong[]> {
    if (this.#servers?.isKnown !== true || this.#live === undefined || !this.#isKnown) return [];
    // What waited and has ended is no fault of anybody.
    const drained = await this.#servers.planPending(this.#live);
    await this.#send(this.#live.takeChanges(), drained);
    if (!this.#servers.isKnown) return [];
    const plan = await this.#servers.planWhole(this.#live, recordOf(this.#live.ruleset));
    const { failedSteps } = await this.#send(this.#live.takeChanges(), plan);
    const failed = new Set(failedSteps.map(({ step }) => step));
    return wrongServers(plan.steps.filter((step) => !failed.has(step) && !this.#isStepSetAside(step)));
  }

  /** Reads a map while changes go on, then hands it over with the keys that were changed meanwhile. */
  async #readAside(
    family: Family,
    set: SetDeclaration,
    judge: (actual: Elements, changed: ReadonlySet<string>) => Promise<void>,
  ): Promise<void> {
    const live = this.#live;
    const changed = new Set<string>();
    try {
      // Begins between two changes, so that none is under way that the reading may or may not see.
      const reading = await this.#exclusively(() => {
        this.#changedMeanwhile = changed;
        const expected = elementsOf(this.#table(family), set.name);
        return Promise.resolve({ found: readExpected(this.#kernel, family, set, expected, true) });
      });
      const { elements } = await reading.found;
      await this.#exclusively(() => (this.#live === live ? judge(elements, changed) : Promise.resolve()));
    } finally {
      this.#changedMeanwhile = undefined;
    }
  }

  #table(family: Family): Table {
    if (this.#live === undefined) throw new Error('audit before start');
    return this.#live.ruleset[family];
  }

  #changeServices(live: LiveRuleset, changes: ServiceChanges): void {
    live.change(changes);
    live.takeChanges();
  }

  /** What the node is concerns every service, so all are compiled anew, on the slots that they have. */
  #changeNode(live: LiveRuleset, changes: ServiceChanges, node: NodeState): Transaction {
    const next = new LiveRuleset(node, live.servicePorts(), live.slots, live.ruleset);
    next.change(changes);
    next.takeChanges();
    this.#live = next;
    return planTransaction(next.ruleset, live.ruleset);
  }

  async #send(transaction: Transaction, plan?: ServersPlan): Promise<SyncResult> {
    const { commands } = transaction;
    this.#note(commands);
    const planned = plan && this.#live ? (this.#servers?.stepsOf(this.#live, plan, transaction) ?? []) : [];
    const steps = planned.filter((step) => !this.#isStepSetAside(step));
    const [before, after] = splitAround(transaction, steps.length > 0, this.#live?.node.ipvs !== undefined);
    let failedSteps: readonly FailedStep[] = [];
    try {
      for (const chunk of chunkTransaction(before)) await this.#kernel.apply(chunk);
      failedSteps = (await this.#servers?.apply(steps)) ?? [];
      for (const chunk of chunkTransaction(after)) await this.#kernel.apply(chunk);
      if (failedSteps.length > 0) await this.#keepFailed();
    } catch (error) {
      this.#isKnown = false;
      if (!(error instanceof KernelError) || !isRefusal(error)) throw error;
      return { ...(await this.#resync()), refusal: error };
    }
    const tables = families
      .map((family) => this.#table(family))
      .filter((table) => commands.some((command) => affectsAffinity(table, command)));
    const forgotten = tables.length === 0 ? { forgotten: 0 } : await forgetStaleAffinity(this.#kernel, tables);
    return { kind: 'partial', commands: commands.length, setAside: [], steps: steps.length, failedSteps, ...forgotten };
  }

  async #resync(): Promise<SyncResult> {
    if (this.#live === undefined) throw new Error('resync before start');
    return this.#bring(this.#live, await readRuleset(this.#kernel));
  }

  async #bring(live: LiveRuleset, actual: Awaited<ReturnType<typeof readRuleset>>): Promise<SyncResult> {
    // Somebody may have taken the tables away, and with them what they tell.
    const record = joinRecords(recordOf(actual), recordOf(live.ruleset));
    if (record.servers.size + record.ips.size > 0) this.#servers ??= await this.#openLeftovers?.();
    const planned = (await this.#servers?.planWhole(live, record))?.steps ?? [];
    live.takeChanges();
    const { commands } = planTransaction(live.ruleset, actual);
    const wanted = this.#setAside.size === 0 ? commands : commands.filter((command) => !this.#isSetAside(command));
    const [before, after] = splitAround({ commands: wanted }, planned.length > 0, live.node.ipvs !== undefined);
    const setAside = [...(await this.#apply(before))];
    const steps = planned.filter((step) => !this.#isStepSetAside(step));
    const failedSteps = (await this.#servers?.apply(steps)) ?? [];
    setAside.push(...(await this.#apply(after)));
    if (failedSteps.length > 0) await this.#keepFailed();
    this.#isKnown = true;
    const known = families.filter((family) => actual[family] !== undefined).map((family) => live.ruleset[family]);
    const forgotten = await forgetStaleAffinity(this.#kernel, known);
    return { kind: 'full', commands: wanted.length, setAside, steps: steps.length, failedSteps, ...forgotten };
  }

  /** Applies what was planned from a reading of the kernel; what it refuses is set aside. */
  async #apply(transaction: Transaction): Promise<readonly SetAside[]> {
    this.#note(transaction.commands);
    try {
      const { setAside } = await applyTransaction(this.#kernel, transaction, this.#ownerOf);
      for (const { owner, transaction: refused } of setAside) {
        for (const command of refused.commands)
          if (command.kind === 'element') this.#setAside.add(owner ?? elementId(command));
      }
      return setAside;
    } catch (error) {
      this.#isKnown = false;
      throw error;
    }
  }

  readonly #ownerOf: LiveRuleset['ownerOf'] = (family, set, key) => this.#live?.ownerOf(family, set, key);

  #isSetAside(command: Command): boolean {
    if (command.kind !== 'element') return false;
    return this.#setAside.has(this.#ownerOf(command.family, command.set.name, command.key) ?? elementId(command));
  }

  async #keepFailed(): Promise<void> {
    if (this.#live === undefined) return;
    this.#servers?.keepFailed(this.#live);
    await this.#kernel.apply(this.#live.takeChanges());
  }

  /** A service whose source ranges the kernel refused, for one, must not be reachable without them. */
  #isStepSetAside(step: Step): boolean {
    if (this.#setAside.size === 0 || !('server' in step) || step.verb === 'delete') return false;
    return this.#setAside.has(serverOwner(step.server, this.#ownerOf) ?? '');
  }

  #liftSetAside(service: string): void {
    for (const id of this.#setAside) if (id === service || id.startsWith(`${service}:`)) this.#setAside.delete(id);
  }

  #note(commands: readonly Command[]): void {
    if (this.#changedMeanwhile === undefined) return;
    for (const command of commands) if (command.kind === 'element') this.#changedMeanwhile.add(elementId(command));
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** Without a monitor of the kernel nobody says when others change it. */
const freshMs = 30_000;

function isRefusal({ failure }: KernelError): boolean {
  return failure === 'refused' || failure === 'full' || failure === 'too-big';
}
