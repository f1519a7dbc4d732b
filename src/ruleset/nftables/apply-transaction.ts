import type { Family } from '../../net/ip.ts';
import { type Chain, elementsOf, type Ruleset, type SetDeclaration, type Table } from './ruleset.ts';
import type { Transaction } from './transaction.ts';

/** What the kernel says of a command that it refuses, in its own words (strerror). */
export class RefusedCommand extends Error {
  override readonly name = 'RefusedCommand';
}

/**
 * The ruleset after the transaction, by the kernel's rules: an add over another value, a delete of what is not there, or a verdict to
 * a chain that does not exist is refused, and then nothing of the transaction holds (RefusedCommand is thrown, the input is unchanged).
 */
export function applyTransaction(ruleset: Ruleset, transaction: Transaction): Ruleset {
  const tables = new Map<Family, MutableTable>();
  for (const table of Object.values(ruleset)) tables.set(table.family, copyTable(table));
  for (const command of transaction.commands) {
    const { family } = command;
    if (command.kind === 'table') {
      if (command.verb === 'delete' && !tables.delete(family)) throw new RefusedCommand('No such file or directory');
      if (command.verb === 'add' && !tables.has(family))
        tables.set(family, copyTable({ family, chains: new Map(), sets: new Map(), elements: new Map() }));
      continue;
    }
    const table = tables.get(family);
    if (table === undefined) throw new RefusedCommand('No such file or directory');
    applyCommand(table, command);
  }
  return Object.fromEntries(tables);
}

interface MutableTable extends Table {
  readonly chains: Map<string, Chain>;
  readonly sets: Map<string, SetDeclaration>;
  readonly elements: Map<string, Map<string, string>>;
}

function copyTable({ family, chains, sets, elements }: Table): MutableTable {
  const copies = new Map([...elements].map(([set, entries]) => [set, new Map(entries)]));
  return { family, chains: new Map(chains), sets: new Map(sets), elements: copies };
}

function applyCommand(table: MutableTable, command: Exclude<Transaction['commands'][number], { kind: 'table' }>): void {
  switch (command.kind) {
    case 'set':
      table.sets.set(command.set.name, command.set);
      if (!table.elements.has(command.set.name)) table.elements.set(command.set.name, new Map());
      return;
    case 'chain': {
      const existing = table.chains.get(command.name);
      if (command.verb === 'flush') {
        if (existing === undefined) throw new RefusedCommand('No such file or directory');
        table.chains.set(command.name, { ...existing, rules: [] });
      } else if (existing === undefined) {
        table.chains.set(command.name, { name: command.name, rules: [], ...(command.base && { base: command.base }) });
      }
      return;
    }
    case 'rule': {
      const chain = table.chains.get(command.chain);
      if (chain === undefined) throw new RefusedCommand('No such file or directory');
      table.chains.set(chain.name, { ...chain, rules: [...chain.rules, command.rule] });
      return;
    }
    case 'element': {
      if (!table.sets.has(command.set.name)) throw new RefusedCommand('No such file or directory');
      const elements = elementsOf(table, command.set.name) as Map<string, string>;
      const existing = elements.get(command.key);
      if (command.verb === 'delete') {
        if (!elements.delete(command.key)) throw new RefusedCommand('No such file or directory');
      } else {
        if (existing !== undefined && existing !== command.value) throw new RefusedCommand('File exists');
        const target = command.value.startsWith('goto ') ? command.value.slice(5) : undefined;
        if (target !== undefined && !table.chains.has(target)) throw new RefusedCommand('No such file or directory');
        elements.set(command.key, command.value);
      }
    }
  }
}
