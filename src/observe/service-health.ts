import { compareText, familyOf, type Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { type Answer, jsonAnswer } from './answer.ts';
import { printListenAddress } from './bind-address.ts';
import { explainListenFailure, type HttpServer, openHttpServer } from './http-server.ts';
import type { ServiceHealth } from './service-health-state.ts';

/** A Service of which the health cannot be asked, at some addresses at least. */
export interface ServiceHealthFailure {
  readonly namespace: string;
  readonly name: string;
  readonly port: Port;
  /** Names the addresses and why each of them failed. */
  readonly message: string;
}

export interface ServiceHealthOptions {
  /** Whether the proxy works: the health of /livez. An unhealthy one answers 503 for every Service. */
  readonly isProxyHealthy: () => boolean;
  /** Told of a Service once, and again when what fails has changed. */
  readonly onFailure: (failure: ServiceHealthFailure) => void;
}

interface Wanted {
  readonly service: ServiceHealth;
  readonly ip: Ip;
}

interface Failed extends Wanted {
  readonly reason: string;
}

interface Listener {
  /** Replaced by each sync, under the running server. */
  service: ServiceHealth;
  readonly server: HttpServer;
}

/**
 * The servers at healthCheckNodePorts, one for each Service and address. They answer any method and path: 200 where an endpoint of this
 * node is ready and the proxy works, else 503.
 *
 * Unlike kube-proxy's, an address that cannot be listened on does not take the Service's other addresses with it.
 */
export class ServiceHealthServers {
  readonly #options: ServiceHealthOptions;
  readonly #listeners = new Map<string, Listener>();
  /** Messages by service and family. */
  #failures: ReadonlyMap<string, string> = new Map();
  #isClosed = false;
  /** Syncs run one after another, in the order of the calls. */
  #lastSync: Promise<void> = Promise.resolve();

  constructor(options: ServiceHealthOptions) {
    this.#options = options;
  }

  /**
   * Makes the servers those of the services at the addresses of each one's family (`0.0.0.0` and `::` are all of one family), and tries
   * again what failed before. A server whose port and address stay goes on. Never rejects unless a callback throws.
   */
  sync(services: readonly ServiceHealth[], addresses: readonly Ip[]): Promise<void> {
    return this.#enqueue(() => (this.#isClosed ? Promise.resolve() : this.#replace(services, addresses)));
  }

  /** Ends all servers within a moment; a later sync does nothing. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.#enqueue(() => this.#replace([], []));
  }

  #enqueue(run: () => Promise<void>): Promise<void> {
    this.#lastSync = this.#lastSync.then(run, run);
    return this.#lastSync;
  }

  async #replace(services: readonly ServiceHealth[], addresses: readonly Ip[]): Promise<void> {
    const wanted = new Map<string, Wanted>();
    for (const service of services) {
      for (const ip of addresses) {
        if (familyOf(ip) === service.family) wanted.set(listenerKey(service, ip), { service, ip });
      }
    }
    await this.#closeAllBut(wanted);
    const missing: Wanted[] = [];
    for (const [key, { service, ip }] of wanted) {
      const listener = this.#listeners.get(key);
      if (listener === undefined) missing.push({ service, ip });
      else listener.service = service;
    }
    const failures = await Promise.all(missing.map((each) => this.#open(each)));
    this.#report(failures.filter((failure) => failure !== undefined));
  }

  /** Before any is opened: a Service may get the port that another gives up. */
  async #closeAllBut(wanted: ReadonlyMap<string, unknown>): Promise<void> {
    const unwanted = [...this.#listeners].filter(([key]) => !wanted.has(key));
    for (const [key] of unwanted) this.#listeners.delete(key);
    await Promise.all(unwanted.map(([, { server }]) => server.close()));
  }

  /** What failed, or undefined. */
  async #open({ service, ip }: Wanted): Promise<Failed | undefined> {
    const key = listenerKey(service, ip);
    const answer = () =>
      serviceHealthAnswer(this.#listeners.get(key)?.service ?? service, this.#options.isProxyHealthy());
    try {
      const server = await openHttpServer(answer, { host: ip, port: service.port, ipv6Only: service.family === 'ip6' });
      this.#listeners.set(key, { service, server });
      return undefined;
    } catch (error) {
      return { service, ip, reason: explainListenFailure(error) };
    }
  }

  #report(failed: readonly Failed[]): void {
    const before = this.#failures;
    const failures = new Map<string, string>();
    for (const [key, places] of Map.groupBy(failed, ({ service }) => serviceKey(service))) {
      const { namespace, name, port } = (places[0] as Failed).service;
      const where = places
        .map(({ ip, reason }) => `${printListenAddress({ host: ip, port })} (${reason})`)
        .sort(compareText)
        .join(', ');
      const message = `Service ${namespace}/${name}: its health check cannot listen on ${where}; it is tried again at the next sync`;
      failures.set(key, message);
      if (message !== before.get(key)) this.#options.onFailure({ namespace, name, port, message });
    }
    this.#failures = failures;
  }
}

function serviceKey({ namespace, name, family }: ServiceHealth): string {
  return `${namespace}/${name} ${family}`;
}

function listenerKey(service: ServiceHealth, ip: Ip): string {
  return `${serviceKey(service)} ${ip} ${service.port}`;
}

/** The answer as kube-proxy gives it, tabs included. The weight goes with 503 as well. */
function serviceHealthAnswer({ namespace, name, localEndpoints }: ServiceHealth, serviceProxyHealthy: boolean): Answer {
  const body = JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy }, null, '\t');
  return jsonAnswer(body, localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, {
    'X-Load-Balancing-Endpoint-Weight': String(localEndpoints),
  });
}
