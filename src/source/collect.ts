import type { Problem } from '../model/proxy-state.ts';
import { compareText } from '../net/ip.ts';
import { readEndpointSlice } from './endpoint-slice.ts';
import { isRecord, type Json, quote } from './fields.ts';
import {
  type ClusterObjects,
  type EndpointSlice,
  identify,
  type Identity,
  keyOf,
  type Node,
  type Read,
  readNode,
  readServiceCidr,
  type Service,
  type ServiceCidr,
  titleOf,
} from './objects.ts';
import { readService } from './service.ts';

export interface Manifests {
  readonly objects: ClusterObjects;
  readonly problems: readonly Problem[];
  /** How many objects of each other kind there were, e.g. `Pod` 120; sorted by kind. */
  readonly passedOver: ReadonlyMap<string, number>;
  /** Files and folders of which nothing at all could be read: what they should hold is not known, which is not the same as none. */
  readonly lost: readonly string[];
}

interface Kept<T> extends Read<T> {
  readonly file: string;
}

interface Kind<T> {
  readonly apiVersions: readonly string[];
  readonly read: (raw: Json, who: Identity) => Read<T>;
}

const kinds = {
  Service: { apiVersions: ['v1'], read: readService } satisfies Kind<Service>,
  EndpointSlice: { apiVersions: ['discovery.k8s.io/v1'], read: readEndpointSlice } satisfies Kind<EndpointSlice>,
  Node: { apiVersions: ['v1'], read: readNode } satisfies Kind<Node>,
  ServiceCIDR: {
    apiVersions: ['networking.k8s.io/v1', 'networking.k8s.io/v1beta1'],
    read: readServiceCidr,
  } satisfies Kind<ServiceCidr>,
};

/** Objects while they are gathered. By namespace and name, for the later one of two replaces the earlier, and its problems with it. */
export interface Collection {
  readonly Service: Map<string, Kept<Service>>;
  readonly EndpointSlice: Map<string, Kept<EndpointSlice>>;
  readonly Node: Map<string, Kept<Node>>;
  readonly ServiceCIDR: Map<string, Kept<ServiceCidr>>;
  readonly passedOver: Map<string, number>;
  readonly lost: string[];
  readonly problems: Problem[];
}

export function emptyCollection(): Collection {
  return {
    Service: new Map(),
    EndpointSlice: new Map(),
    Node: new Map(),
    ServiceCIDR: new Map(),
    passedOver: new Map(),
    lost: [],
    problems: [],
  };
}

export function manifestsOf(collection: Collection): Manifests {
  const problems = [...collection.problems];
  const objectsOf = <T>(kept: ReadonlyMap<string, Kept<T>>): readonly T[] => {
    const objects: T[] = [];
    for (const { object, problems: own } of kept.values()) {
      if (object !== undefined) objects.push(object);
      for (const problem of own) problems.push(problem);
    }
    return objects;
  };
  const objects = {
    services: objectsOf(collection.Service),
    endpointSlices: objectsOf(collection.EndpointSlice),
    nodes: objectsOf(collection.Node),
    serviceCidrs: objectsOf(collection.ServiceCIDR),
  };
  const passedOver = new Map([...collection.passedOver].sort(([a], [b]) => compareText(a, b)));
  return { objects, problems, passedOver, lost: collection.lost };
}

/** Lists may hold lists, as `kubectl get` of several files gives; deeper ones than this nobody means. */
const maxListDepth = 10;

/** Takes in whatever a document holds: an object, a list of objects, or nothing of use. */
export function addValue(collection: Collection, value: unknown, file: string, depth = 0): void {
  if (value === null || value === undefined) return;
  const skip = (message: string) =>
    collection.problems.push({ object: `File ${file}`, message: `${message}; it is skipped` });
  if (depth > maxListDepth) return void skip(`holds lists nested deeper than ${maxListDepth}`);
  if (Array.isArray(value)) {
    for (const item of value) addValue(collection, item, file, depth + 1);
    return;
  }
  if (!isRecord(value)) return void skip(`holds ${quote(value)}, which is no object`);
  const { kind, items } = value;
  if (typeof kind !== 'string' || kind === '') return void skip(`holds an object without kind: ${quote(value)}`);
  if (kind.endsWith('List') && (Array.isArray(items) || items === null)) {
    for (const item of items ?? []) addValue(collection, asListItem(item, kind, value['apiVersion']), file, depth + 1);
    return;
  }
  addObject(collection, value, kind, file);
}

/** In a typed list (`kind: ServiceList`) the API server leaves kind and apiVersion out of the items. */
function asListItem(item: unknown, listKind: string, apiVersion: unknown): unknown {
  const kind = listKind.slice(0, -'List'.length);
  if (kind === '' || !isRecord(item) || item['kind'] !== undefined) return item;
  return { ...item, kind, apiVersion: item['apiVersion'] ?? apiVersion };
}

function addObject(collection: Collection, raw: Json, kind: string, file: string): void {
  switch (kind) {
    case 'Service':
      return keep(collection, collection.Service, kinds.Service, raw, kind, file);
    case 'EndpointSlice':
      return keep(collection, collection.EndpointSlice, kinds.EndpointSlice, raw, kind, file);
    case 'Node':
      return keep(collection, collection.Node, kinds.Node, raw, kind, file);
    case 'ServiceCIDR':
      return keep(collection, collection.ServiceCIDR, kinds.ServiceCIDR, raw, kind, file);
    default:
      collection.passedOver.set(kind, (collection.passedOver.get(kind) ?? 0) + 1);
  }
}

function keep<T>(
  collection: Collection,
  into: Map<string, Kept<T>>,
  of: Kind<T>,
  raw: Json,
  kind: string,
  file: string,
) {
  const { problems } = collection;
  const who = identify(raw, kind);
  if ('message' in who) return void problems.push({ object: `${who.object} in ${file}`, message: who.message });
  const apiVersion = raw['apiVersion'];
  if (typeof apiVersion !== 'string' || !of.apiVersions.includes(apiVersion)) {
    // Knative, for one, has a kind Service of its own: another group's kind is just another kind.
    if (isForeign(apiVersion)) return void collection.passedOver.set(kind, (collection.passedOver.get(kind) ?? 0) + 1);
    const found = apiVersion === undefined ? 'is missing' : `${quote(apiVersion)} is not known`;
    const message = `apiVersion ${found}, accepted: ${of.apiVersions.join(', ')}; the object is skipped`;
    return void problems.push({ object: titleOf(kind, who), message });
  }
  const key = keyOf(who.namespace, who.name);
  const earlier = into.get(key);
  if (earlier !== undefined) {
    const where = earlier.file === file ? `in ${file}` : `in ${earlier.file} and ${file}`;
    problems.push({ object: titleOf(kind, who), message: `is given twice, ${where}; the later one is used` });
  }
  const { object, problems: own } = of.read(raw, who);
  into.set(key, { object, problems: own, file });
}

/** True for the kinds of other projects, e.g. serving.knative.dev/v1; a group of Kubernetes' own is a slip of the pen. */
function isForeign(apiVersion: unknown): boolean {
  const group = typeof apiVersion === 'string' ? apiVersion.slice(0, Math.max(0, apiVersion.indexOf('/'))) : '';
  return group.includes('.') && !group.endsWith('.k8s.io');
}
