import isEqual from 'lodash-es/isEqual.js';
import type { NodeState, Problem } from '../model/proxy-state.ts';
import type { ServicePort } from '../model/service-port.ts';
import { families, type Family } from '../net/ip.ts';
import { readEndpointSlice } from './endpoint-slice.ts';
import { isRecord, type Json } from './fields.ts';
import {
  type EndpointSlice,
  identify,
  keyOf,
  type Node,
  type Read,
  readNode,
  readServiceCidr,
  type Service,
  type ServiceCidr,
} from './objects.ts';
import { buildNodeState, servicePortOptions, type StateOptions } from './proxy-state.ts';
import { readService } from './service.ts';
import { servicePortsOf } from './service-ports.ts';

/** The kinds of objects that rules follow from. */
export type WatchedKind = 'Service' | 'EndpointSlice' | 'Node' | 'ServiceCIDR';
type Watched = Service | EndpointSlice | Node | ServiceCidr;

/** An object as it was read, with what is wrong in it. */
export interface Observed extends Read<Watched> {
  /** `shop/web`, or a name alone; `''` for an object without a usable name. */
  readonly key: string;
  /** When what a slice tells happened, in Unix milliseconds, if it says so. */
  readonly triggeredAtMs?: number;
}

/** Takes in what a source of objects learns. Replace: these are all there are of a kind. */
export interface ObjectSink {
  replace(kind: WatchedKind, objects: readonly Observed[]): void;
  upsert(kind: WatchedKind, object: Observed): void;
  remove(kind: WatchedKind, object: Observed): void;
}

const readers: Readonly<Record<WatchedKind, (raw: Json) => Read<Watched>>> = {
  Service: readService,
  EndpointSlice: readEndpointSlice,
  Node: readNode,
  ServiceCIDR: readServiceCidr,
};

/** Set by the endpoints controllers: when the pod or Service changed that made them write the slice. */
const triggerTime = 'endpoints.kubernetes.io/last-change-trigger-time';

export function observe(kind: WatchedKind, raw: Json): Observed {
  const who = identify(raw, kind);
  if ('message' in who) return { key: '', object: undefined, problems: [who] };
  const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
  const annotations = isRecord(metadata['annotations']) ? metadata['annotations'] : {};
  const time = annotations[triggerTime];
  const triggeredAtMs = typeof time === 'string' ? Date.parse(time) : NaN;
  return {
    key: who.namespace === '' ? who.name : keyOf(who.namespace, who.name),
    ...readers[kind](raw),
    ...(Number.isNaN(triggeredAtMs) ? {} : { triggeredAtMs }),
  };
}

export interface Trigger {
  readonly family: Family;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** What changed since the last time. */
export interface SourceChanges {
  /** Services, by `namespace/name`, as they are now; without service ports: gone, or nothing of it is proxied. */
  readonly services: ReadonlyMap<string, readonly ServicePort[]>;
  readonly node: NodeState;
  /** How many objects changed. */
  readonly serviceChanges: number;
  readonly endpointChanges: number;
  /** When that happened which made slices change, and in which family, where the slices tell. */
  readonly triggers: readonly Trigger[];
  /** What is wrong with the input and was not so before. */
  readonly problems: readonly Problem[];
}

/**
 * A cluster's objects, kept up to date, and what follows from them for one node. Taking in an object and asking for what changed costs
 * what that object and its Service hold, however many others there are.
 */
export class ClusterStore implements ObjectSink {
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #slicesOfService = new Map<string, readonly EndpointSlice[]>();
  readonly #nodes = new Map<string, Node>();
  readonly #serviceCidrs = new Map<string, ServiceCidr>();
  readonly #usedFamilies = new Set<Family>();
  /** What was last said about an object, so that it is said once. */
  readonly #said = new Map<string, string>();
  #options: StateOptions;
  #node: NodeState | undefined;
  #dirty = new Set<string>();
  #isNodeDirty = true;
  #serviceChanges = 0;
  #endpointChanges = 0;
  #triggers: Trigger[] = [];
  #problems: Problem[] = [];
  readonly #onDirty: (kind: WatchedKind) => void;

  /** onDirty is called whenever an object changed, so that there is something to take. */
  constructor(options: StateOptions, onDirty: (kind: WatchedKind) => void = () => undefined) {
    this.#options = options;
    this.#onDirty = onDirty;
  }

  get serviceCount(): number {
    return this.#services.size;
  }

  /** How many object changes wait to be taken. */
  get pending(): { readonly services: number; readonly endpoints: number } {
    return { services: this.#serviceChanges, endpoints: this.#endpointChanges };
  }

  /** The Node that rules are made for, if it is known. */
  get ownNode(): Node | undefined {
    return [...this.#nodes.values()].find(({ name }) => name.toLowerCase() === this.#options.nodeName);
  }

  /** Takes other addresses of the node's interfaces. */
  setNodeAddresses(nodeAddresses: NonNullable<StateOptions['nodeAddresses']>): void {
    if (isEqual(nodeAddresses, this.#options.nodeAddresses)) return;
    this.#options = { ...this.#options, nodeAddresses };
    this.#isNodeDirty = true;
    this.#onDirty('Node');
  }

  replace(kind: WatchedKind, objects: readonly Observed[]): void {
    const keys = new Set<string>();
    for (const object of objects) {
      keys.add(object.key);
      this.upsert(kind, object);
    }
    for (const key of [...this.#mapOf(kind).keys()]) if (!keys.has(key)) this.#put(kind, key, undefined);
  }

  upsert(kind: WatchedKind, { key, object, problems, triggeredAtMs }: Observed): void {
    this.#say(`${kind} ${key}`, problems);
    if (key === '') return;
    if (!this.#put(kind, key, object) || triggeredAtMs === undefined) return;
    const family = (object as EndpointSlice | undefined)?.family;
    if (kind === 'EndpointSlice' && family !== undefined) this.#triggers.push({ family, atMs: triggeredAtMs });
  }

  remove(kind: WatchedKind, { key }: Observed): void {
    this.#said.delete(`${kind} ${key}`);
    this.#put(kind, key, undefined);
  }

  /** What changed since the last time, the first time everything. */
  takeChanges(): SourceChanges {
    const services = new Map<string, readonly ServicePort[]>();
    const options = servicePortOptions(this.#options);
    for (const key of this.#dirty) {
      const service = this.#services.get(key);
      const problems: Problem[] = [];
      const slices = this.#slicesOfService.get(key) ?? [];
      const servicePorts = service === undefined ? [] : servicePortsOf([service], () => slices, options, problems);
      services.set(key, servicePorts);
      for (const { family } of servicePorts) this.#useFamily(family);
      this.#say(`join ${key}`, problems);
    }
    const changes = {
      services,
      node: this.#nodeState(),
      serviceChanges: this.#serviceChanges,
      endpointChanges: this.#endpointChanges,
      triggers: this.#triggers,
      problems: this.#problems,
    };
    this.#dirty = new Set();
    this.#serviceChanges = 0;
    this.#endpointChanges = 0;
    this.#triggers = [];
    this.#problems = [];
    return changes;
  }

  #nodeState(): NodeState {
    if (this.#node !== undefined && !this.#isNodeDirty) return this.#node;
    const objects = { nodes: [...this.#nodes.values()], serviceCidrs: [...this.#serviceCidrs.values()] };
    const usedFamilies = families.filter((family) => this.#usedFamilies.has(family));
    const { node, problems } = buildNodeState(objects, this.#options, usedFamilies);
    this.#say('node', problems);
    this.#node = node;
    this.#isNodeDirty = false;
    return node;
  }

  #useFamily(family: Family): void {
    if (this.#usedFamilies.has(family)) return;
    this.#usedFamilies.add(family);
    // Settings that lack something for this family are worth a word now.
    this.#isNodeDirty = true;
  }

  #mapOf(kind: WatchedKind): Map<string, Watched> {
    switch (kind) {
      case 'Service':
        return this.#services;
      case 'EndpointSlice':
        return this.#slices;
      case 'Node':
        return this.#nodes;
      case 'ServiceCIDR':
        return this.#serviceCidrs;
    }
  }

  /** True if that changed anything. */
  #put(kind: WatchedKind, key: string, object: Watched | undefined): boolean {
    const objects = this.#mapOf(kind);
    const before = objects.get(key);
    if (isEqual(before, object)) return false;
    if (object === undefined) objects.delete(key);
    else objects.set(key, object);
    switch (kind) {
      case 'Service':
        this.#serviceChanges++;
        this.#dirty.add(key);
        break;
      case 'EndpointSlice':
        this.#endpointChanges++;
        this.#indexSlice(before as EndpointSlice | undefined, object as EndpointSlice | undefined);
        break;
      case 'Node':
      case 'ServiceCIDR':
        this.#isNodeDirty = true;
    }
    this.#onDirty(kind);
    return true;
  }

  /** A slice can go from one Service to another. */
  #indexSlice(before: EndpointSlice | undefined, after: EndpointSlice | undefined): void {
    const serviceOf = (slice: EndpointSlice | undefined) =>
      slice === undefined || slice.service === '' ? undefined : keyOf(slice.namespace, slice.service);
    const [from, to] = [serviceOf(before), serviceOf(after)];
    if (from !== undefined) {
      const others = (this.#slicesOfService.get(from) ?? []).filter((slice) => slice !== before);
      if (others.length === 0) this.#slicesOfService.delete(from);
      else this.#slicesOfService.set(from, others);
      this.#dirty.add(from);
    }
    if (to !== undefined && after !== undefined) {
      this.#slicesOfService.set(to, (this.#slicesOfService.get(to) ?? []).concat(after));
      this.#dirty.add(to);
    }
  }

  #say(about: string, problems: readonly Problem[]): void {
    const text = problems.map(({ object, message }) => `${object}: ${message}`).join('\n');
    if ((this.#said.get(about) ?? '') === text) return;
    if (text === '') this.#said.delete(about);
    else this.#said.set(about, text);
    this.#problems.push(...problems);
  }
}
