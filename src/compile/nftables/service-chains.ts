import type { NodeState } from '../../model/proxy-state.ts';
import type { Family } from '../../net/ip.ts';
import {
  goto,
  jump,
  match,
  noPriority,
  priority,
  type Rule,
  type Statement,
} from '../../ruleset/nftables/expression.ts';
import type { Chain } from '../../ruleset/nftables/ruleset.ts';
import { balancingMap, fields, type FrontendShape, maps, policyLocalNumbers, shapes } from './names.ts';
import { chain, explained, fromPods, rule, toNodePortAddress } from './rules.ts';

/**
 * A frontend's element is a number, not a verdict: the kernel checks a table against loops whenever an element with `goto` comes, and for
 * that looks at all such elements. A map cannot be the key of another, so the number passes through the packet's priority, which the
 * chain that it stands for takes away again.
 */
export function serviceChains(state: NodeState, family: Family): readonly Chain[] {
  const byNumber = rule({ kind: 'vmap', key: priority, map: balancingMap });
  const isPolicyLocal = (shape: FrontendShape) =>
    rule(match(priority, '==', policyLocalNumbers[shape]), goto(policyLocalChain(shape)));
  return [
    chain('balance', byNumber),
    ...(state.ipvs === undefined
      ? [
          ...shapes.map((shape) => chain(policyLocalChain(shape), ...policyLocal(state, family, shape))),
          chain('service', byNumber, ...shapes.map(isPolicyLocal)),
        ]
      : []),
    chain('nodeports', ...dispatch(state, family, 'nodeport')),
    chain('services', ...dispatch(state, family, 'ip'), rule(toNodePortAddress(state, family), jump('nodeports'))),
  ];
}

const policyLocalChain = (shape: FrontendShape) => (shape === 'ip' ? 'policy-local' : 'nodeport-policy-local');

const prioritize = (family: Family, shape: FrontendShape, map: string): Statement => ({
  kind: 'set-priority',
  from: { key: fields(family).frontend[shape], map },
});

/** In mode ipvs, where virtual servers take the rest, only what must not come to them. */
function dispatch(state: NodeState, family: Family, shape: FrontendShape): readonly Rule[] {
  if (state.ipvs !== undefined) return shortCircuit(state, family, shape);
  return [rule(prioritize(family, shape, maps.service[shape]), goto('service'))];
}

function policyLocal(state: NodeState, family: Family, shape: FrontendShape): readonly Rule[] {
  return [
    ...shortCircuit(state, family, shape),
    rule(prioritize(family, shape, maps.policyLocal[shape]), goto('balance')),
    rule(noPriority),
  ];
}

/** Pods and the node itself are inside the cluster: external policy Local does not bind them (they would otherwise depend on where they run). */
function shortCircuit(state: NodeState, family: Family, shape: FrontendShape): readonly Rule[] {
  const statements = [prioritize(family, shape, maps.shortCircuit[shape]), goto('balance')];
  const pods = fromPods(state, family);
  return [
    ...(pods === undefined ? [] : [explained('external policy Local, from a pod', pods, statements)]),
    explained(
      'external policy Local, from the node',
      match({ kind: 'fib-type', address: 'saddr' }, '==', 'local'),
      statements,
    ),
  ];
}
