import http, { type IncomingMessage } from 'node:http';
import https, { type RequestOptions } from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';

export interface HttpRequest {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** What the status means, in the server's words. */
  readonly reason: string;
  /** To be read to its end, or destroyed. Fails if the connection breaks. */
  readonly body: Readable;
}

/**
 * A request to the API server, with the credentials that a kubeconfig has for it. By Node's own client, which is in the process anyway:
 * the one that the client library brings along costs every node 15 MB.
 *
 * Rejects with the system's error (`code`: ECONNREFUSED, a certificate's fault) or the signal's reason.
 */
export async function sendRequest(
  config: KubeConfig,
  url: URL,
  { method = 'GET', headers, body, signal }: HttpRequest,
): Promise<HttpResponse> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  // Its agent keeps the certificates that it was made with; Node's tells connections apart by them. It knows no proxies, though.
  if (!config.getCurrentCluster()?.proxyUrl) delete options.agent;
  const client = url.protocol === 'https:' ? https : http;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = client.request(url, {
      ...options,
      method,
      signal,
      headers: { ...headers, 'accept-encoding': 'gzip', ...options.headers },
    });
    request.once('response', resolve).once('error', reject).end(body);
  });
  return { status: response.statusCode ?? 0, reason: response.statusMessage ?? '', body: unpacked(response) };
}

/** Large lists come compressed. */
function unpacked(response: IncomingMessage): Readable {
  if (response.headers['content-encoding'] !== 'gzip') return response;
  return pipeline(response, createGunzip(), () => undefined);
}
