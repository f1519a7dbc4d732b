import memoize from 'lodash-es/memoize.js';
import type { Family } from '../../net/ip.ts';
import { type Protocol, protocols } from '../../net/protocol.ts';
import { concat, type Expression, goto, noPriority, payload, type Rule } from '../../ruleset/nftables/expression.ts';
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

/** So many endpoints a number can count; the rest of a longer list gets no connections. */
export const maxEndpoints = 0xffff;

/**
 * The number that stands for a chain, since a verdict in a frontend's own element would make the kernel look at all others whenever it
 * is added: as tc(8) writes priorities, in hexadecimal, the kind of the chain before the number of its endpoints. `1:a` is
 * cluster-tcp-10, `1112:3` affinity-nodeport-local-udp-3.
 */
export const balancingNumber: (chain: BalancingChain) => string = memoize((chain: BalancingChain) => {
  const { shape, list, protocol, hasAffinity } = chain;
  const kind = `${Number(shape === 'nodeport')}${Number(hasAffinity)}${Number(list === 'local')}${protocols.indexOf(protocol) + 1}`;
  return `${Number(kind)}:${chain.count.toString(16)}`;
}, memoryKey);

/** A number for each chain: services ask for one of a few, hundreds of thousands of times. */
function memoryKey({ shape, list, protocol, count, hasAffinity }: BalancingChain): number {
  const flags = Number(shape === 'nodeport') * 4 + Number(hasAffinity) * 2 + Number(list === 'local');
  return (count * 8 + flags) * protocols.length + protocols.indexOf(protocol);
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

/** The chain that a number stands for, or undefined. */
export function parseBalancingNumber(number: string): BalancingChain | undefined {
  const match = /^(\d{1,4}):([\da-f]{1,4})$/.exec(number);
  const [nodeport, affinity, local, protocol] = (match?.[1] ?? '').padStart(4, '0');
  const chain = {
    shape: nodeport === '1' ? 'nodeport' : 'ip',
    list: local === '1' ? 'local' : 'cluster',
    protocol: protocols[Number(protocol) - 1] ?? 'tcp',
    count: parseInt(match?.[2] ?? '0', 16),
    hasAffinity: affinity === '1',
  } as const;
  return balancingNumber(chain) === number ? chain : undefined;
}

/** The same object for the same chain. */
export function balancingChain(family: Family, chain: BalancingChain): Chain {
  return chainsMade[family](chain);
}

const chainsMade = {
  ip: memoize((chain: BalancingChain) => makeBalancingChain('ip', chain), memoryKey),
  ip6: memoize((chain: BalancingChain) => makeBalancingChain('ip6', chain), memoryKey),
};

function makeBalancingChain(family: Family, chain: BalancingChain): Chain {
  const { shape, list, protocol, count, hasAffinity } = chain;
  const { saddr, daddr } = fields(family);
  const dport = payload(protocol, 'dport');
  const [key, map] = hasAffinity
    ? [concat(saddr, daddr, dport), affinityMap(protocol)]
    : [endpointKey(family, shape, protocol, count), endpointMap(shape, list, protocol)];
  const rules: Rule[] = [{ statements: [noPriority, { kind: 'dnat', family, key, map }] }];
  if (hasAffinity) rules.push({ statements: [goto(balancingChainName({ ...chain, hasAffinity: false }))] });
  return { name: balancingChainName(chain), rules };
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
