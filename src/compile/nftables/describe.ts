import type { Family } from '../../net/ip.ts';
import { tableName } from '../../ruleset/nftables/ruleset.ts';
import { type Command, type ElementCommand, elementId, type Transaction } from '../../ruleset/nftables/transaction.ts';
import { parseBalancingNumber } from './balancing.ts';
import { balancingMap, maps, policyLocalNumbers, sets } from './names.ts';
import { frontendOfElement, type OwnerOf } from './owners.ts';

/** What a transaction does, for people: a heading (a service, or a table) and a line a change. */
export interface Description {
  readonly heading: string;
  readonly lines: readonly string[];
}

/**
 * The transaction in words, by service. Lines start with `+` (comes), `-` (goes) or `~` (changes), e.g.
 * `~ 10.96.0.10:80/tcp goes to 3 endpoints (was: to 2 endpoints)`. Tables that are made whole are summed up.
 */
export function describeTransaction(transaction: Transaction, ownerOf: OwnerOf): readonly Description[] {
  const descriptions = new Map<string, string[]>();
  const say = (heading: string, line: string) => {
    const lines = descriptions.get(heading);
    if (lines === undefined) descriptions.set(heading, [line]);
    else lines.push(line);
  };
  const made = new Set<Family>();
  for (const { kind, verb, family } of transaction.commands) if (kind === 'table' && verb === 'add') made.add(family);
  const changes = pairChanges(transaction.commands);
  for (const family of made) say(tableHeading(family), describeTable(family, transaction.commands));
  for (const command of transaction.commands) {
    if (made.has(command.family)) continue;
    const line = command.kind === 'element' ? describeElement(command, changes) : describeStructure(command);
    if (line === undefined) continue;
    const owner = command.kind === 'element' ? ownerOf(command.family, command.set.name, command.key) : undefined;
    say(owner ?? tableHeading(command.family), line);
  }
  return [...descriptions].map(([heading, lines]) => ({ heading, lines }));
}

const tableHeading = (family: Family) => `table ${family} ${tableName}`;

function describeTable(family: Family, commands: readonly Command[]): string {
  const count = { table: 0, set: 0, chain: 0, rule: 0, element: 0 };
  let replaced = false;
  for (const command of commands) {
    if (command.family !== family) continue;
    if (command.verb === 'add') count[command.kind]++;
    else if (command.kind === 'table') replaced = true;
  }
  const parts = `${count.set} sets and maps, ${count.chain} chains, ${count.rule} rules, ${count.element.toLocaleString('en')} elements`;
  return replaced
    ? `~ replaced as a whole, since it is made for other settings or by others: ${parts}`
    : `+ made: ${parts}`;
}

function describeStructure(command: Exclude<Command, ElementCommand>): string | undefined {
  switch (command.kind) {
    case 'chain':
      return command.verb === 'flush'
        ? `~ chain ${command.name}: its rules are not the wanted ones and are written anew`
        : `+ chain ${command.name}`;
    case 'set':
      return `+ ${command.set.name}`;
    case 'table':
    case 'rule':
      return undefined;
  }
}

/** Elements that are deleted and added in one transaction: a changed value, by `family set key`, with the old value. */
function pairChanges(commands: readonly Command[]): ReadonlyMap<string, string> {
  const deleted = new Map<string, string>();
  const changed = new Map<string, string>();
  for (const command of commands) {
    if (command.kind !== 'element') continue;
    if (command.verb === 'delete') deleted.set(elementId(command), command.value);
    else if (deleted.size > 0) {
      const old = deleted.get(elementId(command));
      if (old !== undefined) changed.set(elementId(command), old);
    }
  }
  return changed;
}

function describeElement(command: ElementCommand, changes: ReadonlyMap<string, string>): string | undefined {
  const { verb, set, key, value } = command;
  const old = changes.get(elementId(command));
  if (old === undefined) return `${verb === 'add' ? '+' : '-'} ${elementWords(set.name, key, value)}`;
  if (verb === 'delete') return undefined;
  return `~ ${elementWords(set.name, key, value)} (was: ${valueWords(set.name, old).replace(/^(?:is|goes) /, '')})`;
}

/** An element as a sentence, e.g. `10.96.0.10:80/tcp goes to 3 endpoints`. */
function elementWords(set: string, key: string, value: string): string {
  switch (set) {
    case sets.clusterIps:
      return `${key} is a cluster IP in use`;
    case sets.serviceCidrs:
      return `${key} is a range of cluster IPs`;
    case sets.podCidrs:
      return `${key} are pods`;
    case sets.nodePortIps:
      return `${key} answers on node ports`;
    case sets.hairpin:
      return `${key.split(' . ')[0]} is masqueraded when it reaches itself`;
    case sets.healthCheckNodePorts:
      return `port ${key} takes load balancers' health checks`;
    case balancingMap:
      return `${key} stands for chain ${value.replace('goto ', '')}`;
    case maps.masquerade.ip:
    case maps.masquerade.nodeport:
      return `${frontendWords(key)} is masqueraded`;
    case maps.masqueradeNode.ip:
    case maps.masqueradeNode.nodeport:
      return `${frontendWords(key)} keeps its clients’ addresses, the node’s own excepted`;
    case sets.firewallIps:
      return `${frontendWords(key)} is open to its loadBalancerSourceRanges only`;
    case sets.firewallSources:
      return `${frontendWords(frontendOfElement(set, key) ?? key)} is open to ${key.slice(key.lastIndexOf(' . ') + 3)}`;
    default: {
      const frontend = frontendWords(frontendOfElement(set, key) ?? key);
      const slot = set.includes('-endpoints-') ? ` slot ${key.slice(key.lastIndexOf(' . ') + 3)}` : '';
      const isOf = ({ ip, nodeport }: (typeof maps)[keyof typeof maps]) => set === ip || set === nodeport;
      const who = isOf(maps.shortCircuit) ? ' from pods and the node' : isOf(maps.policyLocal) ? ' from outside' : '';
      return `${frontend}${slot}${who} ${valueWords(set, value)}`;
    }
  }
}

function valueWords(set: string, value: string): string {
  if (set.includes('-endpoints-'))
    return `is ${value.includes(':') ? `[${value.replace(' . ', ']:')}` : value.replace(' . ', ':')}${set.includes('local-') ? ' (on this node)' : ''}`;
  const target = value.startsWith('goto ') ? value.slice(5) : value;
  const balancing = parseBalancingNumber(target);
  if (balancing !== undefined) {
    const { count, list, hasAffinity } = balancing;
    return `goes to ${count} endpoint${count === 1 ? '' : 's'}${list === 'local' ? ' on this node' : ''}${hasAffinity ? ', clients staying with theirs' : ''}`;
  }
  if (target.startsWith('learn-')) return `remembers its clients for ${target.slice(target.lastIndexOf('-') + 1)} s`;
  switch (target) {
    case 'reject-chain':
      return 'is rejected: it has no endpoints';
    case 'drop':
      return 'is dropped: it has no endpoint on this node';
    case policyLocalNumbers.ip:
    case policyLocalNumbers.nodeport:
      return 'goes where its policy Local sends its client';
    default:
      return value;
  }
}

/** `10.96.0.10:80/tcp`, `[fd00::1]:80/tcp`, `node port 30080/tcp` from the form that frontendKey gives. */
function frontendWords(key: string): string {
  const parts = key.split(' . ');
  if (parts.length === 2) return `node port ${parts[1]}/${parts[0]}`;
  const [ip = '', protocol, port] = parts;
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port}/${protocol}`;
}
