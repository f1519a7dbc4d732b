import type { Endpoint, EndpointState } from '../model/endpoint.ts';
import { compareText, type Family } from '../net/ip.ts';
import type { Protocol } from '../net/protocol.ts';
import type { EndpointSlice, EndpointSpec, Service } from './objects.ts';

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
export function endpointsOf(slices: readonly EndpointSlice[], key: PortKey, nodeName: string): readonly Endpoint[] {
  const candidates: Candidate[] = [];
  for (const slice of slices) {
    if (slice.family !== key.family) continue;
    for (const port of slice.ports) {
      if (port.name !== key.portName || port.protocol !== key.protocol) continue;
      for (const spec of slice.endpoints) candidates.push({ spec, slice: slice.name, port: port.port });
    }
  }
  candidates.sort((a, b) => compareText(a.spec.ip, b.spec.ip) || a.port - b.port || preference(a, b));
  // Of those with the same address and port the first is the one to keep.
  const isFirst = ({ spec, port }: Candidate, i: number) =>
    spec.ip !== candidates[i - 1]?.spec.ip || port !== candidates[i - 1]?.port;
  return candidates.filter(isFirst).map(({ spec, port }) => ({
    ip: spec.ip,
    port,
    state: stateOf(spec),
    // The node's own name is lower-cased, as kube-proxy does it.
    isLocal: nodeName !== '' && spec.nodeName?.toLowerCase() === nodeName,
    zoneHints: spec.zoneHints,
    nodeHints: spec.nodeHints,
  }));
}

interface Candidate {
  readonly spec: EndpointSpec;
  readonly slice: string;
  readonly port: Endpoint['port'];
}

/**
 * Negative if `a` is the one to keep of two with the same address and port. An endpoint that moves is in two slices for a while, and a
 * terminating pod's address may already be another pod's: the living one counts. The rest makes the choice the same in any order.
 */
function preference(a: Candidate, b: Candidate): number {
  return (
    Number(a.spec.isTerminating) - Number(b.spec.isTerminating) ||
    Number(b.spec.isReady) - Number(a.spec.isReady) ||
    Number(b.spec.isServing) - Number(a.spec.isServing) ||
    compareText(a.slice, b.slice) ||
    compareText(contents(a.spec), contents(b.spec))
  );
}

function contents({ nodeName, zoneHints, nodeHints }: EndpointSpec): string {
  return JSON.stringify([nodeName, zoneHints, nodeHints]);
}

/** Ready wins even over terminating: publishNotReadyAddresses makes terminating endpoints ready, and means it. */
function stateOf({ isReady, isServing, isTerminating }: EndpointSpec): EndpointState {
  if (isReady) return 'ready';
  return isServing && isTerminating ? 'terminating' : 'unavailable';
}
