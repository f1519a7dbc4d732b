import type { Family } from '../net/ip.ts';
import type { Elements, SetDeclaration, Table } from '../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../ruleset/nftables/transaction.ts';

/** The whole of what we ask of a kernel in nftables mode. Every method throws a KernelError. */
export interface Kernel {
  /** All of it, or nothing. */
  apply(transaction: Transaction): Promise<void>;
  /** Our table's chains, rules and declarations, without elements; undefined if there is no such table. */
  readTable(family: Family): Promise<Table | undefined>;
  readElements(family: Family, set: SetDeclaration): Promise<Elements>;
  /**
   * What a set holds of the elements that it is expected to hold. Undefined where this cannot be had, or is no less work than reading the
   * set: a small one, or one that holds something else. Absent: it can never be had.
   */
  lookUpElements?(family: Family, set: SetDeclaration, expected: Elements): Promise<LookedUp | undefined>;
}

export interface LookedUp {
  /** Keys that were expected, with the values that they have; `expected` itself if all is as expected. */
  readonly elements: Elements;
  /** True if the set is known to hold nothing else; false if nobody can tell. */
  readonly isComplete: boolean;
}

/**
 * Why a kernel could not do it:
 * - `missing`, `too-old`: the nft program; `crashed`: it ended by a signal; `timeout`: it did not end
 * - `not-permitted`: no CAP_NET_ADMIN; `unsupported`: the kernel has no nf_tables
 * - `too-big`: the transaction does not fit the socket's buffer (in a user namespace); `full`: a set has reached its size
 * - `refused`: the kernel's validation said no; nothing was changed
 */
export type KernelFailure =
  'missing' | 'too-old' | 'crashed' | 'timeout' | 'not-permitted' | 'unsupported' | 'too-big' | 'full' | 'refused';

export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly failure: KernelFailure;
  readonly details: KernelErrorDetails;

  constructor(failure: KernelFailure, message: string, details: KernelErrorDetails = {}) {
    super(message);
    this.failure = failure;
    this.details = details;
  }
}

export interface KernelErrorDetails {
  readonly command?: string;
  readonly exitCode?: number | null;
  readonly signal?: string | null;
  readonly durationMs?: number;
  readonly stderr?: string;
}
