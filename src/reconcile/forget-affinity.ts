import { staleAffinity } from '../compile/nftables/affinity.ts';
import { affinityMap } from '../compile/nftables/names.ts';
import { type Kernel, KernelError } from '../kernel/kernel.ts';
import { protocols } from '../net/protocol.ts';
import type { SetDeclaration, Table } from '../ruleset/nftables/ruleset.ts';
import type { ElementCommand } from '../ruleset/nftables/transaction.ts';

export interface Forgotten {
  /** Entries of remembered session affinity that led nowhere any more and were removed. */
  readonly forgotten: number;
  /** Why they could not be removed, if so: the rules themselves are in place all the same. */
  readonly forgetError?: KernelError;
}

/** How often a removal is tried anew: entries expire by themselves, and one that is gone makes the kernel refuse the whole transaction. */
const attempts = 3;

/**
 * Removes remembered affinity to endpoints that these tables, as they now are, do not have any more. In a transaction of its own, after
 * the main one: were it part of that, an entry that expires in between would take the whole change down.
 */
export async function forgetStaleAffinity(kernel: Kernel, tables: readonly Table[]): Promise<Forgotten> {
  for (let attempt = 1; ; attempt++) {
    try {
      const commands: ElementCommand[] = [];
      for (const table of tables) commands.push(...(await staleIn(kernel, table)));
      await kernel.apply({ commands });
      return { forgotten: commands.length };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.failure !== 'refused' || attempt === attempts) return { forgotten: 0, forgetError: error };
    }
  }
}

async function staleIn(kernel: Kernel, table: Table): Promise<readonly ElementCommand[]> {
  const commands: ElementCommand[] = [];
  for (const protocol of protocols) {
    const set = table.sets.get(affinityMap(protocol)) as SetDeclaration;
    const remembered = await kernel.readElements(table.family, set);
    for (const [key, value] of staleAffinity(table, protocol, remembered)) {
      commands.push({ kind: 'element', verb: 'delete', family: table.family, set, key, value });
    }
  }
  return commands;
}
