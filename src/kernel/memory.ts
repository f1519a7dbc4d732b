import type { Family } from '../net/ip.ts';
import { applyTransaction, RefusedCommand } from '../ruleset/nftables/apply-transaction.ts';
import {
  type Elements,
  elementsOf,
  type Ruleset,
  type SetDeclaration,
  type Table,
} from '../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../ruleset/nftables/transaction.ts';
import { type Kernel, KernelError } from './kernel.ts';

/** A kernel in memory: for dry runs of plans and for tests, with faults that a test asks for. */
export class MemoryKernel implements Kernel {
  ruleset: Ruleset;
  /** Every transaction that was tried, refused ones too. */
  readonly tried: Transaction[] = [];
  /** Called before a transaction is applied; what it throws is the outcome. */
  readonly fault: (transaction: Transaction) => void;

  constructor(ruleset: Ruleset = {}, fault: (transaction: Transaction) => void = () => undefined) {
    this.ruleset = ruleset;
    this.fault = fault;
  }

  async apply(transaction: Transaction): Promise<void> {
    // Like a real one, it answers later.
    await Promise.resolve();
    this.tried.push(transaction);
    try {
      this.fault(transaction);
      this.ruleset = applyTransaction(this.ruleset, transaction);
    } catch (error) {
      if (!(error instanceof RefusedCommand)) throw error;
      throw new KernelError('refused', error.message, { stderr: error.message });
    }
  }

  readTable(family: Family): Promise<Table | undefined> {
    const table = this.ruleset[family];
    return Promise.resolve(table && { ...table, elements: new Map() });
  }

  readElements(family: Family, set: SetDeclaration): Promise<Elements> {
    const table = this.ruleset[family];
    return Promise.resolve(table === undefined ? new Map() : elementsOf(table, set.name));
  }
}
