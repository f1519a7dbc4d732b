import type { Family } from '../../net/ip.ts';

/**
 * What nft calls an expression: something that has a value for a packet. The subset that our rules are made of, in the words of
 * nft(8) and libnftables-json(5).
 */
export type Expression =
  | {
      readonly kind: 'payload';
      readonly protocol: 'ip' | 'ip6' | 'tcp' | 'udp' | 'sctp' | 'th';
      readonly field: 'saddr' | 'daddr' | 'dport';
    }
  | { readonly kind: 'meta'; readonly key: 'l4proto' | 'iifname' | 'priority' }
  | { readonly kind: 'ct'; readonly key: 'state' | 'status' }
  /** Of the connection as its first packet came in, before any NAT. */
  | { readonly kind: 'ct-original'; readonly key: 'ip saddr' | 'ip daddr' | 'ip6 saddr' | 'ip6 daddr' | 'proto-dst' }
  /** The kind of an address (local, unicast ...) by the node's routes. */
  | { readonly kind: 'fib-type'; readonly address: 'saddr' | 'daddr' }
  /** A random number from 0 to modulus - 1, drawn anew for each packet. */
  | { readonly kind: 'random'; readonly modulus: number }
  | { readonly kind: 'concat'; readonly parts: readonly Expression[] };

/** `==` and `!=` compare, or look up in a set where the right side is `@name`; `in` and `!` test a bit of ct state or ct status. */
export type Operator = '==' | '!=' | 'in' | '!';

export type Statement =
  | { readonly kind: 'match'; readonly left: Expression; readonly operator: Operator; readonly right: string }
  /** Continues as the map's verdict for the key says; falls through where the map has none. */
  | { readonly kind: 'vmap'; readonly key: Expression; readonly map: string }
  /** Gives the packet the priority that the map has for the key, and falls through where it has none; or takes its priority away. */
  | { readonly kind: 'set-priority'; readonly from: { readonly key: Expression; readonly map: string } | 'none' }
  /** Sends the connection to the address and port that the map has for the key; falls through where it has none. */
  | { readonly kind: 'dnat'; readonly family: Family; readonly key: Expression; readonly map: string }
  /** Writes key : data into a dynamic map, or renews its time there. */
  | {
      readonly kind: 'update';
      readonly map: string;
      readonly key: Expression;
      readonly data: Expression;
      readonly timeoutSeconds: number;
    }
  /** Replaces the source by the outgoing device's address, with a port drawn fully at random (as kube-proxy does: fewer clashes). */
  | { readonly kind: 'masquerade' }
  /** Answers with ICMP port unreachable. */
  | { readonly kind: 'reject'; readonly family: Family }
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly target: string }
  /** Something in the kernel that we never write; kept as nft's JSON so that it can be shown. */
  | { readonly kind: 'foreign'; readonly json: string };

export interface Rule {
  readonly statements: readonly Statement[];
  /** Why the rule is there; at most 128 bytes, and never text from a cluster's objects. */
  readonly comment?: string;
}

export const concat = (...parts: readonly Expression[]): Expression => ({ kind: 'concat', parts });
export const payload = (
  protocol: (Expression & { kind: 'payload' })['protocol'],
  field: (Expression & { kind: 'payload' })['field'],
): Expression => ({ kind: 'payload', protocol, field });
export const l4proto: Expression = { kind: 'meta', key: 'l4proto' };
export const priority: Expression = { kind: 'meta', key: 'priority' };

export const noPriority: Statement = { kind: 'set-priority', from: 'none' };

export function match(left: Expression, operator: Operator, right: string): Statement {
  return { kind: 'match', left, operator, right };
}
export function jump(target: string): Statement {
  return { kind: 'jump', target };
}
export function goto(target: string): Statement {
  return { kind: 'goto', target };
}
