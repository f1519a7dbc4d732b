import type { Answerer } from './answer.ts';
import { parseBindAddress, printListenAddress } from './bind-address.ts';
import { explainListenFailure, type HttpServer, type ListenAddress, openHttpServer } from './http-server.ts';

export interface ListenOptions {
  /** What messages call it, e.g. `health server`. */
  readonly name: string;
  /** As in kube-proxy's healthzBindAddress: `0.0.0.0:10256`, `[::]:10256`, `:10256`; `''`: no server. */
  readonly address: string;
  /** The port of an address without one. */
  readonly defaultPort: number;
  readonly answer: Answerer;
  /** kube-proxy's bindAddressHardFail: a failure to listen is final. Default false: it is tried again. */
  readonly isFailureFatal?: boolean;
  /** Time between attempts; default 5 s, as kube-proxy's. */
  readonly retryMs?: number;
  /** Told of the first failed attempt, and again if a later one fails in another way. */
  readonly onFailure?: (error: ListenError) => void;
  /** Told once, when it listens; the port is the kernel's choice where 0 was asked for. */
  readonly onListening?: (port: number) => void;
}

/** A server that listens, or tries to. */
export interface Listening {
  /** The port; undefined while it does not listen. */
  readonly port: number | undefined;
  /** Ends server, connections and attempts within a moment. */
  close(): Promise<void>;
}

/** A server that could not listen. The message names server, address, reason and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  /** The kernel's, e.g. `EADDRINUSE`. */
  readonly code: string | undefined;

  constructor(serverName: string, address: ListenAddress, cause: unknown) {
    super(`${serverName}: cannot listen on ${printListenAddress(address)} (${explainListenFailure(cause)})`, { cause });
    this.code = (cause as NodeJS.ErrnoException).code;
  }
}

/**
 * Starts a server; settles after the first attempt, whether that succeeded or not. Rejects with a BindAddressError for an address that
 * cannot be read, and with a ListenError where failures are fatal.
 */
export async function listen(options: ListenOptions): Promise<Listening> {
  const address = parseBindAddress(options.address, options.defaultPort);
  if (address === undefined) return { port: undefined, close: () => Promise.resolve() };
  const server = new RetryingServer(options, address);
  await server.open();
  return server;
}

const defaultRetryMs = 5000;

class RetryingServer implements Listening {
  readonly #options: ListenOptions;
  readonly #address: ListenAddress;
  #server: HttpServer | undefined;
  #attempt: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #lastFailure = '';
  #isClosed = false;

  constructor(options: ListenOptions, address: ListenAddress) {
    this.#options = options;
    this.#address = address;
  }

  get port(): number | undefined {
    return this.#server?.port;
  }

  async open(): Promise<void> {
    try {
      this.#server = await openHttpServer(this.#options.answer, this.#address);
    } catch (cause) {
      const error = new ListenError(this.#options.name, this.#address, cause);
      if (this.#options.isFailureFatal === true) throw error;
      this.#retryLater(error);
      return;
    }
    if (!this.#isClosed) this.#options.onListening?.(this.#server.port);
  }

  #retryLater(error: ListenError): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#attempt = this.open();
    }, this.#options.retryMs ?? defaultRetryMs);
    if (error.message === this.#lastFailure) return;
    this.#lastFailure = error.message;
    this.#options.onFailure?.(error);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    // An attempt under way may still end in a server.
    await this.#attempt;
    await this.#server?.close();
    this.#server = undefined;
  }
}
