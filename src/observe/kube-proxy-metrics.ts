import { range } from 'lodash-es';
import { Counter, exponentialBuckets, Gauge, Histogram, type Registry } from 'prom-client';
import { families, type Family, familyName } from '../net/ip.ts';

/** kube-proxy's metrics in nftables mode that mean the same here, by its names (pkg/proxy/metrics). Durations are in seconds. */
export interface KubeProxyMetrics {
  /** A sync was asked for, at the time in milliseconds since 1970. */
  syncQueued(family: Family, atMs: number): void;
  /** A sync has ended, well or not. Full: it looked at everything, not only at what had changed. */
  syncEnded(family: Family, kind: 'full' | 'partial', durationSeconds: number): void;
  /** A sync has ended well, at the time in milliseconds since 1970. */
  syncSucceeded(family: Family, atMs: number): void;
  /** The kernel took a sync's changes not at all or in part. */
  syncFailed(family: Family): void;
  /** The kernel did not delete what was no longer used. */
  cleanupFailed(family: Family): void;
  /** The time from an endpoint's change, as its slice tells it, to its being programmed. */
  networkProgrammed(family: Family, durationSeconds: number): void;
  /** A Service or EndpointSlice came, changed or went; `pending` of the kind now wait for a sync. */
  changeSeen(kind: ChangeKind, pending: number): void;
  /** So many changes wait for a sync: 0 when one takes them up. */
  changesPending(kind: ChangeKind, pending: number): void;
  /** Service ports held to endpoints of this node by their policy, where there are none. */
  noLocalEndpoints(family: Family, servicePorts: { readonly internal: number; readonly external: number }): void;
  healthAnswered(page: 'healthz' | 'livez', status: 200 | 503): void;
  /** A look through conntrack for flows to endpoints that are gone. */
  conntrackReconciled(family: Family, durationSeconds: number, deletedEntries: number): void;
}

export type ChangeKind = 'service' | 'endpoint';

/** kube-proxy's metrics, registered. Counters whose labels are known stand at 0 from the start; times of what has not happened are absent. */
export function createKubeProxyMetrics(registry: Registry): KubeProxyMetrics {
  const registers = [registry];
  const healthAnswers = {
    healthz: healthCounter(registry, 'healthz'),
    livez: healthCounter(registry, 'livez'),
  };
  const changes = { service: changeMetrics(registry, 'service'), endpoint: changeMetrics(registry, 'endpoint') };
  const noLocalEndpoints = new Gauge({
    name: 'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
    help: 'Service ports with traffic policy Local that have no endpoint on this node',
    labelNames: ['traffic_policy', 'ip_family'] as const,
    registers,
  });
  return {
    ...syncMetrics(registry),
    ...conntrackMetrics(registry),
    changeSeen(kind, pending) {
      changes[kind].total.inc();
      changes[kind].pending.set(pending);
    },
    changesPending: (kind, pending) => changes[kind].pending.set(pending),
    noLocalEndpoints(family, { internal, external }) {
      noLocalEndpoints.set({ traffic_policy: 'internal', ip_family: familyName[family] }, internal);
      noLocalEndpoints.set({ traffic_policy: 'external', ip_family: familyName[family] }, external);
    },
    healthAnswered: (page, status) => healthAnswers[page].inc({ code: String(status) }),
  };
}

type SyncMetrics = Pick<
  KubeProxyMetrics,
  'syncQueued' | 'syncEnded' | 'syncSucceeded' | 'syncFailed' | 'cleanupFailed' | 'networkProgrammed'
>;

function syncMetrics(registry: Registry): SyncMetrics {
  const all = durations(registry, 'sync_proxy_rules', 'Time that a sync of the rules took');
  const byKind = {
    full: durations(registry, 'sync_full_proxy_rules', 'Time that a sync of all rules took'),
    partial: durations(registry, 'sync_partial_proxy_rules', 'Time that a sync of what had changed took'),
  };
  const queuedAt = timestamp(registry, 'queued_', 'When a sync was last asked for');
  const succeededAt = timestamp(registry, '', 'When a sync last succeeded');
  const failures = familyCounter(registry, 'sync_proxy_rules_nftables_sync_failures_total', 'Syncs that failed');
  const cleanupFailures = familyCounter(
    registry,
    'sync_proxy_rules_nftables_cleanup_failures_total',
    'Deletions of unused chains that failed',
  );
  const networkProgramming = new Histogram({
    name: 'kubeproxy_network_programming_duration_seconds',
    help: "Time from an endpoint's change to its being programmed on this node",
    labelNames,
    // A quarter and half a second, then every second to a minute, every 5 s to two minutes, every half minute to five.
    buckets: [0.25, 0.5, ...range(1, 60), ...range(60, 120, 5), ...range(120, 301, 30)],
    registers: [registry],
  });
  return {
    syncQueued: (family, atMs) => queuedAt.set(labelsOf(family), atMs / 1000),
    syncEnded(family, kind, durationSeconds) {
      all.observe(labelsOf(family), durationSeconds);
      byKind[kind].observe(labelsOf(family), durationSeconds);
    },
    syncSucceeded: (family, atMs) => succeededAt.set(labelsOf(family), atMs / 1000),
    syncFailed: (family) => failures.inc(labelsOf(family)),
    cleanupFailed: (family) => cleanupFailures.inc(labelsOf(family)),
    networkProgrammed: (family, durationSeconds) => networkProgramming.observe(labelsOf(family), durationSeconds),
  };
}

function conntrackMetrics(registry: Registry): Pick<KubeProxyMetrics, 'conntrackReconciled'> {
  const duration = durations(registry, 'conntrack_reconciler_sync', 'Time that a look through conntrack took');
  const deleted = familyCounter(registry, 'conntrack_reconciler_deleted_entries_total', 'Conntrack entries deleted');
  return {
    conntrackReconciled(family, durationSeconds, deletedEntries) {
      duration.observe(labelsOf(family), durationSeconds);
      deleted.inc(labelsOf(family), deletedEntries);
    },
  };
}

const labelNames = ['ip_family'] as const;

function labelsOf(family: Family) {
  return { ip_family: familyName[family] };
}

/** 1 ms to 16.4 s, each bucket twice the one before. */
function durations(registry: Registry, what: string, help: string) {
  return new Histogram({
    name: `kubeproxy_${what}_duration_seconds`,
    help,
    labelNames,
    buckets: exponentialBuckets(0.001, 2, 15),
    registers: [registry],
  });
}

function timestamp(registry: Registry, event: 'queued_' | '', help: string) {
  const name = `kubeproxy_sync_proxy_rules_last_${event}timestamp_seconds`;
  return new Gauge({ name, help, labelNames, registers: [registry] });
}

function familyCounter(registry: Registry, name: string, help: string) {
  const counter = new Counter({ name: `kubeproxy_${name}`, help, labelNames, registers: [registry] });
  for (const family of families) counter.inc(labelsOf(family), 0);
  return counter;
}

function healthCounter(registry: Registry, page: 'healthz' | 'livez') {
  const counter = new Counter({
    name: `kubeproxy_proxy_${page}_total`,
    help: `Answers of /${page} by HTTP status`,
    labelNames: ['code'] as const,
    registers: [registry],
  });
  for (const code of ['200', '503']) counter.inc({ code }, 0);
  return counter;
}

function changeMetrics(registry: Registry, kind: ChangeKind) {
  const name = `kubeproxy_sync_proxy_rules_${kind}_changes`;
  const registers = [registry];
  return {
    total: new Counter({ name: `${name}_total`, help: `Changes of the ${kind} kind that were seen`, registers }),
    pending: new Gauge({
      name: `${name}_pending`,
      help: `Changes of the ${kind} kind that wait for a sync`,
      registers,
    }),
  };
}
