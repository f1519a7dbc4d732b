import isEqual from 'lodash-es/isEqual.js';
import partition from 'lodash-es/partition.js';
import { interfaceName } from '../ruleset/ipvs/virtual-server.ts';
import { hasOwnInterface, readNodeAddresses } from '../kernel/node-addresses.ts';
import type { FailedStep } from '../kernel/ipvs-kernel.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { deleteConntrack, readConntrack } from '../kernel/netlink/conntrack.ts';
import { families, type Family, familyName, type Ip } from '../net/ip.ts';
import type { Conflict } from '../compile/nftables/claims.ts';
import { isEndpointMap } from '../compile/nftables/names.ts';
import type { OwnerOf } from '../compile/nftables/owners.ts';
import { type AuditResult, Keeper, type SyncResult } from '../reconcile/keeper.ts';
import type { ServersKeeper } from '../reconcile/servers.ts';
import { adoptedUnread, SyncLoop } from '../reconcile/sync-loop.ts';
import { nodeAddressTest, UdpFlows } from '../reconcile/udp-flows.ts';
import { ClusterStore, type SourceChanges, type WatchedKind } from '../source/cluster-store.ts';
import { printStep } from '../ruleset/ipvs/print-step.ts';
import type { Node } from '../source/objects.ts';
import type { Settings } from '../source/settings.ts';
import type { AgentSource, AgentSourceOptions } from './agent-source.ts';
import { holdsMuch, preferLittleMemory, releaseMemory } from './memory.ts';
import { reportConflicts, reportFailedSteps, reportSetAside } from './report.ts';
import { plural, type Reporter } from './terminal.ts';

/** Told what the agent does, for metrics, health and events. */
export interface AgentObserver {
  /** An object changed; so many changes now wait. */
  changed(kind: WatchedKind, pending: { readonly services: number; readonly endpoints: number }): void;
  /** The node's own object came, changed or went. */
  nodeSeen(node: Node | undefined): void;
  /** Everything that rules follow from is known. */
  sourceSynced(): void;
  /** Something waits to be programmed. */
  queued(): void;
  synced(result: SyncResult, changes: SourceChanges, durationMs: number, keeper: Keeper): void;
  /** Mode ipvs: what had waited was done, as far as it could be. */
  drained(result: SyncResult): void;
  failed(error: Error): void;
  audited(result: AuditResult): void;
  foreignChange(): void;
  conntrackCleaned(deleted: Readonly<Record<Family, number>>, durationMs: number): void;
}

export interface AgentOptions {
  readonly nodeName: string;
  readonly settings: Settings;
  /** The addresses of the node's interfaces where they are given; else the kernel is asked, again and again. */
  readonly nodeAddresses: readonly Ip[] | undefined;
  readonly kernel: Kernel;
  /** Mode ipvs: what keeps IPVS beside the tables. */
  readonly servers: ServersKeeper | undefined;
  /** In mode nftables, where mode ipvs was before. */
  readonly openLeftovers: () => Promise<ServersKeeper | undefined>;
  readonly reporter: Reporter;
  readonly observer: AgentObserver;
  readonly minSyncPeriodMs: number;
  /** The longest wait before a failed sync is tried again. */
  readonly syncPeriodMs: number;
  readonly auditPeriodMs: number;
  readonly openSource: (options: AgentSourceOptions) => AgentSource;
  /** Begins to watch who else changes our tables; returns what ends that. */
  readonly watchKernel: (onForeignChange: (reason: string) => void) => () => void;
}

/** How often the addresses of the node's interfaces are looked at. */
const addressPeriodMs = 5_000;

/** How long a stop may wait for a transaction that is under way. */
const stopMs = 700;

/** A node's service proxy at work: a source of cluster objects, the rules that follow from them, and the kernel that is kept at those. */
export class Agent {
  readonly #options: AgentOptions;
  readonly store: ClusterStore;
  readonly keeper: Keeper;
  readonly #source: AgentSource;
  readonly #loop: SyncLoop<SourceChanges>;
  readonly #flows = new UdpFlows();
  #cleaning: Promise<void> | undefined;
  #nodeAddresses: readonly Ip[];
  #conflicts: readonly Conflict[] = [];
  readonly #failedSteps = new Set<string>();
  #addressTimer: NodeJS.Timeout | undefined;
  #unwatchKernel: () => void = () => undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { nodeName, settings, reporter } = options;
    this.#nodeAddresses = options.nodeAddresses ?? readNodeAddresses();
    const named = options.nodeAddresses && { namedAddresses: options.nodeAddresses };
    this.store = new ClusterStore({ nodeName, settings, nodeAddresses: this.#nodeAddresses, ...named }, (kind) => {
      options.observer.changed(kind, this.store.pending);
      if (kind === 'Node') options.observer.nodeSeen(this.store.ownNode);
      if (this.#source.hasSynced) this.#loop.trigger();
    });
    const { servers, openLeftovers } = options;
    this.keeper = new Keeper(options.kernel, { servers, openLeftovers });
    this.#loop = new SyncLoop({
      keeper: this.keeper,
      takeChanges: () => this.#takeChanges(),
      minSyncPeriodMs: options.minSyncPeriodMs,
      auditPeriodMs: options.auditPeriodMs,
      retry: { minMs: 500, maxMs: options.syncPeriodMs },
      onQueued: () => options.observer.queued(),
      onSynced: (...args) => this.#synced(...args),
      onFailed: (error, retryMs) => this.#failed(error, retryMs),
      onAudited: (...args) => this.#audited(...args),
      onDrained: (result) => {
        this.#reportFailedSteps(result);
        options.observer.drained(result);
      },
    });
    const onSynced = () => {
      // The lists have left the most behind that there will be, and what compiling takes comes on top of it.
      releaseMemory();
      if (!holdsMuch()) preferLittleMemory();
      options.observer.sourceSynced();
      this.#loop.trigger();
    };
    this.#source = options.openSource({ store: this.store, reporter, onSynced });
  }

  get nodeAddresses(): readonly Ip[] {
    return this.#nodeAddresses;
  }

  async start(): Promise<void> {
    this.#unwatchKernel = this.#options.watchKernel((reason) => {
      this.#options.observer.foreignChange();
      this.keeper.forgetReadAhead();
      this.#loop.requestAudit(reason);
    });
    this.keeper.readAhead();
    await this.#source.start();
    if (this.#options.nodeAddresses === undefined)
      this.#addressTimer = setInterval(() => this.#lookAtAddresses(), addressPeriodMs);
  }

  /** Ends within a second; the rules stay. */
  async stop(): Promise<void> {
    this.#source.stop();
    clearInterval(this.#addressTimer);
    this.#unwatchKernel();
    await Promise.race([this.#loop.stop(), new Promise((resolve) => setTimeout(resolve, stopMs).unref())]);
  }

  #lookAtAddresses(): void {
    if (this.#options.settings.mode === 'ipvs' && this.keeper.live !== undefined && !hasOwnInterface())
      this.#loop.requestAudit(`interface ${interfaceName} is gone`);
    const now = readNodeAddresses();
    if (isEqual(now, this.#nodeAddresses)) return;
    this.#nodeAddresses = now;
    this.store.setNodeAddresses(now);
  }

  #takeChanges(): SourceChanges {
    const changes = this.store.takeChanges();
    for (const { object, message } of changes.problems)
      this.#options.reporter.warn(`${object}: ${message}`, { object });
    return changes;
  }

  #synced(result: SyncResult, changes: SourceChanges, durationMs: number): void {
    const { reporter, observer } = this.#options;
    if (result.refusal !== undefined) {
      const { message } = result.refusal;
      reporter.warn(
        `the kernel did not hold what was thought (${message}); it was read and brought up to date as a whole`,
      );
    }
    reportSetAside(reporter, result.setAside);
    this.#reportFailedSteps(result);
    if (result.forgetError !== undefined)
      reporter.warn(`remembered session affinity could not be cleaned up: ${result.forgetError.message}`);
    if (result.kind === 'full') {
      const parts = [
        ...(result.commands > 0 ? [plural(result.commands, 'command')] : []),
        ...(result.steps > 0 ? [`${plural(result.steps, 'step')} of IPVS and addresses`] : []),
      ];
      const sent = parts.length === 0 ? 'nothing to change' : parts.join(', ');
      reporter.info(
        `${plural(this.store.serviceCount, 'service')} in place: ${sent} after comparing with the kernel, ${durationMs.toFixed(0)} ms`,
      );
    }
    this.#reportConflicts();
    observer.synced(result, changes, durationMs, this.keeper);
    if (this.#flows.change(changes.services)) this.#cleanConntrack();
    if (result.kind === 'full') setImmediate(standBy);
  }

  readonly #ownerOf: OwnerOf = (family, set, key) => this.keeper.live?.ownerOf(family, set, key);

  /** What fails again and again is said once. */
  #reportFailedSteps({ failedSteps }: SyncResult): void {
    const isNew = ({ step }: FailedStep) => !this.#failedSteps.has(printStep(step));
    reportFailedSteps(this.#options.reporter, failedSteps.filter(isNew), this.#ownerOf);
    if (!this.keeper.hasPending) this.#failedSteps.clear();
    for (const { step } of failedSteps) this.#failedSteps.add(printStep(step));
  }

  #reportConflicts(): void {
    const conflicts = this.keeper.live?.conflicts ?? [];
    if (isEqual(conflicts, this.#conflicts)) return;
    reportConflicts(
      this.#options.reporter,
      conflicts.filter((conflict) => !this.#conflicts.some((known) => isEqual(known, conflict))),
    );
    this.#conflicts = conflicts;
  }

  #failed(error: Error, retryMs: number): void {
    const { reporter, observer } = this.#options;
    reporter.error(`${error.message}; trying again in ${(retryMs / 1000).toFixed(1)} s, the rules stay as they are`);
    observer.failed(error);
  }

  #audited(result: AuditResult, reason: string): void {
    const { reporter, observer } = this.#options;
    reportSetAside(reporter, result.setAside);
    // Endpoints that an earlier instance left where the start did not look are nobody's fault.
    const [leftOver, wrong] = partition(result.wrong, ({ place }) => reason === adoptedUnread && isEndpointMap(place));
    for (const { family, place, count } of leftOver)
      reporter.info(`table ${family} vipmap: ${plural(count, 'element')} of ${place} left over from before: removed`);
    for (const { family, place, count, example } of wrong)
      reporter.warn(
        `${place === 'IPVS' ? `IPVS (${familyName[family]})` : `table ${family} vipmap`} was not as it should be and was mended: ${place}, ${count} wrong (${example}); seen because: ${reason}`,
        { family, place, count, reason },
      );
    observer.audited({ ...result, wrong });
  }

  /** Beside the loop: it may take long on a node with many connections, and rules must not wait for it. */
  #cleanConntrack(): void {
    this.#cleaning ??= this.#cleanOnce().finally(() => (this.#cleaning = undefined));
  }

  async #cleanOnce(): Promise<void> {
    const { reporter, observer } = this.#options;
    const start = performance.now();
    const isNodeAddress = nodeAddressTest(this.#nodeAddresses);
    try {
      const flows = this.#flows.take();
      const stale = await readConntrack('udp', (entry) => flows.isStale(entry, isNodeAddress));
      if (stale === undefined) return;
      const deleted = { ip: 0, ip6: 0 };
      for (const family of families) {
        const ofFamily = stale.filter((entry) => entry.family === family);
        if (ofFamily.length > 0) deleted[family] = (await deleteConntrack(ofFamily)) ?? 0;
      }
      const count = deleted.ip + deleted.ip6;
      if (count > 0) reporter.info(`${plural(count, 'UDP flow')} forgotten whose endpoint or service is gone`);
      observer.conntrackCleaned(deleted, performance.now() - start);
    } catch (error) {
      reporter.warn(`UDP flows to endpoints that are gone could not be cleaned up: ${(error as Error).message}`);
    }
    if (this.#flows.hasChanged) await this.#cleanOnce();
  }
}

function standBy(): void {
  preferLittleMemory();
  releaseMemory();
}
