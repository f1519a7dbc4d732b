import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { text } from 'node:stream/consumers';
import { isRecord, type Json, reasonOf } from '../fields.ts';
import { parseJson } from '../json.ts';
import { type HttpRequest, type HttpResponse, sendRequest } from './https.ts';

/** What went wrong between us and the API server. `status`: its HTTP answer, undefined if there was none. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number | undefined;
  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export type Query = Readonly<Record<string, string | number | boolean>>;

export interface Page {
  readonly items: readonly Json[];
  readonly resourceVersion: string;
  /** What to ask for the next page with; `''`: there is none. */
  readonly next: string;
}

/** The requests that a watch of a cluster consists of. Every method throws ApiError. */
export interface ApiServer {
  readonly url: string;
  list(path: string, query: Query): Promise<Page>;
  /** Yields events until the server ends the watch. Throws as well if nothing, not even a bookmark, came for inactivityMs. */
  watch(path: string, query: Query, inactivityMs: number, signal: AbortSignal): AsyncGenerator<WatchEvent>;
  create(path: string, object: Json): Promise<void>;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: Json;
}

/** How long a list or a create may take; a page of 500 slices is about a megabyte. */
const requestTimeoutMs = 60_000;

/**
 * The API server that a kubeconfig names. The client library finds it and authenticates; requests and the watch are made here, since
 * its own watch tells no reason for a refusal and passes over what it cannot read.
 */
export class HttpApiServer implements ApiServer {
  readonly url: string;
  readonly #config: KubeConfig;

  constructor(config: KubeConfig) {
    this.#config = config;
    this.url = config.getCurrentCluster()?.server ?? '';
  }

  async list(path: string, query: Query): Promise<Page> {
    const response = await this.#request(path, query, { signal: AbortSignal.timeout(requestTimeoutMs) });
    let body: unknown;
    try {
      body = JSON.parse(await text(response.body));
    } catch (error) {
      throw new ApiError(`GET ${path}: its answer breaks off or is no JSON: ${reasonOf(error)}`);
    }
    const metadata = isRecord(body) && isRecord(body['metadata']) ? body['metadata'] : {};
    const items: readonly unknown[] = isRecord(body) && Array.isArray(body['items']) ? body['items'] : [];
    return {
      items: items.filter(isRecord),
      resourceVersion: textOf(metadata['resourceVersion']),
      next: textOf(metadata['continue']),
    };
  }

  async *watch(path: string, query: Query, inactivityMs: number, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const inactivity = new AbortController();
    const timer = setTimeout(() => inactivity.abort(), inactivityMs).unref();
    try {
      const response = await this.#request(
        path,
        { ...query, watch: true },
        { signal: AbortSignal.any([signal, inactivity.signal]) },
      );
      for await (const line of linesOf(response.body, () => timer.refresh())) {
        const json = parseJson(line);
        if (json.kind !== 'value' || !isRecord(json.value) || !isRecord(json.value['object']))
          throw new ApiError(`GET ${path}?watch: an event is no JSON object: ${line.slice(0, 100)}`);
        yield { type: String(json.value['type']), object: json.value['object'] };
      }
    } catch (error) {
      if (inactivity.signal.aborted) throw new ApiError(`GET ${path}?watch: nothing came for ${inactivityMs / 1000} s`);
      if (error instanceof ApiError) throw error;
      throw new ApiError(`GET ${path}?watch: ${causeOf(error)}`, undefined, { cause: error });
    } finally {
      clearTimeout(timer);
      inactivity.abort();
    }
  }

  async create(path: string, object: Json): Promise<void> {
    const response = await this.#request(
      path,
      {},
      {
        method: 'POST',
        body: JSON.stringify(object),
        headers: { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(requestTimeoutMs),
      },
    );
    response.body.resume();
  }

  async #request(path: string, query: Query, request: HttpRequest): Promise<HttpResponse> {
    const url = new URL(this.url + path);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, String(value));
    const method = request.method ?? 'GET';
    const headers = { accept: 'application/json', 'user-agent': 'vipmap', ...request.headers };
    let response: HttpResponse;
    try {
      response = await sendRequest(this.#config, url, { ...request, headers });
    } catch (error) {
      throw new ApiError(`${method} ${url.origin}${path}: ${causeOf(error)}`, undefined, { cause: error });
    }
    if (response.status >= 200 && response.status < 300) return response;
    throw new ApiError(`${method} ${path}: ${await refusalIn(response)}`, response.status);
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Not node:readline, whose iterator keeps a broken connection's error to itself. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>, onChunk: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of chunks) {
    onChunk();
    const searched = text.length;
    text += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf('\n', searched); end >= 0; end = text.indexOf('\n', start)) {
      if (end > start) yield text.slice(start, end);
      start = end + 1;
    }
    text = text.slice(start);
  }
}

/** The API server says why in a Status object. */
async function refusalIn({ status, reason, body }: HttpResponse): Promise<string> {
  const json = parseJson(await text(body).catch(() => ''));
  const message = json.kind === 'value' && isRecord(json.value) ? json.value['message'] : undefined;
  return `${status} ${typeof message === 'string' && message !== '' ? message : reason}`;
}

/** With its code: ECONNREFUSED, or what is wrong with a certificate. */
function causeOf(error: unknown): string {
  const code = isRecord(error) && typeof error['code'] === 'string' ? ` (${error['code']})` : '';
  return `${reasonOf(error)}${code}`;
}
