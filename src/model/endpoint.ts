import type { Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';

/**
 * What an endpoint's conditions come to. `ready` takes traffic; `terminating` is leaving but still serves, and takes traffic only
 * where nobody is ready (KEP-1669); `unavailable` takes none.
 */
export type EndpointState = 'ready' | 'terminating' | 'unavailable';

/** What many endpoints of a cluster have in common, so that it need not be kept for each of them. */
export interface EndpointTraits {
  readonly state: EndpointState;
  /** Where it runs, in lower case as kube-proxy compares it; `''` if that is not told. */
  readonly nodeName: string;
  /** Zones and nodes whose traffic it should get (EndpointSlice hints); empty: no hint of that kind. */
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

/** An address and port that serves a ServicePort, e.g. a pod's. */
export interface Endpoint {
  readonly ip: Ip;
  readonly port: Port;
  readonly traits: EndpointTraits;
}

export function isOnNode({ traits }: Endpoint, nodeName: string): boolean {
  return nodeName !== '' && traits.nodeName === nodeName;
}
