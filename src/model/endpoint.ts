import type { Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';

/**
 * What an endpoint's conditions come to. `ready` takes traffic; `terminating` is leaving but still serves, and takes traffic only
 * where nobody is ready (KEP-1669); `unavailable` takes none.
 */
export type EndpointState = 'ready' | 'terminating' | 'unavailable';

/** An address and port that serves a ServicePort, e.g. a pod's. */
export interface Endpoint {
  readonly ip: Ip;
  readonly port: Port;
  readonly state: EndpointState;
  /** True if it runs on the node that we compile for. */
  readonly isLocal: boolean;
  /** Zones and nodes whose traffic it should get (EndpointSlice hints); empty: no hint of that kind. */
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}
