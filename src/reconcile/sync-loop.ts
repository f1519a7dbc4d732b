import type { ServiceChanges } from '../compile/nftables/live-ruleset.ts';
import { KernelError } from '../kernel/kernel.ts';
import type { NodeState } from '../model/proxy-state.ts';
import type { ServicePort } from '../model/service-port.ts';
import type { AuditResult, Keeper, SyncResult } from './keeper.ts';

/** What a source has learned since it was last asked; the first time, everything. */
export interface Changes {
  readonly services: ServiceChanges;
  readonly node: NodeState;
}

/** Why the kernel is looked at soon after a start that did not read all of it. */
export const adoptedUnread = 'not all was read at the start';

export interface SyncLoopOptions<C extends Changes> {
  readonly keeper: Keeper;
  readonly takeChanges: () => C;
  /** From the end of one run to the start of the next, and how long changes are gathered before a run. */
  readonly minSyncPeriodMs: number;
  /** 0: only when something asks for an audit. */
  readonly auditPeriodMs: number;
  readonly onQueued: () => void;
  readonly onSynced: (result: SyncResult, changes: C, durationMs: number) => void;
  /** Tried again after retryMs. */
  readonly onFailed: (error: Error, retryMs: number) => void;
  readonly onAudited: (result: AuditResult, reason: string) => void;
  /** Something that had waited for the end of its connections is gone, or what had failed was tried again. */
  readonly onDrained: (result: SyncResult) => void;
  /** How long after a failure: doubled each time, up to maxMs. */
  readonly retry?: { readonly minMs: number; readonly maxMs: number };
}

/**
 * Decides when the kernel is brought up to date: soon after something changed, not more often than minSyncPeriod, again after a
 * failure, and looked over from time to time. What comes while a run is under way is gathered for the next.
 */
export class SyncLoop<C extends Changes> {
  readonly #options: SyncLoopOptions<C>;
  readonly #retry: { readonly minMs: number; readonly maxMs: number };
  #timer: NodeJS.Timeout | undefined;
  #isRunning = false;
  #isQueued = false;
  #isStopped = false;
  #failures = 0;
  #lastEndMs = -Infinity;
  /** Everything there is, until the first run could read the kernel. */
  #first: Map<string, readonly ServicePort[]> | undefined = new Map();
  #auditTimer: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #drainMs = drainPeriodMs;
  #auditing: Promise<void> | undefined;
  #auditReason: string | undefined;

  constructor(options: SyncLoopOptions<C>) {
    this.#options = options;
    this.#retry = options.retry ?? { minMs: 500, maxMs: 30_000 };
  }

  /** Something changed. */
  trigger(): void {
    if (!this.#isQueued) this.#options.onQueued();
    this.#isQueued = true;
    if (this.#isRunning || this.#failures > 0) return;
    this.#scheduleRun();
  }

  /** Somebody may have changed our tables: looks at once, and once more if that is asked for while it looks. */
  requestAudit(reason: string): void {
    this.#auditReason = reason;
    this.#auditing ??= this.#audit().finally(() => {
      this.#auditing = undefined;
      if (this.#auditReason !== undefined && !this.#isStopped) this.requestAudit(this.#auditReason);
    });
  }

  /** Ends after the run that is under way, if any. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#auditTimer);
    clearTimeout(this.#drainTimer);
    while (this.#isRunning) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  #scheduleRun(): void {
    const sinceMs = performance.now() - this.#lastEndMs;
    this.#schedule(Math.max(gatherMs, this.#options.minSyncPeriodMs - sinceMs));
  }

  #schedule(ms: number): void {
    if (this.#isStopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#run();
    }, ms);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    this.#isQueued = false;
    const start = performance.now();
    const changes = this.#options.takeChanges();
    try {
      const result = await this.#sync(changes);
      this.#failures = 0;
      this.#options.onSynced(result, changes, performance.now() - start);
      if (result.isAuditDue === true) this.requestAudit(adoptedUnread);
      this.#scheduleAudit();
      this.#scheduleDrain();
    } catch (error) {
      this.#failures++;
      const retryMs = this.#retryLater();
      this.#options.onFailed(error instanceof Error ? error : new Error(String(error)), retryMs);
    } finally {
      this.#isRunning = false;
      this.#lastEndMs = performance.now();
      if (this.#isQueued && this.#failures === 0) this.#scheduleRun();
    }
  }

  /** Gives in how many milliseconds. */
  #retryLater(): number {
    const { minMs, maxMs } = this.#retry;
    const retryMs = Math.min(minMs * 2 ** (this.#failures - 1), maxMs) * (0.75 + Math.random() / 4);
    this.#isQueued = true;
    this.#schedule(retryMs);
    return retryMs;
  }

  /** Looks from time to time whether connections have ended that something waits for, and tries again what failed. */
  #scheduleDrain(): void {
    if (this.#drainTimer !== undefined || this.#isStopped || !this.#options.keeper.hasPending) return;
    this.#drainTimer = setTimeout(() => {
      this.#drainTimer = undefined;
      void this.#drain();
    }, this.#drainMs).unref();
  }

  async #drain(): Promise<void> {
    try {
      if (this.#isStopped) return;
      const result = await this.#options.keeper.drain();
      // What fails for ever is not tried for ever at that pace.
      this.#drainMs = result.failedSteps.length > 0 ? Math.min(this.#drainMs * 2, 60_000) : drainPeriodMs;
      if (result.steps > 0) this.#options.onDrained(result);
    } catch (error) {
      this.#drainMs = Math.min(this.#drainMs * 2, 60_000);
      this.#options.onFailed(error instanceof Error ? error : new Error(String(error)), this.#drainMs);
    } finally {
      this.#scheduleDrain();
    }
  }

  async #sync({ services, node }: C): Promise<SyncResult> {
    const { keeper } = this.#options;
    if (this.#first === undefined) return keeper.change(services, node);
    for (const [service, servicePorts] of services) this.#first.set(service, servicePorts);
    const result =
      keeper.live === undefined
        ? await keeper.start({ ...node, servicePorts: [...this.#first.values()].flat() })
        : await keeper.change(services, node);
    this.#first = undefined;
    return result;
  }

  #scheduleAudit(): void {
    const { auditPeriodMs } = this.#options;
    if (auditPeriodMs === 0 || this.#auditTimer !== undefined || this.#isStopped) return;
    // Spread, so that the nodes of a cluster do not all read at once.
    const ms = auditPeriodMs * (0.75 + Math.random() / 2);
    this.#auditTimer = setTimeout(() => {
      this.#auditTimer = undefined;
      this.requestAudit('period');
    }, ms).unref();
  }

  async #audit(): Promise<void> {
    const reason = this.#auditReason ?? '';
    this.#auditReason = undefined;
    if (this.#isStopped || this.#options.keeper.live === undefined) return;
    try {
      this.#options.onAudited(await this.#options.keeper.audit(), reason);
    } catch (error) {
      // What it was about to mend is mended by the next run, which reads the kernel as a whole.
      if (!(error instanceof KernelError)) throw error;
      this.#options.onFailed(error, 0);
      this.trigger();
    } finally {
      this.#scheduleAudit();
      this.#scheduleDrain();
    }
  }
}

/** How long changes are gathered at least: what one packet from the API server holds belongs together. */
const gatherMs = 5;

/** kube-proxy looks once a minute; a look costs one run of ipvsadm, and only where something is leaving. */
const drainPeriodMs = 5_000;
