import partition from 'lodash-es/partition.js';
import { onDemand } from '../compile/nftables/spare-chains.ts';
import { diffTable } from '../diff/nftables.ts';
import { families, type Family } from '../net/ip.ts';
import type { Ruleset, Table } from '../ruleset/nftables/ruleset.ts';
import { type Command, type ElementCommand, elementId, type Transaction } from '../ruleset/nftables/transaction.ts';

/** Elements a transaction at most, where it may be cut: nft needs about 1 kB of memory for each. */
const chunkSize = 20_000;

/** What brings the kernel from actual to desired, both families together: one transaction, empty if nothing differs. */
export function planTransaction(desired: Readonly<Record<Family, Table>>, actual: Ruleset): Transaction {
  return { commands: families.flatMap((family) => diffTable(desired[family], actual[family], onDemand).commands) };
}

/**
 * The same work in chunks, in the same order, if it only adds (a first load, or many new services): the order of sets is such that
 * nothing leads to a frontend whose endpoints are not there yet. Whatever takes something away stays one transaction, and so does what
 * is small.
 */
export function chunkTransaction(transaction: Transaction, size = chunkSize): readonly Transaction[] {
  const { commands } = transaction;
  if (commands.length <= Math.min(size, smallSize) || !onlyAdds(transaction))
    return commands.length === 0 ? [] : [transaction];
  // Declarations of both tables go first and alone: chains must exist before elements lead to them, and elements without declarations
  // can take the short way into the kernel. Intervals cannot, so they go with the declarations: what they say of a frontend or an address
  // matters only to what comes after them.
  const structure: Command[] = [];
  const chunks: Command[][] = [structure];
  let chunk = structure;
  for (const command of commands) {
    if (command.kind !== 'element' || isOfInterval(command)) structure.push(command);
    else {
      if (chunk === structure || chunk.length === size) chunks.push((chunk = []));
      chunk.push(command);
    }
  }
  return chunks.filter(({ length }) => length > 0).map((each) => ({ commands: each }));
}

/**
 * What of a companion's transaction goes before the steps of IPVS, and what after them: source ranges, masquerading and rejection are in
 * place before a virtual server is, and what nobody needs any more goes when it has gone. A table that takes the place of another (of
 * mode nftables) comes when IPVS is complete; the other way round, IPVS is taken away behind the new table.
 */
export function splitAround(
  transaction: Transaction,
  hasSteps: boolean,
  isIpvs: boolean,
): readonly [before: Transaction, after: Transaction] {
  const nothing: Transaction = { commands: [] };
  const { commands } = transaction;
  if (!hasSteps) return [transaction, nothing];
  if (commands.some((command) => command.kind === 'table' && command.verb === 'delete'))
    return isIpvs ? [nothing, transaction] : [transaction, nothing];
  const added = new Set<string>();
  for (const command of commands)
    if (command.kind === 'element' && command.verb === 'add') added.add(elementId(command));
  // An interval may take the place of one that it overlaps, so these stay together.
  const isLate = (command: Command) =>
    command.kind === 'element' && command.verb === 'delete' && !isOfInterval(command) && !added.has(elementId(command));
  const [late, early] = partition(commands, isLate);
  return [{ commands: early }, { commands: late }];
}

function isOfInterval(command: ElementCommand): boolean {
  return command.set.flags.includes('interval');
}

/** Up to here a transaction is quick as it is. */
const smallSize = 1_000;

function onlyAdds(transaction: Transaction): boolean {
  return transaction.commands.every((command) => command.verb === 'add');
}
