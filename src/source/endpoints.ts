import type { Endpoint } from '../model/endpoint.ts';
import { compareText, type Family } from '../net/ip.ts';
import type { Protocol } from '../net/protocol.ts';
import type { EndpointSlice, EndpointSpec, EndpointSpecTraits, Service } from './objects.ts';

/** The slices of a Service. */
export type SlicesOf = (service: Pick<Service, 'namespace' | 'name'>) => readonly EndpointSlice[];

/** Puts slices in order once, so that each Service finds its own at once. */
export function indexSlices(slices: readonly EndpointSlice[]): SlicesOf {
  const byNamespace = new Map<string, Map<string, readonly EndpointSlice[]>>();
  for (const slice of slices) {
    if (slice.service === '' || slice.endpoints.length === 0) continue;
    const byService = byNamespace.get(slice.namespace) ?? new Map<string, readonly EndpointSlice[]>();
    byNamespace.set(slice.namespace, byService);
    byService.set(slice.service, (byService.get(slice.service) ?? noSlices).concat(slice));
  }
  return ({ namespace, name }) => byNamespace.get(namespace)?.get(name) ?? noSlices;
}

const noSlices: readonly EndpointSlice[] = [];

/** Which port of a Service endpoints are wanted for: slices name it, for its number may differ from slice to slice. */
export interface PortKey {
  readonly family: Family;
  readonly portName: string;
  readonly protocol: Protocol;
}

/** The endpoints of a service port, sorted by address text and port, each address and port once. */
export function endpointsOf(slices: readonly EndpointSlice[], key: PortKey): readonly Endpoint[] {
  const candidates: EndpointSpec[] = [];
  for (const slice of slices) {
    if (slice.family !== key.family) continue;
    for (const { name, protocol, port } of slice.ports) {
      if (name !== key.portName || protocol !== key.protocol) continue;
      for (const spec of slice.endpoints) candidates.push(spec.port === port ? spec : { ...spec, port });
    }
  }
  candidates.sort((a, b) => compareText(a.ip, b.ip) || a.port - b.port || preference(a.traits, b.traits));
  // Of those with the same address and port the first is the one to keep.
  const isFirst = ({ ip, port }: EndpointSpec, i: number) =>
    ip !== candidates[i - 1]?.ip || port !== candidates[i - 1]?.port;
  // Without what an array holds in reserve.
  return (candidates.every(isFirst) ? candidates : candidates.filter(isFirst)).slice();
}

/**
 * Negative if `a` is the one to keep of two with the same address and port. An endpoint that moves is in two slices for a while, and a
 * terminating pod's address may already be another pod's: the living one counts. The rest makes the choice the same in any order.
 */
function preference(a: EndpointSpecTraits, b: EndpointSpecTraits): number {
  return (
    Number(a.isTerminating) - Number(b.isTerminating) ||
    Number(b.isReady) - Number(a.isReady) ||
    Number(b.isServing) - Number(a.isServing) ||
    compareText(JSON.stringify(a), JSON.stringify(b))
  );
}
