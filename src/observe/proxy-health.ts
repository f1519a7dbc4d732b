import { families, type Family } from '../net/ip.ts';

export interface ProxyHealthOptions {
  /** The time in milliseconds since 1970. */
  readonly clock: () => number;
  /** A change that has waited twice as long makes the proxy unhealthy, as in kube-proxy. */
  readonly syncPeriodMs: number;
}

export interface FamilyHealth {
  /** The end of the last successful sync, in milliseconds since 1970; absent: there was none yet. */
  readonly lastUpdatedMs?: number;
  readonly isHealthy: boolean;
}

/** What /healthz and /livez tell of one moment. */
export interface HealthStatus {
  /** The moment, in milliseconds since 1970. */
  readonly nowMs: number;
  /** The latest of all families' updates; absent: there was none yet. */
  readonly lastUpdatedMs?: number;
  /** True unless a family is unhealthy. Says nothing of the node. */
  readonly isHealthy: boolean;
  /** True if load balancers may send traffic to the node. */
  readonly isNodeEligible: boolean;
  /** The families that were ever queued or updated. */
  readonly families: Readonly<Partial<Record<Family, FamilyHealth>>>;
}

/**
 * Whether the node's rules keep up with the cluster. A family is unhealthy while a change has waited for two sync periods without a
 * successful sync; with nothing waiting it is healthy, even before its first sync. Follows kube-proxy's pkg/proxy/healthcheck, but for a
 * family whose very first sync never succeeds: that counts too.
 */
export class ProxyHealth {
  readonly #clock: () => number;
  readonly #timeoutMs: number;
  readonly #updatedMs = new Map<Family, number>();
  /** Since when the oldest change waits, by family. */
  readonly #queuedMs = new Map<Family, number>();
  #isNodeEligible = false;

  constructor({ clock, syncPeriodMs }: ProxyHealthOptions) {
    this.#clock = clock;
    this.#timeoutMs = 2 * syncPeriodMs;
  }

  /** A change has come that is not programmed yet. */
  queued(family: Family): void {
    if (!this.#queuedMs.has(family)) this.#queuedMs.set(family, this.#clock());
  }

  /** A sync has succeeded; also to be called once at start, so that there is a time to show. */
  updated(family: Family): void {
    this.#queuedMs.delete(family);
    this.#updatedMs.set(family, this.#clock());
  }

  /**
   * True for a node that is known, not being deleted and without the taint ToBeDeletedByClusterAutoscaler. Until it is set, the node is
   * not eligible, since it is not known.
   */
  setNodeEligible(isNodeEligible: boolean): void {
    this.#isNodeEligible = isNodeEligible;
  }

  status(): HealthStatus {
    const nowMs = this.#clock();
    const known = families.filter((family) => this.#updatedMs.has(family) || this.#queuedMs.has(family));
    const byFamily = known.map((family) => [family, this.#familyHealth(family, nowMs)] as const);
    return {
      nowMs,
      ...(this.#updatedMs.size > 0 && { lastUpdatedMs: Math.max(...this.#updatedMs.values()) }),
      isHealthy: byFamily.every(([, { isHealthy }]) => isHealthy),
      isNodeEligible: this.#isNodeEligible,
      families: Object.fromEntries(byFamily),
    };
  }

  #familyHealth(family: Family, nowMs: number): FamilyHealth {
    const lastUpdatedMs = this.#updatedMs.get(family);
    const queuedMs = this.#queuedMs.get(family);
    return {
      ...(lastUpdatedMs !== undefined && { lastUpdatedMs }),
      isHealthy: queuedMs === undefined || nowMs - queuedMs < this.#timeoutMs,
    };
  }
}
