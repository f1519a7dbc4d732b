import { Counter, exponentialBuckets, Gauge, Histogram, type Registry } from 'prom-client';
import { families, type Family, familyName } from '../net/ip.ts';

/** `ok`: the kernel held what it should; `mended`: it did not, and does again; `failed`: it could not be read or mended. */
export type AuditResult = 'ok' | 'mended' | 'failed';

/** What writes to the kernel: the program nft, or our own netlink messages. */
export type Writer = 'nft' | 'netlink';
/** What writes virtual servers. */
export type ServersWriter = 'ipvsadm' | 'netlink';

/** Metrics that kube-proxy has no name for. Durations are in seconds. */
export interface VipmapMetrics {
  /** The kernel's rules were compared with what they should be. */
  audited(result: AuditResult): void;
  /** An audit put right so many elements of a map, e.g. `service-ips`. */
  auditMended(map: string, elements: number): void;
  /** Somebody else changed our tables. */
  foreignChangeSeen(): void;
  setAsideServices(count: number): void;
  /** Mode ipvs: changes to virtual servers and addresses that were tried, and how many of them failed. */
  ipvsSteps(tried: number, failed: number): void;
  /** Mode ipvs: changes to virtual servers were carried out, together. */
  ipvsApplied(writer: ServersWriter, durationSeconds: number): void;
  transactionApplied(writer: Writer, durationSeconds: number): void;
  /** What is programmed now. */
  services(count: number): void;
  endpoints(count: number): void;
  elements(family: Family, count: number): void;
  /** A watch of a kind (`services`) had to start again, for a reason of few words (`expired`): both are label values, so from a small set. */
  watchRestarted(kind: string, reason: string): void;
  /** True once everything that rules are made of has been read. */
  sourceSynced(isSynced: boolean): void;
}

/** Our own metrics, registered. Counters whose labels are known stand at 0 from the start. */
export function createVipmapMetrics(registry: Registry, version: string): VipmapMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name: `vipmap_${name}`, help, registers });
  const setAside = gauge('set_aside_services', 'Services that are not programmed because the kernel refused them');
  const services = gauge('services', 'Services that are programmed');
  const endpoints = gauge('endpoints', 'Endpoints that are programmed');
  const sourceSynced = gauge('source_synced', '1 once all Services and EndpointSlices have been read');
  const elements = new Gauge({
    name: 'vipmap_elements',
    help: 'Elements of our sets and maps in the kernel',
    labelNames: ['family'] as const,
    registers,
  });
  for (const family of families) elements.set({ family: familyName[family] }, 0);
  const watchRestarts = new Counter({
    name: 'vipmap_watch_restarts_total',
    help: 'Watches of the API server that had to start again',
    labelNames: ['kind', 'reason'] as const,
    registers,
  });
  registerBuildInfo(registry, version);
  return {
    ...auditMetrics(registry),
    ...transactionMetrics(registry),
    ...ipvsMetrics(registry),
    setAsideServices: (count) => setAside.set(count),
    services: (count) => services.set(count),
    endpoints: (count) => endpoints.set(count),
    elements: (family, count) => elements.set({ family: familyName[family] }, count),
    watchRestarted: (kind, reason) => watchRestarts.inc({ kind, reason }),
    sourceSynced: (isSynced) => sourceSynced.set(isSynced ? 1 : 0),
  };
}

function registerBuildInfo(registry: Registry, version: string): void {
  const labelNames = ['version'] as const;
  const info = new Gauge({
    name: 'vipmap_build_info',
    help: '1; the label tells the version',
    labelNames,
    registers: [registry],
  });
  info.set({ version }, 1);
}

function auditMetrics(registry: Registry): Pick<VipmapMetrics, 'audited' | 'auditMended' | 'foreignChangeSeen'> {
  const registers = [registry];
  const audits = new Counter({
    name: 'vipmap_audits_total',
    help: "Comparisons of the kernel's rules with what they should be",
    labelNames: ['result'] as const,
    registers,
  });
  for (const result of ['ok', 'mended', 'failed'] satisfies AuditResult[]) audits.inc({ result }, 0);
  const mended = new Counter({
    name: 'vipmap_audit_mended_elements_total',
    help: 'Elements that audits put right',
    labelNames: ['map'] as const,
    registers,
  });
  const foreignChanges = new Counter({
    name: 'vipmap_foreign_changes_total',
    help: 'Changes of our tables that were not ours',
    registers,
  });
  return {
    audited: (result) => audits.inc({ result }),
    auditMended: (map, elements) => mended.inc({ map }, elements),
    foreignChangeSeen: () => foreignChanges.inc(),
  };
}

// A single change by netlink takes well under a millisecond, a first load by a program seconds.
const writeBuckets = exponentialBuckets(0.000125, 2, 18);

function ipvsMetrics(registry: Registry): Pick<VipmapMetrics, 'ipvsSteps' | 'ipvsApplied'> {
  const registers = [registry];
  const steps = new Counter({
    name: 'vipmap_ipvs_steps_total',
    help: 'Changes to virtual servers of IPVS and to their addresses',
    labelNames: ['result'] as const,
    registers,
  });
  for (const result of ['done', 'failed']) steps.inc({ result }, 0);
  const duration = new Histogram({
    name: 'vipmap_ipvs_duration_seconds',
    help: 'Time that changes to virtual servers took, together',
    buckets: writeBuckets,
    labelNames: ['writer'] as const,
    registers,
  });
  return {
    ipvsSteps(tried, failed) {
      steps.inc({ result: 'done' }, tried - failed);
      steps.inc({ result: 'failed' }, failed);
    },
    ipvsApplied: (writer, durationSeconds) => duration.observe({ writer }, durationSeconds),
  };
}

function transactionMetrics(registry: Registry): Pick<VipmapMetrics, 'transactionApplied'> {
  const options = { labelNames: ['writer'] as const, registers: [registry] };
  const total = new Counter({
    name: 'vipmap_transactions_total',
    help: 'Transactions that the kernel took',
    ...options,
  });
  for (const writer of ['nft', 'netlink'] satisfies Writer[]) total.inc({ writer }, 0);
  const duration = new Histogram({
    name: 'vipmap_transaction_duration_seconds',
    help: 'Time that a transaction took',
    buckets: writeBuckets,
    ...options,
  });
  return {
    transactionApplied(writer, durationSeconds) {
      total.inc({ writer });
      duration.observe({ writer }, durationSeconds);
    },
  };
}
