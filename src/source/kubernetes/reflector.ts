import { setTimeout as delay } from 'node:timers/promises';
import { type Observed, observe, type ObjectSink, type WatchedKind } from '../cluster-store.ts';
import { isRecord, type Json } from '../fields.ts';
import { ApiError, type ApiServer, type Query } from './api-server.ts';

/** Where a kind of object is found in the API, and which of its objects are wanted. */
export interface Resource {
  readonly kind: WatchedKind;
  /** Tried in this order, until the API server serves one: `/api/v1/services`. */
  readonly paths: readonly string[];
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** True if a node can do without it: a cluster that does not serve it, or does not let us read it, is served all the same. */
  readonly isOptional: boolean;
}

export interface ReflectorOptions {
  readonly apiServer: ApiServer;
  readonly sink: ObjectSink;
  /** Told once for each new reason. */
  readonly warn: (message: string) => void;
  readonly info: (message: string) => void;
  /** Told when the objects are known for the first time. */
  readonly onSynced?: (kind: WatchedKind) => void;
  /** Told at each end of a watch or a failed request: `ended`, `expired`, `inactive`, `error`. */
  readonly onRestart?: (kind: WatchedKind, reason: string) => void;
  readonly times?: Partial<Times>;
}

interface Times {
  /** First wait after a failure; each next one is twice as long, up to maxBackoffMs, half of it by chance. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** How long before a list that was refused or is not served is asked for again, where a node can do without. */
  readonly absentMs: number;
  /** The API server sends a bookmark every minute; without one, or anything else, for so long the connection is dead. */
  readonly inactivityMs: number;
}

const defaultTimes: Times = { minBackoffMs: 200, maxBackoffMs: 15_000, absentMs: 300_000, inactivityMs: 75_000 };

/** Objects a page: a page of slices is about a megabyte of JSON. */
const pageSize = 500;

/**
 * Keeps a copy of all objects of one kind: lists them, then watches from there on. A watch that ends goes on where it was; when the
 * API server no longer knows that place (410), the objects are listed anew and compared, and none is dropped meanwhile. While the API
 * server cannot be reached the copy stays as it is, for however long that is.
 */
export class Reflector {
  readonly resource: Resource;
  readonly #options: ReflectorOptions;
  readonly #times: Times;
  readonly #stopped = new AbortController();
  #hasSynced = false;
  #resourceVersion = '';
  #path: string;
  #failures = 0;
  #lastWarning = '';

  constructor(resource: Resource, options: ReflectorOptions) {
    this.resource = resource;
    this.#options = options;
    this.#times = { ...defaultTimes, ...options.times };
    this.#path = resource.paths[0] as string;
  }

  /** True once the objects were listed, or the API server said that there is no such list for us. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      let waitMs = 0;
      try {
        if (this.#resourceVersion === '') await this.#list();
        await this.#watch();
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        waitMs = this.#waitAfter(error);
      }
      if (waitMs > 0)
        await delay(waitMs, undefined, { signal: this.#stopped.signal, ref: false }).catch(() => undefined);
    }
  }

  async #list(): Promise<void> {
    const objects: Observed[] = [];
    let next = '';
    let resourceVersion: string;
    do {
      const page = await this.#options.apiServer.list(this.#path, {
        ...this.#selectors(),
        limit: pageSize,
        ...(next === '' ? {} : { continue: next }),
      });
      // Only what decides rules is kept of a page.
      for (const item of page.items) objects.push(observe(this.resource.kind, item));
      ({ next, resourceVersion } = page);
    } while (next !== '');
    this.#options.sink.replace(this.resource.kind, objects);
    this.#resourceVersion = resourceVersion;
    this.#synced();
    this.#recovered();
  }

  #synced(): void {
    if (this.#hasSynced) return;
    this.#hasSynced = true;
    this.#options.onSynced?.(this.resource.kind);
  }

  async #watch(): Promise<void> {
    const { apiServer } = this.#options;
    const query = {
      ...this.#selectors(),
      resourceVersion: this.#resourceVersion,
      allowWatchBookmarks: true,
      // Many nodes started together: their watches should not all end together.
      timeoutSeconds: 300 + Math.floor(Math.random() * 300),
    };
    const start = performance.now();
    let events = 0;
    for await (const { type, object } of apiServer.watch(
      this.#path,
      query,
      this.#times.inactivityMs,
      this.#stopped.signal,
    )) {
      this.#take(type, object);
      events++;
      this.#recovered();
    }
    this.#options.onRestart?.(this.resource.kind, 'ended');
    // A server that ends watches at once must not be asked thousands of times a second.
    if (events === 0 && performance.now() - start < 1000) throw new ApiError(`GET ${this.#path}?watch: ended at once`);
  }

  #take(type: string, object: Json): void {
    const { kind } = this.resource;
    const { sink } = this.#options;
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
        sink.upsert(kind, observe(kind, object));
        break;
      case 'DELETED':
        sink.remove(kind, observe(kind, object));
        break;
      case 'BOOKMARK':
        break;
      default: {
        const code = typeof object['code'] === 'number' ? object['code'] : undefined;
        const words = typeof object['message'] === 'string' ? object['message'] : `an event of type ${type}`;
        throw new ApiError(`GET ${this.#path}?watch: ${code ?? ''} ${words}`, code);
      }
    }
    const metadata = object['metadata'];
    const version = isRecord(metadata) ? metadata['resourceVersion'] : undefined;
    if (typeof version === 'string' && version !== '') this.#resourceVersion = version;
  }

  #selectors(): Query {
    const { labelSelector, fieldSelector } = this.resource;
    return { ...(labelSelector && { labelSelector }), ...(fieldSelector && { fieldSelector }) };
  }

  /** What to make of a failure: how long to wait before the next try. */
  #waitAfter(error: unknown): number {
    const { kind, paths, isOptional } = this.resource;
    const status = error instanceof ApiError ? error.status : undefined;
    const reason = error instanceof Error ? error.message : String(error);
    // The place in the stream is no longer known (410), also where a long list's continuation has expired; or not yet known, as by an
    // API server that was restored from a backup.
    if (status === 410 || /Too large resource version/.test(reason)) {
      this.#options.onRestart?.(kind, 'expired');
      this.#resourceVersion = '';
      return this.#backoff(0);
    }
    if (status === 404 || (status === 403 && isOptional)) {
      const other = paths[paths.indexOf(this.#path) + 1];
      if (status === 404 && other !== undefined && !this.#hasSynced) {
        this.#path = other;
        return 0;
      }
      if (isOptional) return this.#isAbsent(status, reason);
    }
    const isInactive = /nothing came for/.test(reason);
    this.#options.onRestart?.(kind, isInactive ? 'inactive' : 'error');
    if (isInactive) return 0;
    this.#warnOnce(
      `${kind}: ${reason}; ${this.#hasSynced ? 'what is known stays in place' : 'nothing is known yet'}, trying again`,
    );
    return this.#backoff(this.#times.minBackoffMs);
  }

  #isAbsent(status: number, reason: string): number {
    const consequence = status === 404 ? 'this cluster does not serve it' : 'it may not be read';
    this.#warnOnce(
      `${this.resource.kind}: ${consequence} (${reason}); everything else works, asked again every ${this.#times.absentMs / 60_000} minutes`,
    );
    if (!this.#hasSynced) this.#options.sink.replace(this.resource.kind, []);
    this.#synced();
    this.#path = this.resource.paths[0] as string;
    return this.#times.absentMs;
  }

  #backoff(leastMs: number): number {
    const { minBackoffMs, maxBackoffMs } = this.#times;
    const ms = this.#failures === 0 ? leastMs : Math.min(minBackoffMs * 2 ** this.#failures, maxBackoffMs);
    this.#failures++;
    return ms * (0.5 + Math.random() / 2);
  }

  #recovered(): void {
    this.#failures = 0;
    if (this.#lastWarning === '') return;
    this.#lastWarning = '';
    this.#options.info(`${this.resource.kind}: the API server answers again`);
  }

  #warnOnce(message: string): void {
    if (message === this.#lastWarning) return;
    this.#lastWarning = message;
    this.#options.warn(message);
  }
}
