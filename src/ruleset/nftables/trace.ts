import { cidrContains, parseCidr } from '../../net/cidr.ts';
import { familyOf, type Ip } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import type { Protocol } from '../../net/protocol.ts';
import { realServerKey, type VirtualServer, virtualServerKey } from '../ipvs/virtual-server.ts';
import type { Expression, Rule, Statement } from './expression.ts';
import { type BaseChain, type Chain, elementsOf, type Ruleset, type Table } from './ruleset.ts';

/** The first packet of a connection. */
export interface Packet {
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: Protocol;
  readonly port: number;
  /** The device that it comes in by; undefined: the node itself sends it. */
  readonly device?: string;
}

/** What is around the tables: addresses of the node, and what the kernel's dynamic maps remember (written to as packets pass). */
export interface Surroundings {
  readonly localAddresses: ReadonlySet<string>;
  /** Mode ipvs; the addresses of our interface are local then. */
  readonly servers?: { get(key: string): VirtualServer | undefined };
  readonly memory?: Map<string, Map<string, string>>;
}

/** A rule that said something about the packet, or the virtual server that took it (then `rule` is absent). */
export interface TraceStep {
  readonly hook: string;
  readonly chain: string;
  readonly rule?: Rule;
  /** In a map, what was looked up and found: `10.96.0.10 . udp . 53 : goto cluster-udp-2`. */
  readonly element?: string;
}

/** What becomes of a packet; `passed` with its destination unchanged if no rule of ours concerns it. */
export interface TraceOutcome {
  readonly verdict: 'passed' | 'dropped' | 'rejected';
  readonly destination: Ip;
  readonly port: number;
  readonly isMasqueraded: boolean;
  /** The virtual server that chose the destination, if one did. */
  readonly server?: VirtualServer;
  readonly steps: readonly TraceStep[];
}

/** Every outcome that the packet can have: one for each slot that may be drawn. */
export function tracePacket(ruleset: Ruleset, packet: Packet, surroundings: Surroundings): readonly TraceOutcome[] {
  const table = ruleset[familyOf(packet.destination)];
  const outcomes: TraceOutcome[] = [];
  let slots = 1;
  for (let slot = 0; slot < slots; slot++) {
    const walk = new Walk(table, packet, surroundings, slot);
    outcomes.push(walk.run());
    slots = walk.slots;
  }
  return outcomes;
}

/** Where IPVS stands (NF_IP_PRI_NAT_SRC - 1 and NF_IP_PRI_NAT_DST + 2 in Linux' ip_vs_core.c). */
const ipvsPriorities: Readonly<Partial<Record<BaseChain['hook'], number>>> = { input: 99, output: -98 };

/** undefined: go on with the next rule, or after the end of a chain with the next chain. */
type Verdict = 'accept' | 'drop' | 'reject' | 'end-of-chain' | undefined;

/** A statement that says something about the packet, rather than asking about it. */
type Decided = Exclude<Statement, { kind: 'match' | 'vmap' | 'set-priority' }>;

/** One packet on its way; what it changes of itself is here. */
class Walk {
  readonly #table: Table | undefined;
  readonly #packet: Packet;
  readonly #around: Surroundings;
  readonly #slot: number;
  readonly #steps: TraceStep[] = [];
  #destination: Ip;
  #port: number;
  #priority = 'none';
  #isTranslated = false;
  #isMasqueraded = false;
  #server: VirtualServer | undefined;
  #hook = '';
  #element: string | undefined;
  /** Slots there are to draw from, 1 until a rule draws. */
  slots = 1;

  constructor(table: Table | undefined, packet: Packet, around: Surroundings, slot: number) {
    this.#table = table;
    this.#packet = packet;
    this.#around = around;
    this.#slot = slot;
    this.#destination = packet.destination;
    this.#port = packet.port;
  }

  run(): TraceOutcome {
    const verdict = this.#cross();
    return {
      verdict: verdict === 'drop' ? 'dropped' : verdict === 'reject' ? 'rejected' : 'passed',
      destination: this.#destination,
      port: this.#port,
      isMasqueraded: this.#isMasqueraded,
      ...(this.#server === undefined ? {} : { server: this.#server }),
      steps: this.#steps,
    };
  }

  /** Through the hooks, in the kernel's order; where it goes after prerouting depends on the destination that it has then. */
  #cross(): Verdict {
    const isFromNode = this.#packet.device === undefined;
    const first = this.#enter(isFromNode ? 'output' : 'prerouting');
    if (first !== undefined) return first;
    if (isFromNode) return this.#leave();
    if (!this.#isLocal(this.#destination)) return this.#enter('forward') ?? this.#enter('postrouting');
    const verdict = this.#enter('input');
    // IPVS sends it out again.
    return verdict !== undefined || this.#isLocal(this.#destination) ? verdict : this.#leave();
  }

  /** The node to itself: out through lo and in again. Its NAT is settled by then, so only filters see it a second time. */
  #leave(): Verdict {
    const verdict = this.#enter('postrouting');
    return verdict === undefined && this.#isLocal(this.#destination) ? this.#enter('input') : verdict;
  }

  /** Through the chains of a hook in the order of their priorities, and IPVS among them. */
  #enter(hook: BaseChain['hook']): Verdict {
    this.#hook = hook;
    const priorityOf = ({ base }: Chain) => base?.priority ?? 0;
    const chains = [...(this.#table?.chains.values() ?? [])].filter((chain) => chain.base?.hook === hook);
    chains.sort((a, b) => priorityOf(a) - priorityOf(b));
    const ipvsPriority = ipvsPriorities[hook];
    const isBefore = (chain: Chain) => ipvsPriority === undefined || priorityOf(chain) < ipvsPriority;
    const verdict = this.#runAll(chains.filter(isBefore));
    if (verdict !== undefined || ipvsPriority === undefined) return verdict;
    if (this.#server === undefined && this.#balance(hook) && !this.#isLocal(this.#destination)) {
      // Out through the output hook, from the start; its NAT is settled by then.
      this.#hook = 'output';
      return hook === 'input' || hook === 'output' ? this.#runAll(this.#outputFilters()) : undefined;
    }
    return this.#runAll(chains.filter((chain) => !isBefore(chain)));
  }

  #outputFilters(): readonly Chain[] {
    return [...(this.#table?.chains.values() ?? [])].filter(
      ({ base }) => base?.hook === 'output' && base.type === 'filter',
    );
  }

  #runAll(chains: readonly Chain[]): Verdict {
    for (const chain of chains) {
      const verdict = this.#runChain(chain);
      if (verdict === 'drop' || verdict === 'reject') return verdict;
    }
    return undefined;
  }

  /** True if a virtual server takes the packet: IPVS knows the connection from then on. */
  #balance(hook: BaseChain['hook']): boolean {
    const { protocol, source } = this.#packet;
    const id = { ip: this.#destination, protocol, port: this.#port as Port };
    const key = virtualServerKey(id);
    const server = this.#around.servers?.get(key);
    const realServers = [...(server?.realServers.values() ?? [])].filter(({ weight }) => weight > 0);
    if (server === undefined) return false;
    const remembered = this.#rememberedClients();
    const client = `${source} . ${key}`;
    const before = server.realServers.get(remembered.get(client) ?? '');
    const isSticky = server.persistenceSeconds !== undefined;
    if (!isSticky || before === undefined) this.slots = realServers.length;
    const chosen = (isSticky ? before : undefined) ?? realServers[this.#slot % realServers.length];
    if (chosen === undefined) return false;
    if (isSticky) remembered.set(client, realServerKey(chosen));
    this.#server = server;
    this.#destination = chosen.ip;
    this.#port = chosen.port;
    this.#steps.push({ hook, chain: 'IPVS', element: `${key} : ${realServerKey(chosen)}` });
    return true;
  }

  #rememberedClients(): Map<string, string> {
    const memory = this.#around.memory ?? new Map<string, Map<string, string>>();
    const clients = memory.get('IPVS') ?? new Map<string, string>();
    memory.set('IPVS', clients);
    return clients;
  }

  #runChain(chain: Chain): Verdict {
    for (const rule of chain.rules) {
      const verdict = this.#runRule(chain, rule);
      if (verdict === 'end-of-chain') return undefined;
      if (verdict !== undefined) return verdict;
    }
    return undefined;
  }

  #runRule(chain: Chain, rule: Rule): Verdict {
    this.#element = undefined;
    for (const [i, statement] of rule.statements.entries()) {
      if (statement.kind === 'match') {
        if (!this.#matches(statement)) return undefined;
        continue;
      }
      if (statement.kind === 'set-priority') {
        if (!this.#prioritize(statement)) return undefined;
        continue;
      }
      const decided = this.#decide(statement);
      if (decided === undefined) return undefined;
      this.#steps.push({
        hook: this.#hook,
        chain: chain.name,
        rule,
        ...(this.#element === undefined ? {} : { element: this.#element }),
      });
      const verdict = this.#follow(decided);
      if (verdict !== undefined || i === rule.statements.length - 1) return verdict;
    }
    return undefined;
  }

  /** What a statement comes to for this packet: itself, or the verdict found in a map; undefined if it has nothing to say. */
  #decide(statement: Decided | (Statement & { kind: 'vmap' })): Decided | undefined {
    switch (statement.kind) {
      case 'vmap': {
        const found = this.#lookUp(statement.map, statement.key);
        if (found === undefined) return undefined;
        if (found.startsWith('goto ')) return { kind: 'goto', target: found.slice(5) };
        return { kind: found as 'accept' | 'drop' | 'return' };
      }
      case 'dnat': {
        const found = this.#lookUp(statement.map, statement.key);
        if (found === undefined) return undefined;
        const [ip, port] = found.split(' . ');
        this.#destination = ip as Ip;
        this.#port = Number(port);
        this.#isTranslated = true;
        return statement;
      }
      case 'update': {
        const key = this.#value(statement.key);
        const data = this.#value(statement.data);
        if (key !== undefined && data !== undefined) this.#remembered(statement.map).set(key, data);
        return statement;
      }
      case 'masquerade':
        this.#isMasqueraded = true;
        return statement;
      default:
        return statement;
    }
  }

  #follow(statement: Decided): Verdict {
    switch (statement.kind) {
      case 'dnat':
      case 'masquerade':
      case 'accept':
        return 'accept';
      case 'drop':
      case 'reject':
        return statement.kind;
      case 'return':
        return 'end-of-chain';
      case 'jump':
        return this.#runNamed(statement.target);
      case 'goto':
        // A chain reached by goto does not come back to the rule after it.
        return this.#runNamed(statement.target) ?? 'end-of-chain';
      case 'update':
      case 'foreign':
        return undefined;
    }
  }

  #prioritize({ from }: Statement & { kind: 'set-priority' }): boolean {
    const found = from === 'none' ? from : this.#lookUp(from.map, from.key);
    this.#priority = found ?? this.#priority;
    return found !== undefined;
  }

  #runNamed(name: string): Verdict {
    const chain = this.#table?.chains.get(name);
    return chain === undefined ? undefined : this.#runChain(chain);
  }

  #matches({ left, operator, right }: Statement & { kind: 'match' }): boolean {
    const value = this.#value(left);
    // No such field in this packet: the rule is not about it, whatever the operator.
    if (value === undefined) return false;
    switch (operator) {
      case 'in':
        return value === right;
      case '!':
        return value !== right;
      case '==':
        return this.#equals(value, right);
      case '!=':
        return !this.#equals(value, right);
    }
  }

  #equals(value: string, right: string): boolean {
    if (right.startsWith('@')) return this.#isInSet(right.slice(1), value);
    if (right.endsWith('*')) return value.startsWith(right.slice(0, -1));
    return partMatches(right, value);
  }

  #isInSet(name: string, value: string): boolean {
    if (this.#table === undefined) return false;
    const elements = elementsOf(this.#table, name);
    if (this.#table.sets.get(name)?.flags.includes('interval') !== true) return elements.has(value);
    const parts = value.split(' . ');
    for (const key of elements.keys()) {
      if (key.split(' . ').every((part, i) => partMatches(part, parts[i] ?? ''))) return true;
    }
    return false;
  }

  #lookUp(map: string, keyExpression: Expression): string | undefined {
    const key = this.#value(keyExpression);
    if (key === undefined || this.#table === undefined) return undefined;
    const found = elementsOf(this.#table, map).get(key) ?? this.#around.memory?.get(this.#memoryName(map))?.get(key);
    if (found !== undefined) this.#element = `${key} : ${found}`;
    return found;
  }

  #memoryName(map: string): string {
    return `${this.#table?.family} ${map}`;
  }

  #remembered(map: string): Map<string, string> {
    const memory = this.#around.memory ?? new Map<string, Map<string, string>>();
    const name = this.#memoryName(map);
    const remembered = memory.get(name) ?? new Map<string, string>();
    memory.set(name, remembered);
    return remembered;
  }

  #isLocal(ip: string): boolean {
    return this.#around.localAddresses.has(ip) || ip.startsWith('127.') || ip === '::1';
  }

  /** The expression's value as element text, or undefined if the packet has no such field (a UDP packet has no `tcp dport`). */
  #value(expression: Expression): string | undefined {
    const { source, destination, protocol, port, device } = this.#packet;
    switch (expression.kind) {
      case 'payload':
        if (expression.field === 'saddr') return source;
        if (expression.field === 'daddr') return this.#destination;
        return expression.protocol === 'th' || expression.protocol === protocol ? String(this.#port) : undefined;
      case 'meta':
        return { l4proto: protocol, iifname: device ?? '', priority: this.#priority }[expression.key];
      case 'ct':
        return expression.key === 'state' ? 'new' : this.#isTranslated ? 'dnat' : '';
      case 'ct-original':
        if (expression.key === 'proto-dst') return String(port);
        return expression.key.endsWith('saddr') ? source : destination;
      case 'fib-type':
        return this.#isLocal(expression.address === 'saddr' ? source : this.#destination) ? 'local' : 'unicast';
      case 'random':
        this.slots = expression.modulus;
        return String(this.#slot);
      case 'concat': {
        const parts = expression.parts.map((part) => this.#value(part));
        return parts.includes(undefined) ? undefined : parts.join(' . ');
      }
    }
  }
}

/** Is the value the element's part, or in its block of addresses? */
function partMatches(part: string, value: string): boolean {
  if (!part.includes('/')) return part === value;
  const cidr = parseCidr(part);
  return cidr !== undefined && cidrContains(cidr, value as Ip);
}
