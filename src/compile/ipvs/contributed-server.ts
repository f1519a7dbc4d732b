import type { VirtualServer } from '../../ruleset/ipvs/virtual-server.ts';

/** A virtual server that a frontend asks for. */
export interface ContributedServer {
  readonly server: VirtualServer;
  /** An address that the service names goes before a node port at the same address and port. */
  readonly isNodePort: boolean;
  /** True for what must work before everything else on a node that comes up: the API server. */
  readonly isFirst: boolean;
}
