import { type VirtualServer, virtualServerKey } from '../../ruleset/ipvs/virtual-server.ts';
import type { ContributedServer } from './contributed-server.ts';

/** The virtual servers that are asked for, kept up to date service by service; a change costs what it contains. */
export class LiveServers {
  /** Nearly all have one contributor, which needs no list. */
  readonly #asked = new Map<string, ContributedServer | readonly ContributedServer[]>();
  #touched = new Set<string>();

  add(servers: readonly ContributedServer[]): void {
    for (const contributed of servers) {
      const key = virtualServerKey(contributed.server);
      const others = this.#all(key);
      // An address that the service names goes first.
      this.#put(key, contributed.isNodePort ? [...others, contributed] : [contributed, ...others]);
    }
  }

  remove(servers: readonly ContributedServer[]): void {
    for (const contributed of servers) {
      const key = virtualServerKey(contributed.server);
      this.#put(
        key,
        this.#all(key).filter((other) => other !== contributed),
      );
    }
  }

  get(key: string): VirtualServer | undefined {
    return this.#first(key)?.server;
  }

  /** By key, in no particular order but that what must work first comes first. */
  get servers(): ReadonlyMap<string, VirtualServer> {
    const first: [string, VirtualServer][] = [];
    const rest: [string, VirtualServer][] = [];
    for (const key of this.#asked.keys()) {
      const contributed = this.#first(key);
      if (contributed !== undefined) (contributed.isFirst ? first : rest).push([key, contributed.server]);
    }
    return new Map([...first, ...rest]);
  }

  /** Keys that changed since the last time. */
  takeTouched(): ReadonlySet<string> {
    const touched = this.#touched;
    this.#touched = new Set();
    return touched;
  }

  #all(key: string): readonly ContributedServer[] {
    const asked = this.#asked.get(key);
    if (asked === undefined) return [];
    return isList(asked) ? asked : [asked];
  }

  #first(key: string): ContributedServer | undefined {
    const asked = this.#asked.get(key);
    return isList(asked) ? asked[0] : asked;
  }

  #put(key: string, asked: readonly ContributedServer[]): void {
    this.#touched.add(key);
    const [only] = asked;
    if (only === undefined) this.#asked.delete(key);
    else this.#asked.set(key, asked.length === 1 ? only : asked);
  }
}

function isList(
  asked: ContributedServer | readonly ContributedServer[] | undefined,
): asked is readonly ContributedServer[] {
  return Array.isArray(asked);
}
