/** A transport protocol that a Service can have, in nft's words. */
export type Protocol = 'tcp' | 'udp' | 'sctp';
export const protocols: readonly Protocol[] = ['tcp', 'udp', 'sctp'];

/** IANA's numbers; nft -j accepts and prints names where it finds /etc/protocols, numbers elsewhere. */
export const protocolNumber: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** The protocol named by Kubernetes' `TCP`, `UDP` or `SCTP`, or undefined. */
export function parseProtocol(text: unknown): Protocol | undefined {
  switch (text) {
    case 'TCP':
      return 'tcp';
    case 'UDP':
      return 'udp';
    case 'SCTP':
      return 'sctp';
    default:
      return undefined;
  }
}
