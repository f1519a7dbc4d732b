import type { NodeState } from '../../model/proxy-state.ts';
import type { Family } from '../../net/ip.ts';
import { match, type Rule, type Statement } from '../../ruleset/nftables/expression.ts';
import type { BaseChain, Chain } from '../../ruleset/nftables/ruleset.ts';
import { fields, sets } from './names.ts';

export const rule = (...statements: readonly (Statement | readonly Statement[])[]): Rule => ({
  statements: statements.flat(),
});
export const explained = (comment: string, ...statements: readonly (Statement | readonly Statement[])[]): Rule => ({
  ...rule(...statements),
  comment,
});
/** Where packets enter. */
export const base = (
  name: string,
  type: BaseChain['type'],
  hook: BaseChain['hook'],
  priority: number,
  ...rules: readonly Rule[]
): Chain => ({ name, base: { type, hook, priority }, rules });
export const chain = (name: string, ...rules: readonly Rule[]): Chain => ({ name, rules });

export const newConnection = match({ kind: 'ct', key: 'state' }, 'in', 'new');
export const wasTranslated = match({ kind: 'ct', key: 'status' }, 'in', 'dnat');

/** Matches packets from this node's pods; undefined where nothing tells them from others. */
export function fromPods(state: NodeState, family: Family, operator: '==' | '!=' = '=='): Statement | undefined {
  const { detectLocal } = state;
  switch (detectLocal.kind) {
    case 'none':
      return undefined;
    case 'cidr':
      return detectLocal.cidrs[family] && match(fields(family).saddr, operator, `@${sets.podCidrs}`);
    case 'interface':
      return match({ kind: 'meta', key: 'iifname' }, operator, `${detectLocal.name}${detectLocal.isPrefix ? '*' : ''}`);
  }
}

/** Matches packets to an address that answers on node ports. Loopback never does: it would open the node's own services to its neighbours (CVE-2020-8558). */
export function toNodePortAddress(state: NodeState, family: Family): readonly Statement[] {
  const { daddr } = fields(family);
  if (state.nodePortAddresses[family].kind === 'some') return [match(daddr, '==', `@${sets.nodePortIps}`)];
  return [
    match({ kind: 'fib-type', address: 'daddr' }, '==', 'local'),
    match(daddr, '!=', family === 'ip' ? '127.0.0.0/8' : '::1'),
  ];
}
