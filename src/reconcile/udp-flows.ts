import type { ServiceChanges } from '../compile/nftables/live-ruleset.ts';
import { frontendsOf } from '../model/frontend.ts';
import type { ServicePort } from '../model/service-port.ts';
import type { Family, Ip } from '../net/ip.ts';

/** A UDP flow that conntrack remembers, as far as it matters here. */
export interface UdpFlow {
  readonly family: Family;
  /** What the client sent to. */
  readonly original: { readonly dst: string; readonly dport: number };
  /** Who answers. */
  readonly reply: { readonly src: string; readonly sport: number };
}

/** `10.96.0.10 53`, and ` 30053` for a node port. */
type FrontendId = string;
type Endpoints = ReadonlySet<string>;

/**
 * Knows which UDP flows have come to lead nowhere. Conntrack keeps a flow's endpoint for as long as packets come, so that a client that
 * never stops would go on sending to an endpoint that left, or to a service that had none when it began (kubernetes/kubernetes#139628).
 *
 * A flow is stale if its frontend changed and its endpoint is none of those that serve now. Policies and hints do not count: a flow
 * that works is left alone. TCP needs nothing of the kind: its connections end.
 */
export class UdpFlows {
  readonly #services = new Map<string, ReadonlyMap<FrontendId, Endpoints>>();
  /** Frontends that changed since the last clean-up. */
  #changed = new Set<FrontendId>();
  readonly #owners = new Map<FrontendId, Set<string>>();

  /** Takes Services as they are now; true if some flow may have become stale. */
  change(changes: ServiceChanges): boolean {
    for (const [service, servicePorts] of changes) {
      const before = this.#services.get(service) ?? noFrontends;
      const after = udpFrontends(servicePorts);
      if (after.size > 0) this.#services.set(service, after);
      else this.#services.delete(service);
      for (const id of new Set([...before.keys(), ...after.keys()])) {
        this.#own(id, service, after.has(id));
        if (mayStrand(before.get(id), after.get(id))) this.#changed.add(id);
      }
    }
    return this.hasChanged;
  }

  /** True if take() would give something to clean up. */
  get hasChanged(): boolean {
    return this.#changed.size > 0;
  }

  /**
   * What changed since it was last taken, as a test for flows: true if a flow leads where nobody serves its frontend any more. It goes
   * by what serves when it is called.
   */
  take(): { isStale: (flow: UdpFlow, isNodeAddress: (ip: string) => boolean) => boolean } {
    const changed = this.#changed;
    this.#changed = new Set();
    return { isStale: (flow, isNodeAddress) => this.#isStale(changed, flow, isNodeAddress) };
  }

  #isStale(changed: ReadonlySet<FrontendId>, { original, reply }: UdpFlow, isNodeAddress: (ip: string) => boolean) {
    const address = `${original.dst} ${original.dport}`;
    const id = this.#owners.has(address) || changed.has(address) ? address : ` ${original.dport}`;
    if (!changed.has(id)) return false;
    if (id !== address && !isNodeAddress(original.dst)) return false;
    const owners = this.#owners.get(id) ?? noOwners;
    const endpoint = `${reply.src} ${reply.sport}`;
    return ![...owners].some((service) => this.#services.get(service)?.get(id)?.has(endpoint) === true);
  }

  #own(id: FrontendId, service: string, isOwned: boolean): void {
    const owners = this.#owners.get(id) ?? new Set<string>();
    if (isOwned) owners.add(service);
    else owners.delete(service);
    if (owners.size > 0) this.#owners.set(id, owners);
    else this.#owners.delete(id);
  }
}

const noFrontends: ReadonlyMap<FrontendId, Endpoints> = new Map();
const noOwners: ReadonlySet<string> = new Set();

function udpFrontends(servicePorts: readonly ServicePort[]): ReadonlyMap<FrontendId, Endpoints> {
  const frontends = new Map<FrontendId, Set<string>>();
  for (const servicePort of servicePorts) {
    if (servicePort.protocol !== 'udp') continue;
    const serving = servicePort.endpoints.filter(({ traits }) => traits.state !== 'unavailable');
    for (const { ip, port } of frontendsOf(servicePort)) {
      const id = `${ip ?? ''} ${port}`;
      // A node port is one for both families.
      const endpoints = frontends.get(id) ?? new Set<string>();
      for (const endpoint of serving) endpoints.add(`${endpoint.ip} ${endpoint.port}`);
      frontends.set(id, endpoints);
    }
  }
  return frontends;
}

/** True if flows may lead nowhere after this: an endpoint left, or there was none and packets went astray. */
function mayStrand(before: Endpoints | undefined, after: Endpoints | undefined): boolean {
  if (before === undefined || before.size === 0) return after !== undefined && after.size > 0;
  return after === undefined || [...before].some((endpoint) => !after.has(endpoint));
}

/** What a node's own addresses are, for flows to node ports. */
export function nodeAddressTest(addresses: readonly Ip[]): (ip: string) => boolean {
  const known = new Set<string>(addresses);
  return (ip) => known.has(ip);
}
