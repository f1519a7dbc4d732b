import type { Family } from '../../net/ip.ts';
import { type Expression, priority, type Rule, type Statement } from './expression.ts';
import { type SetDeclaration, tableName } from './ruleset.ts';
import { type Command, type ElementCommand, groupCommands, type Transaction } from './transaction.ts';

type Json = string | number | null | readonly Json[] | { readonly [key: string]: Json };

/** The transaction as `nft -j -f -` takes it (libnftables-json(5)). Elements are written as text at once: building objects for 200,000 of them costs twice the time. */
export function printTransactionJson(transaction: Transaction): string {
  const commands: string[] = [];
  for (const group of groupCommands(transaction)) commands.push(printGroup(group));
  return `{"nftables":[${commands.join(',\n')}]}`;
}

function printGroup(group: readonly [Command, ...Command[]]): string {
  const command = group[0];
  const { family } = command;
  switch (command.kind) {
    case 'table':
      return JSON.stringify({ [command.verb]: { table: { family, name: tableName } } });
    case 'set':
      return JSON.stringify({
        add: { [command.set.data === undefined ? 'set' : 'map']: declarationJson(family, command.set) },
      });
    case 'chain': {
      const base = command.verb === 'add' ? command.base : undefined;
      const hook =
        base === undefined ? {} : { type: base.type, hook: base.hook, prio: base.priority, policy: 'accept' };
      return JSON.stringify({ [command.verb]: { chain: { family, table: tableName, name: command.name, ...hook } } });
    }
    case 'rule':
      return JSON.stringify({
        add: { rule: { family, table: tableName, chain: command.chain, ...ruleJson(command.rule) } },
      });
    case 'element':
      return printElements(command, group as readonly ElementCommand[]);
  }
}

function printElements(first: ElementCommand, group: readonly ElementCommand[]): string {
  const elements = group.map(({ verb, key, value }) =>
    verb === 'delete' || value === '' ? keyJson(key) : `[${keyJson(key)},${valueJson(value)}]`,
  );
  return `{"${first.verb}":{"element":{"family":"${first.family}","table":"${tableName}","name":"${first.set.name}","elem":[${elements.join(',')}]}}}`;
}

/** Keys and values come from our own canonical text: digits, letters, `.`, `:`, `/`, `-` and blanks, so nothing in them needs escaping. */
function keyJson(key: string): string {
  const parts = key.split(' . ');
  return parts.length === 1 ? partJson(key) : `{"concat":[${parts.map(partJson).join(',')}]}`;
}

const number = /^\d+$/;

function partJson(part: string): string {
  if (number.test(part)) return part;
  const slash = part.indexOf('/');
  if (slash < 0) return `"${part}"`;
  return `{"prefix":{"addr":"${part.slice(0, slash)}","len":${part.slice(slash + 1)}}}`;
}

function valueJson(value: string): string {
  if (value.startsWith('goto ')) return `{"goto":{"target":"${value.slice(5)}"}}`;
  if (value === 'drop' || value === 'return' || value === 'accept') return `{"${value}":null}`;
  return keyJson(value);
}

/** A verdict map is declared by the type of `accept`: nft 1.1.3 forgets the key's typeof where JSON says `"map": "verdict"`, and an older nft then crashes on the table. */
const verdictType = { accept: null };

function declarationJson(family: Family, set: SetDeclaration): Json {
  return {
    family,
    table: tableName,
    name: set.name,
    type: { typeof: expressionJson(set.key) },
    ...(set.data === undefined
      ? {}
      : { map: { typeof: set.data === 'verdict' ? verdictType : expressionJson(set.data) } }),
    ...(set.flags.length === 0 ? {} : { flags: set.flags }),
    ...(set.size === undefined ? {} : { size: set.size }),
    ...(set.comment === undefined ? {} : { comment: set.comment }),
  };
}

function ruleJson(rule: Rule): { readonly [key: string]: Json } {
  const expr = rule.statements.map(statementJson);
  return rule.comment === undefined ? { expr } : { expr, comment: rule.comment };
}

export function statementJson(statement: Statement): Json {
  switch (statement.kind) {
    case 'match':
      return {
        match: { op: statement.operator, left: expressionJson(statement.left), right: literalJson(statement.right) },
      };
    case 'vmap':
      return { vmap: mapJson(statement).map };
    case 'set-priority':
      return {
        mangle: { key: expressionJson(priority), value: statement.from === 'none' ? 'none' : mapJson(statement.from) },
      };
    case 'dnat':
      return {
        dnat: {
          family: statement.family,
          addr: mapJson(statement),
        },
      };
    case 'update':
      return {
        map: {
          op: 'update',
          elem: { elem: { val: expressionJson(statement.key), timeout: statement.timeoutSeconds } },
          data: expressionJson(statement.data),
          map: `@${statement.map}`,
        },
      };
    case 'masquerade':
      return { masquerade: { flags: 'fully-random' } };
    case 'reject':
      return { reject: { type: statement.family === 'ip' ? 'icmp' : 'icmpv6', expr: 'port-unreachable' } };
    case 'accept':
    case 'drop':
    case 'return':
      return { [statement.kind]: null };
    case 'jump':
    case 'goto':
      return { [statement.kind]: { target: statement.target } };
    case 'foreign':
      return JSON.parse(statement.json) as Json;
  }
}

/** What a map has for a key. */
function mapJson({ key, map }: { readonly key: Expression; readonly map: string }) {
  return { map: { key: expressionJson(key), data: `@${map}` } };
}

/** The right side of a comparison: a set (`@name`), a block of addresses, or a plain word. */
function literalJson(literal: string): Json {
  return literal.includes('/') ? (JSON.parse(partJson(literal)) as Json) : literal;
}

export function expressionJson(expression: Expression): Json {
  switch (expression.kind) {
    case 'payload':
      return { payload: { protocol: expression.protocol, field: expression.field } };
    case 'meta':
      return { meta: { key: expression.key } };
    case 'ct':
      return { ct: { key: expression.key } };
    case 'ct-original':
      return { ct: { key: expression.key, dir: 'original' } };
    case 'fib-type':
      return { fib: { result: 'type', flags: [expression.address] } };
    case 'random':
      return { numgen: { mode: 'random', mod: expression.modulus, offset: 0 } };
    case 'concat':
      return { concat: expression.parts.map(expressionJson) };
  }
}
