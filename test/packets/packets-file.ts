/** The form of fixtures/<behaviour>/packets.yaml: packets, and what must become of each. Read by the tracer tests and by the kernel tests alike. */
export interface PacketsFile {
  /** One sentence: the behaviour that this fixture shows and where it is specified (KEP, API documentation, man page). */
  readonly about: string;
  /** The node to compile for; default `node-1`. */
  readonly node?: string;
  /** The node's interface addresses; default: the Node object's status addresses. */
  readonly nodeAddresses?: readonly string[];
  readonly packets: readonly PacketSpec[];
}

export interface PacketSpec {
  readonly name: string;
  /** The state that it meets: 1 is cluster.yaml, 2 is step-2.yaml, ...; default 1. Steps are applied in order, each on top of the kernel state that the last left. */
  readonly step?: number;
  /** Source address. One of the node's own addresses: the node itself sends it. */
  readonly from: string;
  /** Where it comes in: `pods` (device cni0), `outside` (device eth0), `node` (sent by the node). Default: `node` for a node address, `pods` for this node's pods (10.244.1.0/24, fd00:10:244:1::/64), else `outside`. */
  readonly via?: 'pods' | 'outside' | 'node';
  /** `10.96.0.10:53/udp`, `[fd00:10:96::a]:53/udp`; `/tcp` may be left out. */
  readonly to: string;
  /**
   * A list: it is sent on to one of these `ip:port`, and with enough packets to each of them. `reject`: answered with an ICMP error
   * (or a reset). `drop`: no answer and nothing sent on. `untouched`: it goes where it would go without us, its destination unchanged.
   */
  readonly expect: readonly string[] | 'reject' | 'drop' | 'untouched';
  /** True: its source address is replaced by the node's. Default false. Means nothing for reject and drop. */
  readonly masquerade?: boolean;
  /** True: several connections from this client all reach one and the same of the expected endpoints (session affinity). */
  readonly sticky?: boolean;
}
