import type { Family } from '../../net/ip.ts';
import { type Protocol, protocols } from '../../net/protocol.ts';
import { concat, jump, payload, type Rule } from '../../ruleset/nftables/expression.ts';
import {
  type Chain,
  type Elements,
  elementsOf,
  type SetDeclaration,
  type Table,
} from '../../ruleset/nftables/ruleset.ts';
import type { Command } from '../../ruleset/nftables/transaction.ts';
import { affinityMap, endpointMap, fields, lists, maps, shapes } from './names.ts';
import { frontendOfElement } from './owners.ts';
import { base, newConnection, rule, wasTranslated } from './rules.ts';

/** Clients remembered per table and protocol. A dynamic map without a size stops at 65,535, and says nothing. */
const affinityMapSize = 1_048_576;

/** client . frontend : endpoint, written by the kernel itself as connections come in. */
export function affinityMapDeclarations(family: Family): readonly SetDeclaration[] {
  const { saddr, daddr } = fields(family);
  return protocols.map((protocol) => ({
    name: affinityMap(protocol),
    key: concat(saddr, daddr, payload(protocol, 'dport')),
    data: concat(daddr, payload(protocol, 'dport')),
    flags: ['dynamic', 'timeout'],
    size: affinityMapSize,
  }));
}

export function learningChainName(protocol: Protocol, timeoutSeconds: number): string {
  return `learn-${protocol}-${timeoutSeconds}`;
}

const namePattern = /^learn-(tcp|udp|sctp)-([1-9]\d*)$/;

export function parseLearningChainName(name: string): { protocol: Protocol; timeoutSeconds: number } | undefined {
  const match = namePattern.exec(name);
  return match === null ? undefined : { protocol: match[1] as Protocol, timeoutSeconds: Number(match[2]) };
}

/** Notes where a connection went, under what it was first sent to and by whom. One chain a timeout, shared by all services that have it. */
export function learningChain(family: Family, protocol: Protocol, timeoutSeconds: number): Chain {
  const { originalSaddr, originalDaddr, originalDport, daddr } = fields(family);
  return {
    name: learningChainName(protocol, timeoutSeconds),
    rules: [
      {
        statements: [
          {
            kind: 'update',
            map: affinityMap(protocol),
            key: concat(originalSaddr, originalDaddr, originalDport),
            data: concat(daddr, payload(protocol, 'dport')),
            timeoutSeconds,
          },
        ],
      },
    ],
  };
}

export const learnAffinity = 'learn-affinity';

/** Learning happens after destination NAT, when the endpoint is known: at postrouting, and at input for endpoints on the node itself. */
export const learning: Rule = rule(newConnection, wasTranslated, jump(learnAffinity));

/** Made with the first service that has affinity, and left: without it a packet passes one hook less. */
export const learningHook: Chain = base('filter-postrouting-pre-snat', 'filter', 'postrouting', 99, learning);

export function learnAffinityRules(family: Family): readonly Rule[] {
  const { originalFrontend } = fields(family);
  return shapes.map((shape) => ({
    statements: [{ kind: 'vmap', key: originalFrontend[shape], map: maps.affinity[shape] }],
  }));
}

/**
 * Remembered entries that lead to an endpoint their frontend no longer has (or whose frontend has no affinity any more), as keys of
 * the affinity map: without their removal, old clients would be sent to where nobody is.
 */
export function staleAffinity(table: Table, protocol: Protocol, remembered: Elements): Elements {
  const stale = new Map<string, string>();
  const live = new Map<string, ReadonlySet<string>>();
  for (const [key, endpoint] of remembered) {
    const [, address, port] = key.split(' . ');
    const frontend = `${address} . ${port}`;
    let endpoints = live.get(frontend);
    if (endpoints === undefined) {
      endpoints = liveEndpoints(table, protocol, address ?? '', port ?? '');
      live.set(frontend, endpoints);
    }
    if (!endpoints.has(endpoint)) stale.set(key, endpoint);
  }
  return stale;
}

/** The endpoints of a frontend with affinity; of a node port where the address is no frontend's. Costs what that frontend has, no more. */
function liveEndpoints(table: Table, protocol: Protocol, address: string, port: string): ReadonlySet<string> {
  const isIp = elementsOf(table, maps.affinity.ip).has(`${address} . ${protocol} . ${port}`);
  const shape = isIp ? 'ip' : 'nodeport';
  const live = new Set<string>();
  if (!isIp && !elementsOf(table, maps.affinity.nodeport).has(`${protocol} . ${port}`)) return live;
  const frontend = isIp ? `${address} . ${port}` : port;
  for (const list of lists) {
    const elements = elementsOf(table, endpointMap(shape, list, protocol));
    for (let slot = 0; ; slot++) {
      const endpoint = elements.get(`${frontend} . ${slot}`);
      if (endpoint === undefined) break;
      live.add(endpoint);
    }
  }
  return live;
}

/** True if after this command a client may be remembered for an endpoint that its frontend has no longer. */
export function affectsAffinity(table: Table, command: Command): boolean {
  if (command.kind !== 'element' || command.verb !== 'delete' || command.family !== table.family) return false;
  const set = command.set.name;
  if (set === maps.affinity.ip || set === maps.affinity.nodeport) return true;
  const frontend = set.includes('-endpoints-') ? frontendOfElement(set, command.key) : undefined;
  if (frontend === undefined) return false;
  return shapes.some((shape) => elementsOf(table, maps.affinity[shape]).has(frontend));
}
