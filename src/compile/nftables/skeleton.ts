import { type Family } from '../../net/ip.ts';
import type { NodeState } from '../../model/proxy-state.ts';
import {
  concat,
  type Expression,
  goto,
  jump,
  match,
  payload,
  priority,
  type Statement,
} from '../../ruleset/nftables/expression.ts';
import type { Chain, SetDeclaration } from '../../ruleset/nftables/ruleset.ts';
import { affinityMapDeclarations, learnAffinity, learnAffinityRules, learning } from './affinity.ts';
import { endpointMapDeclarations } from './balancing.ts';
import { balancingMap, fields, type FrontendShape, lists, maps, sets, shapes } from './names.ts';
import { base, chain, explained, fromPods, newConnection, rule, toNodePortAddress, wasTranslated } from './rules.ts';
import { serviceChains } from './service-chains.ts';

/*
 * The part of a table that is the same whatever services there are: where packets enter, and what is asked of them in which order.
 *
 *                        filter -110            nat -100                 filter 0              filter 99             nat 100
 *   from outside, pods   prerouting             prerouting    forward or input                 postrouting           postrouting
 *   from the node        output                 output        output                           postrouting           postrouting
 *                        source ranges          services      no endpoints, cluster IPs        learn affinity        masquerade
 *
 * Affinity is learnt at postrouting from the first service on that asks for it (see affinity.ts): a hook costs every packet.
 *
 * Source ranges stand before destination NAT, since they are about the load balancer's address. What has no endpoint stands after it,
 * and is asked of what services have not sent on its way: the rest is on its way to an endpoint.
 *
 * In mode ipvs this is the companion of IPVS, which stands between output -99 and 0, and behind input 0 and 98: it takes services'
 * packets as if they were the node's own, translates them and sends them out again.
 *
 *   from outside, pods   prerouting -110, -100             input 0           (IPVS)   input 110       postrouting 99, 100
 *   from the node        output -110, -100, -99   (IPVS)   output 0                                   postrouting 99, 100
 *                        source ranges, policy Local       no endpoints               other ports     masquerade
 */

const isUntranslated = match({ kind: 'ct', key: 'status' }, '!', 'dnat');
const masquerade: Statement = { kind: 'masquerade' };

/** Chains that others jump to come first: nft looks a target up when the rule is made. */
export function skeletonChains(state: NodeState, family: Family): readonly Chain[] {
  return [
    ...filterChains(state, family),
    ...serviceChains(state, family),
    ...masqueradeChains(state, family),
    ...(state.ipvs === undefined ? [] : [boundIpsCheck(family)]),
    ...baseChains(family, state.ipvs !== undefined),
  ];
}

const check = (name: string) => rule(newConnection, jump(name));
/** For what services have not sent on its way: what they have is at an endpoint by then. */
const checkUntranslated = (name: string) => rule(newConnection, isUntranslated, jump(name));

function baseChains(family: Family, isIpvs: boolean): readonly Chain[] {
  return [
    ...(isIpvs ? aroundIpvs() : []),
    base('filter-prerouting-pre-dnat', 'filter', 'prerouting', -110, check('firewall-check')),
    base('filter-output-pre-dnat', 'filter', 'output', -110, check('firewall-check')),
    base('nat-prerouting', 'nat', 'prerouting', -100, rule(jump('services'))),
    base('nat-output', 'nat', 'output', -100, rule(jump('services'))),
    base(
      'filter-input',
      'filter',
      'input',
      0,
      check('health-check-nodeports-accept'),
      checkUntranslated('nodeport-endpoints-check'),
      checkUntranslated('service-endpoints-check'),
      learning,
    ),
    base('filter-forward', 'filter', 'forward', 0, checkUntranslated('untranslated-check')),
    base('filter-output', 'filter', 'output', 0, checkUntranslated('untranslated-check')),
    base(
      'nat-postrouting',
      'nat',
      'postrouting',
      100,
      rule(wasTranslated, jump('masquerading')),
      // IPVS leaves no mark on a connection: what it was first sent to must tell.
      ...(isIpvs
        ? [rule(match(fields(family).originalFrontend.ip, '==', `@${sets.virtualServers}`), jump('masquerading'))]
        : []),
    ),
  ];
}

/** What is asked just before IPVS of packets from the node, and just after it of what it did not take. */
function aroundIpvs(): readonly Chain[] {
  return [
    base(
      'filter-output-pre-ipvs',
      'filter',
      'output',
      -99,
      checkUntranslated('nodeport-endpoints-check'),
      checkUntranslated('service-endpoints-check'),
    ),
    base(
      'filter-input-post-ipvs',
      'filter',
      'input',
      110,
      checkUntranslated('cluster-ips-check'),
      check('health-check-nodeports-accept'),
      checkUntranslated('ipvs-ips-check'),
    ),
  ];
}

/** Services' addresses are the node's own in mode ipvs, and so would be reached whatever listens on all of its addresses. */
function boundIpsCheck(family: Family): Chain {
  const { daddr } = fields(family);
  return chain(
    'ipvs-ips-check',
    explained('a port that no service has', match(daddr, '==', `@${sets.boundIps}`), { kind: 'reject', family }),
  );
}

function filterChains(state: NodeState, family: Family): readonly Chain[] {
  const { saddr, daddr, frontend } = fields(family);
  const frontendAndSource = concat(...parts(frontend.ip), saddr);
  return [
    chain('reject-chain', rule({ kind: 'reject', family })),
    chain(
      'firewall-check',
      explained(
        'loadBalancerSourceRanges',
        match(frontend.ip, '==', `@${sets.firewallIps}`),
        match(frontendAndSource, '!=', `@${sets.firewallSources}`),
        { kind: 'drop' },
      ),
    ),
    chain('service-endpoints-check', rule({ kind: 'vmap', key: frontend.ip, map: maps.noEndpoint.ip })),
    chain(
      'nodeport-endpoints-check',
      rule(toNodePortAddress(state, family), { kind: 'vmap', key: frontend.nodeport, map: maps.noEndpoint.nodeport }),
    ),
    chain(
      'cluster-ips-check',
      explained('a port that no service has', match(daddr, '==', `@${sets.clusterIps}`), { kind: 'reject', family }),
      explained('a cluster IP that no service has', match(daddr, '==', `@${sets.serviceCidrs}`), { kind: 'drop' }),
    ),
    chain(
      'health-check-nodeports-accept',
      rule(
        match(payload('tcp', 'dport'), '==', `@${sets.healthCheckNodePorts}`),
        match({ kind: 'fib-type', address: 'daddr' }, '==', 'local'),
        { kind: 'accept' },
      ),
    ),
    chain('untranslated-check', rule(jump('service-endpoints-check')), rule(jump('cluster-ips-check'))),
    chain(learnAffinity, ...learnAffinityRules(family)),
  ];
}

/**
 * Whether to masquerade is told from the connection's original destination, which conntrack keeps: no packet marks, which other
 * software uses as well.
 */
function masqueradeChains(state: NodeState, family: Family): readonly Chain[] {
  const { saddr, daddr, originalDaddr, originalFrontend } = fields(family);
  const pods = fromPods(state, family);
  const notPods = fromPods(state, family, '!=');
  const clusterIpRules = state.masqueradeAll
    ? [rule(masquerade)]
    : notPods === undefined
      ? []
      : [rule(notPods, masquerade)];
  // Where all addresses take node ports there is no list of them, and the port alone must do.
  const toNodePort =
    state.nodePortAddresses[family].kind === 'some' ? [match(originalDaddr, '==', `@${sets.nodePortIps}`)] : [];
  return [
    chain('masquerade-cluster-ips', ...clusterIpRules),
    chain(
      'masquerade-node',
      ...(pods === undefined ? [] : [rule(pods, { kind: 'return' })]),
      rule(match({ kind: 'fib-type', address: 'saddr' }, '==', 'local'), masquerade),
    ),
    chain(
      'masquerading',
      // The kernel takes a service's address, since that is on an interface, as the node's own when the node connects to it.
      ...(state.ipvs === undefined
        ? []
        : [explained('the node, by a service’s address', match(saddr, '==', `@${sets.boundIps}`), masquerade)]),
      explained(
        'hairpin: an endpoint that reaches itself',
        match(concat(saddr, daddr), '==', `@${sets.hairpin}`),
        masquerade,
      ),
      rule(match(originalDaddr, '==', `@${sets.clusterIps}`), goto('masquerade-cluster-ips')),
      // Addresses before node ports, whose numbers other services' addresses may have as well.
      ...shapes.flatMap((shape) => {
        const isIn = (set: string) => [
          ...(shape === 'ip' ? [] : toNodePort),
          match(originalFrontend[shape], '==', `@${set}`),
        ];
        return [
          rule(isIn(maps.masquerade[shape]), masquerade),
          rule(isIn(maps.masqueradeNode[shape]), goto('masquerade-node')),
        ];
      }),
    ),
  ];
}

function parts(expression: Expression): readonly Expression[] {
  return expression.kind === 'concat' ? expression.parts : [expression];
}

export function skeletonSets(state: NodeState, family: Family): readonly SetDeclaration[] {
  const isIpvs = state.ipvs !== undefined;
  const { saddr, daddr, frontend, originalFrontend } = fields(family);
  const set = (
    name: string,
    key: Expression,
    comment: string,
    flags: SetDeclaration['flags'] = [],
  ): SetDeclaration => ({ name, key, flags, comment });
  type Pair = (typeof maps)[keyof typeof maps];
  const pairOf = (
    pair: Pair,
    keys: Record<FrontendShape, Expression>,
    comment: string,
    data?: SetDeclaration['data'],
  ) => shapes.map((shape) => ({ ...set(pair[shape], keys[shape], comment), ...(data === undefined ? {} : { data }) }));
  // In the order in which a first load fills them: nothing leads to a frontend before its endpoints and its source ranges are there.
  return [
    ...(state.detectLocal.kind === 'cidr' && state.detectLocal.cidrs[family] !== undefined
      ? [set(sets.podCidrs, saddr, 'sources that are pods', ['interval'])]
      : []),
    ...(state.nodePortAddresses[family].kind === 'some'
      ? [set(sets.nodePortIps, daddr, 'addresses that answer on node ports')]
      : []),
    ...endpointMapDeclarations(family, isIpvs ? ['cluster'] : lists),
    ...affinityMapDeclarations(family),
    set(sets.hairpin, concat(saddr, daddr), 'endpoints on this node, as client and server at once'),
    set(
      sets.firewallSources,
      concat(...parts(frontend.ip), saddr),
      'who may use frontends with loadBalancerSourceRanges',
      ['interval'],
    ),
    set(sets.firewallIps, frontend.ip, 'frontends with loadBalancerSourceRanges'),
    ...pairOf(maps.masquerade, originalFrontend, 'external frontends, after destination NAT'),
    ...pairOf(maps.masqueradeNode, originalFrontend, 'external frontends of policy Local, after destination NAT'),
    ...pairOf(maps.affinity, originalFrontend, 'frontends with session affinity', 'verdict'),
    { ...set(balancingMap, priority, 'numbers of chains'), data: 'verdict' },
    ...pairOf(maps.shortCircuit, frontend, 'external policy Local: for pods and the node', priority),
    // In mode nftables too: what mode ipvs left is ours until its connections have ended.
    set(sets.virtualServers, frontend.ip, 'virtual servers of IPVS that are ours'),
    set(sets.boundIps, daddr, 'services’ addresses on our interface'),
    ...(isIpvs
      ? []
      : [
          ...pairOf(maps.policyLocal, frontend, 'external policy Local: for clients from outside', priority),
          ...pairOf(maps.service, frontend, 'where a new connection goes: the number of a chain', priority),
        ]),
    ...pairOf(maps.noEndpoint, frontend, 'reject: no endpoints; drop: none on this node', 'verdict'),
    set(sets.healthCheckNodePorts, payload('tcp', 'dport'), 'health checks of load balancers'),
    set(sets.clusterIps, daddr, 'cluster IPs in use'),
    set(sets.serviceCidrs, daddr, 'where cluster IPs are allocated', ['interval']),
  ];
}
