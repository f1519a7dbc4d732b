import memoize from 'lodash-es/memoize.js';
import type { Family } from '../../net/ip.ts';
import { type Protocol, protocols } from '../../net/protocol.ts';
import { concat, type Expression, goto, payload, type Statement } from '../../ruleset/nftables/expression.ts';
import type { Chain, SetDeclaration } from '../../ruleset/nftables/ruleset.ts';
import { affinityMap, endpointMap, fields, type FrontendShape, type ListName, shapes } from './names.ts';

/**
 * A balancing chain draws a slot and sends the connection to the endpoint in it. There is one for each number of endpoints that some
 * frontend has, shared by all frontends with that number, and made when first needed: `cluster-tcp-3`.
 */
export interface BalancingChain {
  readonly shape: FrontendShape;
  readonly list: ListName;
  readonly protocol: Protocol;
  readonly count: number;
  /** Tries first where the client went before. */
  readonly hasAffinity: boolean;
}

export function balancingChainName({ shape, list, protocol, count, hasAffinity }: BalancingChain): string {
  return `${hasAffinity ? 'affinity-' : ''}${shape === 'nodeport' ? 'nodeport-' : ''}${list}-${protocol}-${count}`;
}

const namePattern = /^(affinity-)?(nodeport-)?(cluster|local)-(tcp|udp|sctp)-([1-9]\d*)$/;

/** The balancing chain of that name, or undefined. A chain that nobody uses any more stays in the kernel: a later count may need it, and kernels before 6.2 still count it as used. */
export function parseBalancingChainName(name: string): BalancingChain | undefined {
  const match = namePattern.exec(name);
  if (match === null) return undefined;
  return {
    hasAffinity: match[1] !== undefined,
    shape: match[2] === undefined ? 'ip' : 'nodeport',
    list: match[3] as ListName,
    protocol: match[4] as Protocol,
    count: Number(match[5]),
  };
}

/** The same object for the same chain: nearly every service has one of a few. */
export const balancingChain: (family: Family, chain: BalancingChain) => Chain = memoize(
  makeBalancingChain,
  (family: Family, chain: BalancingChain) => `${family} ${balancingChainName(chain)}`,
);

function makeBalancingChain(family: Family, chain: BalancingChain): Chain {
  const { shape, list, protocol, count, hasAffinity } = chain;
  const { saddr, daddr } = fields(family);
  const dport = payload(protocol, 'dport');
  const statements: Statement[] = hasAffinity
    ? [
        { kind: 'dnat', family, key: concat(saddr, daddr, dport), map: affinityMap(protocol) },
        goto(balancingChainName({ ...chain, hasAffinity: false })),
      ]
    : [
        {
          kind: 'dnat',
          family,
          key: endpointKey(family, shape, protocol, count),
          map: endpointMap(shape, list, protocol),
        },
      ];
  return { name: balancingChainName(chain), rules: statements.map((statement) => ({ statements: [statement] })) };
}

function endpointKey(family: Family, shape: FrontendShape, protocol: Protocol, modulus: number): Expression {
  const dport = payload(protocol, 'dport');
  const slot: Expression = { kind: 'random', modulus };
  return shape === 'ip' ? concat(fields(family).daddr, dport, slot) : concat(dport, slot);
}

/** frontend . slot : endpoint, for each kind of list and protocol. */
export function endpointMapDeclarations(family: Family, of: readonly ListName[]): readonly SetDeclaration[] {
  return protocols.flatMap((protocol) =>
    shapes.flatMap((shape) =>
      of.map((list) => ({
        name: endpointMap(shape, list, protocol),
        // Only the type counts here; each chain has a modulus of its own in its rule.
        key: endpointKey(family, shape, protocol, 2),
        data: concat(fields(family).daddr, payload(protocol, 'dport')),
        flags: [],
      })),
    ),
  );
}
