import { type Answerer, answerByPath, jsonAnswer, textAnswer } from './answer.ts';
import { listen, type Listening, type ListenOptions } from './listen.ts';
import type { Metrics } from './metrics.ts';

export interface MetricsServerOptions extends Pick<
  ListenOptions,
  'isFailureFatal' | 'retryMs' | 'onFailure' | 'onListening'
> {
  /** kube-proxy's metricsBindAddress; default `127.0.0.1:10249`; `''`: no server. */
  readonly address?: string;
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
  /** `nftables` */
  readonly proxyMode: string;
  /** The KubeProxyConfiguration in use, of v1alpha1, with `kind` and `apiVersion`; asked for at each request. */
  readonly configuration: () => object;
}

const metricsPort = 10249;

/** Starts the server of /metrics, /healthz, /proxyMode and /configz. Rejects as listen does. */
export function startMetricsServer(options: MetricsServerOptions): Promise<Listening> {
  const { address = `127.0.0.1:${metricsPort}`, metrics, proxyMode, configuration, ...rest } = options;
  const answer = metricsAnswerer(metrics, proxyMode, configuration);
  return listen({ name: 'metrics server', defaultPort: metricsPort, ...rest, address, answer });
}

function metricsAnswerer(
  metrics: MetricsServerOptions['metrics'],
  proxyMode: string,
  configuration: () => object,
): Answerer {
  // Only that the process answers: the proxy's health has a server of its own.
  const ok = () => textAnswer('ok');
  return answerByPath({
    '/metrics': async () => ({
      status: 200,
      headers: { 'Content-Type': metrics.contentType },
      body: await metrics.text(),
    }),
    '/healthz': ok,
    // Where kube-proxy has its only check.
    '/healthz/ping': ok,
    '/proxyMode': () => textAnswer(proxyMode),
    '/configz': () => jsonAnswer(JSON.stringify({ 'kubeproxy.config.k8s.io': configuration() })),
  });
}
