import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Json = Record<string, unknown>;

interface StoredEvent {
  readonly version: number;
  readonly path: string;
  readonly type: string;
  readonly object: Json;
}

const kinds: Readonly<Record<string, string>> = {
  '/api/v1/services': 'Service',
  '/api/v1/nodes': 'Node',
  '/apis/discovery.k8s.io/v1/endpointslices': 'EndpointSlice',
  '/apis/networking.k8s.io/v1/servicecidrs': 'ServiceCIDR',
};

/** The part of a Kubernetes API server that a service proxy talks to, with faults that a test asks for. Selectors are not evaluated. */
export class FakeApiServer {
  readonly #server: Server;
  readonly #objects = new Map<string, Map<string, Json>>();
  #events: StoredEvent[] = [];
  #version = 100;
  /** Versions up to this one are no longer known. */
  #compacted = 0;
  readonly #watches = new Set<{ path: string; response: ServerResponse }>();
  /** Every request, e.g. `LIST /api/v1/services limit=500`. */
  readonly requests: string[] = [];
  readonly created: Json[] = [];
  /** By path: the status to answer with instead. */
  readonly refusals = new Map<string, number>();
  /** Accepts watches but says nothing on them, as a connection that is half open. */
  isMute = false;

  constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#watches.clear();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  put(path: string, object: Json): void {
    const metadata = { ...(object['metadata'] as Json), resourceVersion: String(++this.#version) };
    const stored = { ...object, metadata };
    const objects = this.#of(path);
    const key = `${String(metadata['namespace' as never] ?? '')}/${String(metadata['name' as never])}`;
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    objects.set(key, stored);
    this.#tell({ version: this.#version, path, type, object: stored });
  }

  has(path: string, name: string, namespace = ''): boolean {
    return this.#of(path).has(`${namespace}/${name}`);
  }

  delete(path: string, name: string, namespace = ''): void {
    const objects = this.#of(path);
    const object = objects.get(`${namespace}/${name}`);
    if (object === undefined) throw new Error(`${path} ${namespace}/${name}`);
    objects.delete(`${namespace}/${name}`);
    const metadata = { ...(object['metadata'] as Json), resourceVersion: String(++this.#version) };
    this.#tell({ version: this.#version, path, type: 'DELETED', object: { ...object, metadata } });
  }

  bookmark(path: string): void {
    this.#tell({
      version: this.#version,
      path,
      type: 'BOOKMARK',
      object: { metadata: { resourceVersion: String(this.#version) } },
    });
  }

  /** Forgets all events: watches that go on from an older version get 410. */
  compact(): void {
    this.#compacted = ++this.#version;
    this.#events = [];
  }

  /** Breaks every watch off, as a server does that ends. */
  breakWatches(): void {
    for (const { response } of this.#watches) response.destroy();
    this.#watches.clear();
  }

  /** Everything there is, as one List. */
  all(): object {
    const items = [...this.#objects].flatMap(([path, objects]) =>
      [...objects.values()].map((object) => ({ ...object, kind: kinds[path], apiVersion: versionOf(path) })),
    );
    return { kind: 'List', apiVersion: 'v1', items };
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  #of(path: string): Map<string, Json> {
    const objects = this.#objects.get(path) ?? new Map<string, Json>();
    this.#objects.set(path, objects);
    return objects;
  }

  #tell(event: StoredEvent): void {
    this.#events.push(event);
    if (this.isMute) return;
    for (const watch of this.#watches) if (watch.path === event.path) send(watch.response, event);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const path = url.pathname;
    const query = url.searchParams;
    const isWatch = query.get('watch') === 'true';
    const selectors = [...query].filter(([name]) => !['timeoutSeconds', 'watch'].includes(name)).sort();
    const verb = request.method === 'POST' ? 'CREATE' : isWatch ? 'WATCH' : 'LIST';
    this.requests.push([verb, path, ...selectors.map((pair) => pair.join('='))].join(' '));
    const status = this.refusals.get(path);
    if (status !== undefined) return refuse(response, status, `${path} is refused for the test`);
    if (request.method === 'POST') return this.#create(request, response);
    if (kinds[path] === undefined) return refuse(response, 404, 'the server could not find the requested resource');
    if (isWatch) this.#watch(path, Number(query.get('resourceVersion')), response);
    else this.#list(path, Number(query.get('limit') ?? '0'), Number(query.get('continue') ?? '0'), response);
  }

  #list(path: string, limit: number, start: number, response: ServerResponse): void {
    const all = [...this.#of(path).values()];
    const end = limit === 0 ? all.length : start + limit;
    const items = all.slice(start, end).map(({ kind: _, apiVersion: __, ...rest }) => rest);
    const more = end < all.length ? { continue: String(end) } : {};
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        kind: `${kinds[path] ?? ''}List`,
        metadata: { resourceVersion: String(this.#version), ...more },
        items,
      }),
    );
  }

  #watch(path: string, from: number, response: ServerResponse): void {
    response.setHeader('content-type', 'application/json');
    response.flushHeaders();
    if (from < this.#compacted) {
      const object = { kind: 'Status', code: 410, message: 'too old resource version' };
      response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    if (!this.isMute)
      for (const event of this.#events) if (event.path === path && event.version > from) send(response, event);
    const watch = { path, response };
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
  }

  #create(request: IncomingMessage, response: ServerResponse): void {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      this.created.push(JSON.parse(text) as Json);
      response.statusCode = 201;
      response.end('{}');
    });
  }
}

/** `/apis/discovery.k8s.io/v1/endpointslices`: `discovery.k8s.io/v1`. */
function versionOf(path: string): string {
  return path.split('/').slice(2, -1).join('/');
}

function send(response: ServerResponse, { type, object }: StoredEvent): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code: status, message }));
}
