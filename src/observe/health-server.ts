import { families, type Family, familyName } from '../net/ip.ts';
import { type Answer, type Answerer, answerByPath, jsonAnswer } from './answer.ts';
import { listen, type Listening, type ListenOptions } from './listen.ts';
import type { HealthStatus, ProxyHealth } from './proxy-health.ts';

/** `healthz` asks whether load balancers may use the node; `livez` whether the proxy works, whatever becomes of the node. */
export type HealthPage = 'healthz' | 'livez';

export interface HealthServerOptions extends Pick<
  ListenOptions,
  'isFailureFatal' | 'retryMs' | 'onFailure' | 'onListening'
> {
  /** kube-proxy's healthzBindAddress; default `0.0.0.0:10256`; `''`: no server. */
  readonly address?: string;
  readonly health: Pick<ProxyHealth, 'status'>;
  /** Told of every answer, to count it. */
  readonly onAnswer?: (page: HealthPage, status: 200 | 503) => void;
}

const healthPort = 10256;

/** Starts the server of /healthz and /livez. Rejects as listen does. */
export function startHealthServer(options: HealthServerOptions): Promise<Listening> {
  const { address = `0.0.0.0:${healthPort}`, health, onAnswer, ...rest } = options;
  const answer = healthAnswerer(health, onAnswer);
  return listen({ name: 'health server', defaultPort: healthPort, ...rest, address, answer });
}

function healthAnswerer(health: Pick<ProxyHealth, 'status'>, onAnswer: HealthServerOptions['onAnswer']): Answerer {
  const page = (name: HealthPage) => (): Answer => {
    const status = health.status();
    const code = status.isHealthy && (name === 'livez' || status.isNodeEligible) ? 200 : 503;
    onAnswer?.(name, code);
    return jsonAnswer(printHealth(status, name, code), code);
  };
  return answerByPath({ '/healthz': page('healthz'), '/livez': page('livez') });
}

/** kube-proxy's names in kube-proxy's order. A 200 says "updated just now": load balancers' controllers look at lastUpdated. */
function printHealth(status: HealthStatus, page: HealthPage, code: 200 | 503): string {
  const { nowMs, lastUpdatedMs, isHealthy, isNodeEligible } = status;
  const byFamily = families.flatMap((family) => printFamily(status, family));
  return JSON.stringify({
    lastUpdated: printTime(code === 200 ? nowMs : lastUpdatedMs),
    currentTime: printTime(nowMs),
    ...(page === 'healthz' && { nodeEligible: isNodeEligible }),
    healthy: isHealthy,
    ...(byFamily.length > 0 && { status: Object.fromEntries(byFamily) }),
  });
}

function printFamily({ families: byFamily }: HealthStatus, family: Family) {
  const health = byFamily[family];
  if (health === undefined) return [];
  return [[familyName[family], { lastUpdated: printTime(health.lastUpdatedMs), healthy: health.isHealthy }] as const];
}

/** As Go prints a time in UTC (RFC 3339, no zeros at the end of a fraction): `2026-01-02T03:04:05.12Z`; its zero time for undefined. */
function printTime(ms: number | undefined): string {
  return ms === undefined ? '0001-01-01T00:00:00Z' : new Date(ms).toISOString().replace(/\.?0+Z$/, 'Z');
}
