import type { OwnerOf } from '../compile/nftables/owners.ts';
import { type Kernel, KernelError } from '../kernel/kernel.ts';
import { type Command, type ElementCommand, elementId, type Transaction } from '../ruleset/nftables/transaction.ts';
import { chunkTransaction } from './plan-transactions.ts';

/** Part of a transaction that the kernel does not take, set aside so that the rest could be applied. */
export interface SetAside {
  /** Whose it is, e.g. `shop/web:http`; undefined where it belongs to no single service. */
  readonly owner: string | undefined;
  readonly transaction: Transaction;
  readonly error: KernelError;
}

export interface ApplyResult {
  readonly applied: readonly Transaction[];
  readonly setAside: readonly SetAside[];
}

/**
 * Applies a transaction, in chunks where that is safe (see chunkTransaction). If the kernel refuses it, the part that it refuses is
 * found by halving, service by service, and set aside; everything else is applied, each half in a transaction of its own.
 *
 * Throws a KernelError where no part could be better than the whole: nft missing, crashed or hanging, no permission, or the tables'
 * own chains and sets refused.
 */
export async function applyTransaction(
  kernel: Kernel,
  transaction: Transaction,
  ownerOf: OwnerOf,
): Promise<ApplyResult> {
  const applied: Transaction[] = [];
  const setAside: SetAside[] = [];
  for (const chunk of chunkTransaction(transaction)) {
    await applyOrHalve(kernel, chunk, ownerOf, applied, setAside);
  }
  return { applied, setAside };
}

async function applyOrHalve(
  kernel: Kernel,
  transaction: Transaction,
  ownerOf: OwnerOf,
  applied: Transaction[],
  setAside: SetAside[],
): Promise<void> {
  const error = await tryApply(kernel, transaction);
  if (error === undefined) {
    applied.push(transaction);
    return;
  }
  // A table that is being replaced would be without the half that comes later; and no other service suffers while the old one stays.
  if (transaction.commands.some((command) => command.kind === 'table' && command.verb === 'delete')) throw error;
  const groups = groupByOwner(transaction.commands, ownerOf);
  if (groups.length === 0) throw error;
  const structure = transaction.commands.filter((command) => command.kind !== 'element');
  if (structure.length > 0) {
    const structureError = await tryApply(kernel, { commands: structure });
    if (structureError !== undefined) throw structureError;
    applied.push({ commands: structure });
  }
  await halve(kernel, groups, ownerOf, applied, setAside, error);
}

/** Groups whose union was refused, for the given reason. Each half is tried as a whole: k bad services among n cost about 2 k log n tries, never one a service. */
async function halve(
  kernel: Kernel,
  groups: readonly ElementGroup[],
  ownerOf: OwnerOf,
  applied: Transaction[],
  setAside: SetAside[],
  error: KernelError,
): Promise<void> {
  const [only] = groups;
  if (only === undefined) return;
  if (groups.length === 1) {
    setAside.push({ owner: only.owner, transaction: { commands: only.commands }, error });
    return;
  }
  const middle = Math.ceil(groups.length / 2);
  for (const half of [groups.slice(0, middle), groups.slice(middle)]) {
    const transaction = { commands: half.flatMap((group) => group.commands) };
    const halfError = await tryApply(kernel, transaction);
    if (halfError === undefined) applied.push(transaction);
    else await halve(kernel, half, ownerOf, applied, setAside, halfError);
  }
}

/** The error if this transaction is at fault; throws if the fault is nft's or the machine's, which no smaller transaction would mend. */
async function tryApply(kernel: Kernel, transaction: Transaction): Promise<KernelError | undefined> {
  try {
    await kernel.apply(transaction);
    return undefined;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    switch (error.failure) {
      case 'refused':
      case 'full':
      case 'too-big':
        return error;
      case 'missing':
      case 'too-old':
      case 'crashed':
      case 'timeout':
      case 'not-permitted':
      case 'unsupported':
        throw error;
    }
  }
}

interface ElementGroup {
  readonly owner: string | undefined;
  readonly commands: ElementCommand[];
}

/** The elements of one service together, so that a service is programmed whole or not at all; what nobody owns, key by key. */
function groupByOwner(commands: readonly Command[], ownerOf: OwnerOf): readonly ElementGroup[] {
  const groups = new Map<string, ElementGroup>();
  for (const command of commands) {
    if (command.kind !== 'element') continue;
    const owner = ownerOf(command.family, command.set.name, command.key);
    const id = owner ?? elementId(command);
    const group = groups.get(id);
    if (group === undefined) groups.set(id, { owner, commands: [command] });
    else group.commands.push(command);
  }
  return [...groups.values()];
}
