/** What became of a packet that was sent into a playground. */
export type Outcome = SentOn | Delivered | Rejected | Silent;

interface Arrived {
  /** Where it went to after all translation: `10.244.1.5:80` or `[fd00::5]:80`. */
  readonly destination: string;
  /** Its source address when it got there. */
  readonly source: string;
}

/** It left the node through a device. */
export interface SentOn extends Arrived {
  readonly kind: 'sent-on';
  readonly device: 'cni0' | 'eth0';
  /** Whether its source is an address that masquerading would choose: one of that device, if it has any of the family. */
  readonly looksMasqueraded: boolean;
}

/** It was delivered to the node itself: it passed the input hook. Whether a socket listens there does not matter. */
export interface Delivered extends Arrived {
  readonly kind: 'delivered';
}

/** The sender was told so, by an ICMP destination-unreachable error or by a TCP reset. */
export interface Rejected {
  readonly kind: 'rejected';
  readonly by: 'icmp' | 'reset';
}

/** Nothing at all was seen of it. */
export interface Silent {
  readonly kind: 'silent';
}
