import type { Ip } from '../../net/ip.ts';
import type { RealServer, Scheduling, VirtualServerId } from './virtual-server.ts';

/**
 * One change to IPVS or to the addresses of the interface. Each is carried out by itself: there are no transactions, and the order of a
 * Plan's steps is what keeps services working between them.
 */
export type Step =
  /** The interface itself (interfaceName). */
  | { readonly kind: 'interface'; readonly verb: 'add' | 'delete' }
  | { readonly kind: 'address'; readonly verb: 'add' | 'delete'; readonly ip: Ip }
  | {
      readonly kind: 'virtual-server';
      readonly verb: 'add' | 'edit';
      readonly server: VirtualServerId;
      readonly scheduling: Scheduling;
    }
  | { readonly kind: 'virtual-server'; readonly verb: 'delete'; readonly server: VirtualServerId }
  | {
      readonly kind: 'real-server';
      readonly verb: 'add' | 'edit' | 'delete';
      readonly server: VirtualServerId;
      readonly realServer: RealServer;
    };
