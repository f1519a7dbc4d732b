import isEqual from 'lodash-es/isEqual.js';
import { categorizeEndpoints } from '../model/categorize-endpoints.ts';
import type { NodeState } from '../model/proxy-state.ts';
import { isExternallyAccessible, type ServicePort } from '../model/service-port.ts';
import { families, type Family } from '../net/ip.ts';
import { type ServiceHealth, serviceHealthOf } from './service-health-state.ts';

interface Tally {
  readonly endpoints: number;
  readonly health: readonly ServiceHealth[];
  readonly noLocal: Readonly<Record<Family, NoLocalEndpoints>>;
}

/** Service ports that a policy holds to endpoints of this node, where there are none, though there are some elsewhere. */
export interface NoLocalEndpoints {
  readonly internal: number;
  readonly external: number;
}

/** Sums over all Services, kept up to date at the cost of those that change. */
export class ServiceTally {
  readonly #services = new Map<string, Tally>();
  #endpoints = 0;
  readonly #noLocal = { ip: { internal: 0, external: 0 }, ip6: { internal: 0, external: 0 } };
  readonly #health = new Map<string, readonly ServiceHealth[]>();

  /** Takes Services as they are now; true if some healthCheckNodePort has other things to tell. */
  change(services: ReadonlyMap<string, readonly ServicePort[]>, node: NodeState): boolean {
    let isHealthChanged = false;
    for (const [key, servicePorts] of services) {
      const before = this.#services.get(key);
      const after = servicePorts.length === 0 ? undefined : tallyOf(servicePorts, node);
      this.#add(before, -1);
      this.#add(after, 1);
      if (after === undefined) this.#services.delete(key);
      else this.#services.set(key, after);
      const health = after?.health ?? [];
      if (health.length > 0) this.#health.set(key, health);
      isHealthChanged ||= health.length > 0 || this.#health.has(key);
      if (health.length === 0) this.#health.delete(key);
    }
    return isHealthChanged;
  }

  get services(): number {
    return this.#services.size;
  }

  get endpoints(): number {
    return this.#endpoints;
  }

  get noLocalEndpoints(): Readonly<Record<Family, NoLocalEndpoints>> {
    return this.#noLocal;
  }

  get health(): readonly ServiceHealth[] {
    return [...this.#health.values()].flat();
  }

  #add(tally: Tally | undefined, sign: 1 | -1): void {
    if (tally === undefined) return;
    this.#endpoints += sign * tally.endpoints;
    for (const family of families) {
      this.#noLocal[family].internal += sign * tally.noLocal[family].internal;
      this.#noLocal[family].external += sign * tally.noLocal[family].external;
    }
  }
}

// One for all: nearly every Service has neither.
const none: Pick<Tally, 'health' | 'noLocal'> = {
  health: [],
  noLocal: { ip: { internal: 0, external: 0 }, ip6: { internal: 0, external: 0 } },
};

function tallyOf(servicePorts: readonly ServicePort[], node: NodeState): Tally {
  const noLocal = { ip: { internal: 0, external: 0 }, ip6: { internal: 0, external: 0 } };
  let endpoints = 0;
  for (const servicePort of servicePorts) {
    endpoints += servicePort.endpoints.filter(({ traits }) => traits.state !== 'unavailable').length;
    const { local, hasAnyEndpoints } = categorizeEndpoints(servicePort, node.nodeName, node.zone);
    if (!hasAnyEndpoints || local.reason !== 'empty') continue;
    if (servicePort.internalTrafficPolicy === 'Local') noLocal[servicePort.family].internal++;
    if (servicePort.externalTrafficPolicy === 'Local' && isExternallyAccessible(servicePort))
      noLocal[servicePort.family].external++;
  }
  const health = serviceHealthOf(servicePorts, node.nodeName);
  return {
    endpoints,
    health: health.length === 0 ? none.health : health,
    noLocal: isEqual(noLocal, none.noLocal) ? none.noLocal : noLocal,
  };
}
