import { type Frontend, type FrontendKind, frontendsOf } from '../../model/frontend.ts';
import type { ServicePort } from '../../model/service-port.ts';
import { compareText } from '../../net/ip.ts';
import { concatenate } from '../../ruleset/nftables/ruleset.ts';

/** Two service ports with the same frontend. */
export interface Conflict {
  readonly frontend: Frontend;
  readonly owner: ServicePort;
}

/** The key of a frontend in maps: `10.96.0.10 . udp . 53`, and `tcp . 30080` for a node port. */
export function frontendKey({ ip, protocol, port }: Pick<Frontend, 'ip' | 'protocol' | 'port'>): string {
  return ip === undefined ? concatenate(protocol, String(port)) : concatenate(ip, protocol, String(port));
}

/** The order of service ports in which claims are settled and messages told. */
export function compareServicePorts(a: ServicePort, b: ServicePort): number {
  return (
    compareText(a.namespace, b.namespace) ||
    compareText(a.service, b.service) ||
    compareText(a.portName, b.portName) ||
    compareText(a.protocol, b.protocol)
  );
}

const rank: Readonly<Record<FrontendKind, number>> = {
  'cluster-ip': 0,
  'load-balancer-ip': 1,
  'external-ip': 2,
  'node-port': 3,
};

/**
 * Who owns which frontend of one family. An address can be claimed by several services, by mistake or by malice (CVE-2020-8554:
 * external IPs can name any address). What the cluster allocated comes first: cluster IPs, then load balancer addresses, then external
 * IPs; among equals the service that sorts first keeps it, so that all nodes agree.
 */
export class Claims {
  /** The owner comes first. Nearly all frontends have one claimant, which needs no list. */
  readonly #claimants = new Map<string, Frontend | readonly Frontend[]>();
  readonly #contested = new Set<string>();

  /** Takes claims away and adds others. Returns the service ports of neither list that gained or lost a frontend by it. */
  replace(leaving: readonly ServicePort[], coming: readonly ServicePort[]): ReadonlySet<ServicePort> {
    const before = new Map<string, Frontend | undefined>();
    const touch = (key: string) => {
      if (!before.has(key)) before.set(key, this.#owner(key));
    };
    for (const frontend of leaving.flatMap(frontendsOf)) {
      const key = frontendKey(frontend);
      touch(key);
      this.#set(
        key,
        this.#all(key).filter(({ servicePort }) => servicePort !== frontend.servicePort),
      );
    }
    for (const servicePort of coming) {
      for (const frontend of frontendsOf(servicePort)) {
        const key = frontendKey(frontend);
        const others = this.#all(key);
        // What nobody has is taken from nobody.
        if (others.length === 0) this.#claimants.set(key, frontend);
        else {
          touch(key);
          this.#set(key, [...others, frontend].sort(byPrecedence));
        }
      }
    }
    const affected = new Set<ServicePort>();
    for (const [key, owner] of before) {
      const now = this.#owner(key);
      if (now?.servicePort === owner?.servicePort) continue;
      for (const frontend of [owner, now]) if (frontend !== undefined) affected.add(frontend.servicePort);
    }
    for (const servicePort of leaving) affected.delete(servicePort);
    for (const servicePort of coming) affected.delete(servicePort);
    return affected;
  }

  /** Is the frontend, whose key is given, its service port's own? */
  isOwner(frontend: Frontend, key: string): boolean {
    const owner = this.#owner(key);
    return owner?.servicePort === frontend.servicePort && owner.kind === frontend.kind;
  }

  /** The service port that owns the frontend of this key. */
  ownerOf(key: string): ServicePort | undefined {
    return this.#owner(key)?.servicePort;
  }

  /** Frontends that several service ports claim, each loser with the owner, in the order of the losers. */
  conflicts(): readonly Conflict[] {
    const conflicts: Conflict[] = [];
    for (const key of this.#contested) {
      const [owner, ...losers] = this.#all(key);
      for (const frontend of losers) {
        // A service may well list its load balancer's address among its external IPs.
        if (owner === undefined || frontend.servicePort === owner.servicePort) continue;
        conflicts.push({ frontend, owner: owner.servicePort });
      }
    }
    return conflicts.sort(
      (a, b) =>
        compareServicePorts(a.frontend.servicePort, b.frontend.servicePort) ||
        compareText(frontendKey(a.frontend), frontendKey(b.frontend)),
    );
  }

  #owner(key: string): Frontend | undefined {
    const claimants = this.#claimants.get(key);
    return isList(claimants) ? claimants[0] : claimants;
  }

  #all(key: string): readonly Frontend[] {
    const claimants = this.#claimants.get(key);
    if (claimants === undefined) return nobody;
    return isList(claimants) ? claimants : [claimants];
  }

  #set(key: string, claimants: readonly Frontend[]): void {
    const [only] = claimants;
    if (only === undefined) this.#claimants.delete(key);
    else this.#claimants.set(key, claimants.length === 1 ? only : claimants);
    if (claimants.length > 1) this.#contested.add(key);
    else this.#contested.delete(key);
  }
}

const nobody: readonly Frontend[] = [];

function isList(claimants: Frontend | readonly Frontend[] | undefined): claimants is readonly Frontend[] {
  return Array.isArray(claimants);
}

function byPrecedence(a: Frontend, b: Frontend): number {
  return rank[a.kind] - rank[b.kind] || compareServicePorts(a.servicePort, b.servicePort);
}
