import { type Frontend, type FrontendKind, frontendsOf } from '../../model/frontend.ts';
import type { ServicePort } from '../../model/service-port.ts';

/** Two service ports with the same frontend. */
export interface Conflict {
  readonly frontend: Frontend;
  readonly owner: ServicePort;
}

/** The key of a frontend in maps: `10.96.0.10 . udp . 53`, and `tcp . 30080` for a node port. */
export function frontendKey({ ip, protocol, port }: Pick<Frontend, 'ip' | 'protocol' | 'port'>): string {
  return ip === undefined ? `${protocol} . ${port}` : `${ip} . ${protocol} . ${port}`;
}

/**
 * Who owns which frontend. An address can be claimed by several services, by mistake or by malice (CVE-2020-8554: external IPs can
 * name any address). What the cluster allocated comes first: cluster IPs, then load balancer addresses, then external IPs; among
 * equals the service that sorts first keeps it, so that all nodes agree.
 */
export class Claims {
  readonly #owners = new Map<string, Frontend>();
  readonly conflicts: readonly Conflict[];

  constructor(servicePorts: readonly ServicePort[]) {
    const rank: Readonly<Record<FrontendKind, number>> = {
      'cluster-ip': 0,
      'load-balancer-ip': 1,
      'external-ip': 2,
      'node-port': 3,
    };
    const conflicts: Conflict[] = [];
    for (const servicePort of servicePorts) {
      for (const frontend of frontendsOf(servicePort)) {
        const key = frontendKey(frontend);
        const owner = this.#owners.get(key);
        const wins = owner === undefined || rank[frontend.kind] < rank[owner.kind];
        if (wins) this.#owners.set(key, frontend);
        // A service may well list its load balancer's address among its external IPs.
        if (owner === undefined || owner.servicePort === servicePort) continue;
        conflicts.push(wins ? { frontend: owner, owner: servicePort } : { frontend, owner: owner.servicePort });
      }
    }
    this.conflicts = conflicts;
  }

  isOwner(frontend: Frontend): boolean {
    const owner = this.#owners.get(frontendKey(frontend));
    return owner?.servicePort === frontend.servicePort && owner.kind === frontend.kind;
  }
}
