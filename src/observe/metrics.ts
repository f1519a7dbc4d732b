import { collectDefaultMetrics, Registry } from 'prom-client';
import { createKubeProxyMetrics, type KubeProxyMetrics } from './kube-proxy-metrics.ts';
import { createVipmapMetrics, type VipmapMetrics } from './vipmap-metrics.ts';

/** Everything that is measured; a method is told what happened and knows which metrics that concerns. */
export interface Metrics extends KubeProxyMetrics, VipmapMetrics {
  /** What text() is, for Content-Type. */
  readonly contentType: string;
  /** All metrics in Prometheus's text format. */
  text(): Promise<string>;
}

/** Metrics in a registry of their own: kube-proxy's, ours and the process's (process_*, nodejs_*). */
export function createMetrics({ version }: { readonly version: string }): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    ...createKubeProxyMetrics(registry),
    ...createVipmapMetrics(registry, version),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}
