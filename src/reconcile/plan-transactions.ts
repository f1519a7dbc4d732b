import { chainOnDemand } from '../compile/nftables/spare-chains.ts';
import { diffTable } from '../diff/nftables.ts';
import { families, type Family } from '../net/ip.ts';
import type { Ruleset, Table } from '../ruleset/nftables/ruleset.ts';
import type { Command, Transaction } from '../ruleset/nftables/transaction.ts';

/** Elements a transaction at most, where it may be cut: nft needs about 1 kB of memory for each. */
const chunkSize = 20_000;

/** What brings the kernel from actual to desired, both families together: one transaction, empty if nothing differs. */
export function planTransaction(desired: Readonly<Record<Family, Table>>, actual: Ruleset): Transaction {
  return { commands: families.flatMap((family) => diffTable(desired[family], actual[family], chainOnDemand).commands) };
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
  // can take the short way into the kernel.
  const isElement = (command: Command) => command.kind === 'element';
  const structure = commands.filter((command) => !isElement(command));
  const elements = commands.filter(isElement);
  const chunks: Transaction[] = structure.length === 0 ? [] : [{ commands: structure }];
  for (let i = 0; i < elements.length; i += size) chunks.push({ commands: elements.slice(i, i + size) });
  return chunks;
}

/** Up to here a transaction is quick as it is. */
const smallSize = 1_000;

function onlyAdds(transaction: Transaction): boolean {
  return transaction.commands.every((command) => command.verb === 'add');
}
