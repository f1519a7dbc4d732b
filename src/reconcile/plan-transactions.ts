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
 * nothing leads to a frontend whose endpoints are not there yet. Whatever takes something away stays one transaction.
 */
export function chunkTransaction(transaction: Transaction, size = chunkSize): readonly Transaction[] {
  const { commands } = transaction;
  if (commands.length <= size || !onlyAdds(transaction)) return commands.length === 0 ? [] : [transaction];
  // Declarations of both tables go first and together, since chains must exist before elements lead to them.
  const isElement = (command: Command) => command.kind === 'element';
  const ordered = [...commands.filter((command) => !isElement(command)), ...commands.filter(isElement)];
  const chunks: Transaction[] = [];
  for (let i = 0; i < ordered.length; i += size) chunks.push({ commands: ordered.slice(i, i + size) });
  return chunks;
}

function onlyAdds(transaction: Transaction): boolean {
  return transaction.commands.every((command) => command.verb === 'add');
}
