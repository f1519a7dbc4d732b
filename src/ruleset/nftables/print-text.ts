import type { Expression, Rule, Statement } from './expression.ts';
import { type BaseChain, type SetDeclaration, tableName } from './ruleset.ts';
import { type Command, groupCommands, type Transaction } from './transaction.ts';

/** The transaction as a script for `nft -f`, one command a line but for elements, which take a line each. */
export function printTransaction(transaction: Transaction): string {
  let text = '';
  for (const group of groupCommands(transaction)) text += `${printGroup(group)}\n`;
  return text;
}

function printGroup(group: readonly [Command, ...Command[]]): string {
  const command = group[0];
  const table = `${command.family} ${tableName}`;
  switch (command.kind) {
    case 'table':
      return `${command.verb} table ${table}`;
    case 'set':
      return `add ${command.set.data === undefined ? 'set' : 'map'} ${table} ${command.set.name} ${printDeclaration(command.set)}`;
    case 'chain':
      if (command.verb === 'flush') return `flush chain ${table} ${command.name}`;
      return `add chain ${table} ${command.name}${command.base === undefined ? '' : ` ${printBase(command.base)}`}`;
    case 'rule':
      return `add rule ${table} ${command.chain} ${printRule(command.rule)}`;
    case 'element': {
      const lines = group.map((each) =>
        each.kind === 'element' ? printElement(each.key, each.verb === 'add' ? each.value : '') : '',
      );
      const body = lines.length === 1 ? ` ${lines[0]} ` : `\n  ${lines.join(',\n  ')}\n`;
      return `${command.verb} element ${table} ${command.set.name} {${body}}`;
    }
  }
}

function printElement(key: string, value: string): string {
  return value === '' ? key : `${key} : ${value}`;
}

function printDeclaration(set: SetDeclaration): string {
  const data = set.data === undefined ? '' : ` : ${set.data === 'verdict' ? 'verdict' : printExpression(set.data)}`;
  const parts = [`typeof ${printExpression(set.key)}${data};`];
  if (set.size !== undefined) parts.push(`size ${set.size};`);
  if (set.flags.length > 0) parts.push(`flags ${set.flags.join(',')};`);
  if (set.comment !== undefined) parts.push(`comment "${set.comment}";`);
  return `{ ${parts.join(' ')} }`;
}

function printBase(base: BaseChain): string {
  return `{ type ${base.type} hook ${base.hook} priority ${base.priority}; policy accept; }`;
}

export function printRule(rule: Rule): string {
  const statements = rule.statements.map(printStatement).join(' ');
  return rule.comment === undefined ? statements : `${statements} comment "${rule.comment}"`;
}

function printStatement(statement: Statement): string {
  switch (statement.kind) {
    case 'match': {
      const operator = { '==': ' ', in: ' ', '!=': ' != ', '!': ' ! ' }[statement.operator];
      const isName =
        statement.left.kind === 'meta' && statement.left.key === 'iifname' && !statement.right.startsWith('@');
      return `${printExpression(statement.left)}${operator}${isName ? `"${statement.right}"` : statement.right}`;
    }
    case 'vmap':
      return `${printExpression(statement.key)} vmap @${statement.map}`;
    case 'set-priority': {
      const { from } = statement;
      return `meta priority set ${from === 'none' ? from : `${printExpression(from.key)} map @${from.map}`}`;
    }
    case 'dnat':
      return `dnat ${statement.family} to ${printExpression(statement.key)} map @${statement.map}`;
    case 'update':
      return `update @${statement.map} { ${printExpression(statement.key)} timeout ${statement.timeoutSeconds}s : ${printExpression(statement.data)} }`;
    case 'masquerade':
      return 'masquerade fully-random';
    case 'reject':
      return 'reject';
    case 'accept':
    case 'drop':
    case 'return':
      return statement.kind;
    case 'jump':
    case 'goto':
      return `${statement.kind} ${statement.target}`;
    case 'foreign':
      return statement.json;
  }
}

function printExpression(expression: Expression): string {
  switch (expression.kind) {
    case 'payload':
      return `${expression.protocol} ${expression.field}`;
    case 'meta':
      return expression.key === 'iifname' ? 'iifname' : `meta ${expression.key}`;
    case 'ct':
      return `ct ${expression.key}`;
    case 'ct-original':
      return `ct original ${expression.key}`;
    case 'fib-type':
      return `fib ${expression.address} type`;
    case 'random':
      return `numgen random mod ${expression.modulus}`;
    case 'concat':
      return expression.parts.map(printExpression).join(' . ');
  }
}
