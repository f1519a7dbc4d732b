import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { SchedulerChoice, ServicePort } from './service-port.ts';

/** How to tell whether a packet comes from a pod of this node (kube-proxy's detectLocalMode). */
export type DetectLocal =
  | { readonly kind: 'none' }
  /** By source address: modes ClusterCIDR and NodeCIDR. One block a family, the first that is configured; a family without one has no detection. */
  | { readonly kind: 'cidr'; readonly cidrs: Readonly<Partial<Record<Family, Cidr>>> }
  /** By incoming interface: mode BridgeInterface (a name) and InterfaceNamePrefix (a prefix, `isPrefix`). */
  | { readonly kind: 'interface'; readonly name: string; readonly isPrefix: boolean };

/** Which of the node's addresses answer on node ports, in one family. */
export type NodePortAddresses =
  /** Every local address but loopback. */
  | { readonly kind: 'all' }
  /** These addresses only; an empty list answers nowhere. */
  | { readonly kind: 'some'; readonly ips: readonly Ip[] };

/** What decides the rules of one node beside the services: changes seldom, and then concerns every service. */
export interface NodeState {
  readonly nodeName: string;
  /** The node's `topology.kubernetes.io/zone`, if it has one. */
  readonly zone?: string;
  /** The node's own address by family; a family without one is absent. */
  readonly nodeIps: Readonly<Partial<Record<Family, Ip>>>;
  readonly nodePortAddresses: Readonly<Record<Family, NodePortAddresses>>;
  readonly detectLocal: DetectLocal;
  /** Masquerade all traffic to cluster IPs, not only what comes from outside. */
  readonly masqueradeAll: boolean;
  /** Blocks from which cluster IPs are allocated (ServiceCIDR objects). */
  readonly serviceCidrs: readonly Cidr[];
  /** Present in mode ipvs only. */
  readonly ipvs?: IpvsState;
}

/** What mode ipvs has to know of a node beside. There, nodePortAddresses is always a list: each address is a virtual server. */
export interface IpvsState {
  /** For service ports that choose none. */
  readonly scheduler: SchedulerChoice;
  /** Addresses of the node's interfaces, without those of our own: a service's address among them is not bound a second time. */
  readonly interfaceIps: readonly Ip[];
  /** Virtual servers and addresses in these blocks are never removed, whoever made them (kube-proxy's excludeCIDRs). */
  readonly excludeCidrs: readonly Cidr[];
}

/** Everything that decides the rules of one node: a plain value, from which compile makes the ruleset. Order carries no meaning. */
export interface ProxyState extends NodeState {
  readonly servicePorts: readonly ServicePort[];
}

/** Something wrong with the input that costs no more than what it says. Message: object, field, value found, what is accepted, what was done. */
export interface Problem {
  /** `Service shop/web` */
  readonly object: string;
  readonly message: string;
}
