import { families } from '../net/ip.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { ProxyHealth } from '../observe/proxy-health.ts';
import { healthCheckAddresses } from '../observe/service-health-state.ts';
import { ServiceHealthServers } from '../observe/service-health.ts';
import { ServiceTally } from '../observe/service-tally.ts';
import { countElements } from '../ruleset/nftables/ruleset.ts';
import type { EventRecorder } from '../source/kubernetes/events.ts';
import type { AgentObserver } from './agent.ts';
import type { Reporter } from './terminal.ts';

export interface ObserverOptions {
  readonly metrics: Metrics;
  readonly health: ProxyHealth;
  readonly reporter: Reporter;
  /** Absent without an API server. */
  readonly events: EventRecorder | undefined;
}

/** What the agent does, as metrics, health, events and the answers at healthCheckNodePorts. */
export function observeAgent({ metrics, health, reporter, events }: ObserverOptions): AgentObserver {
  const startMs = Date.now();
  const tally = new ServiceTally();
  let hasHealthFailure = false;
  let healthAddresses = '';
  const serviceHealth = new ServiceHealthServers({
    isProxyHealthy: () => health.status().isHealthy,
    onFailure: ({ namespace, name, message }) => {
      hasHealthFailure = true;
      reporter.warn(message);
      void events?.record({
        regarding: { kind: 'Service', namespace, name },
        type: 'Warning',
        reason: 'FailedToStartServiceHealthcheck',
        action: 'Listen',
        note: message,
      });
    },
  });

  return {
    changed(kind, { services, endpoints }) {
      if (kind === 'Service') metrics.changeSeen('service', services);
      if (kind === 'EndpointSlice') metrics.changeSeen('endpoint', endpoints);
    },

    nodeSeen: (node) => health.setNodeEligible(node !== undefined && node.isLeaving !== true),

    sourceSynced: () => metrics.sourceSynced(true),

    queued() {
      for (const family of families) {
        health.queued(family);
        metrics.syncQueued(family, Date.now());
      }
    },

    synced(result, { services, node, triggers }, durationMs, keeper) {
      const nowMs = Date.now();
      for (const family of families) {
        health.updated(family);
        metrics.syncEnded(family, result.kind, durationMs / 1000);
        metrics.syncSucceeded(family, nowMs);
        if (result.refusal !== undefined || result.setAside.length > 0) metrics.syncFailed(family);
        const table = keeper.live?.ruleset[family];
        if (table !== undefined) metrics.elements(family, countElements(table));
      }
      // What happened before we started says nothing about us.
      for (const { family, atMs } of triggers)
        if (atMs >= startMs) metrics.networkProgrammed(family, Math.max(0, nowMs - atMs) / 1000);
      metrics.ipvsSteps(result.steps, result.failedSteps.length);
      metrics.changesPending('service', 0);
      metrics.changesPending('endpoint', 0);
      metrics.setAsideServices(keeper.setAsideCount);
      const isHealthChanged = tally.change(services, node);
      metrics.services(tally.services);
      metrics.endpoints(tally.endpoints);
      for (const family of families) metrics.noLocalEndpoints(family, tally.noLocalEndpoints[family]);
      const addresses = healthCheckAddresses(node.nodePortAddresses);
      if (isHealthChanged || hasHealthFailure || addresses.join(' ') !== healthAddresses) {
        healthAddresses = addresses.join(' ');
        hasHealthFailure = false;
        void serviceHealth.sync(tally.health, addresses);
      }
    },

    drained: ({ steps, failedSteps }) => metrics.ipvsSteps(steps, failedSteps.length),

    failed() {
      for (const family of families) metrics.syncFailed(family);
    },

    audited({ wrong, setAside }) {
      for (const { place, count } of wrong) metrics.auditMended(place, count);
      metrics.audited(setAside.length > 0 ? 'failed' : wrong.length > 0 ? 'mended' : 'ok');
    },

    foreignChange: () => metrics.foreignChangeSeen(),

    conntrackCleaned(deleted, durationMs) {
      for (const family of families) metrics.conntrackReconciled(family, durationMs / 1000, deleted[family]);
    },
  };
}
