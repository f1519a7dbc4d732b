import type { Family } from '../../net/ip.ts';
import type { Expression, Rule } from './expression.ts';

/** The name of our two tables, `ip vipmap` and `ip6 vipmap`. No other object of the kernel is ours. */
export const tableName = 'vipmap';

export interface BaseChain {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
}

export interface Chain {
  readonly name: string;
  /** Where packets enter it; absent for a chain that others jump to. */
  readonly base?: BaseChain;
  readonly rules: readonly Rule[];
}

export type SetFlag = 'interval' | 'dynamic' | 'timeout';

/** A set (no data) or a map. The key and data are given as expressions (`typeof`), since older nft programs crash on sets declared by `type`. */
export interface SetDeclaration {
  readonly name: string;
  readonly key: Expression;
  readonly data?: Expression | 'verdict';
  readonly flags: readonly SetFlag[];
  readonly size?: number;
  readonly comment?: string;
}

/**
 * The elements of a set or map: nft's text for the key to nft's text for the value (`''` in a set), e.g.
 * `10.96.0.10 . udp . 53` to `goto cluster-udp-2`, and `10.96.0.10 . 53 . 1` to `10.244.1.5 . 5353`.
 * Text in one canonical form: two elements are equal exactly if their text is.
 */
export type Elements = ReadonlyMap<string, string>;

/**
 * The text of a concatenation, e.g. `10.96.0.10 . tcp . 80`. As one flat string: V8 makes a template out of pieces that it keeps beside
 * the result, twice the memory for what stays.
 */
export function concatenate(...parts: readonly string[]): string {
  return parts.join(' . ');
}

export interface Table {
  readonly family: Family;
  /** In the order in which they are made. */
  readonly chains: ReadonlyMap<string, Chain>;
  readonly sets: ReadonlyMap<string, SetDeclaration>;
  /** By set; a set without elements may be absent. Sets that the kernel fills itself (flag dynamic) are left out. */
  readonly elements: ReadonlyMap<string, Elements>;
}

/** What a kernel holds of ours; a family without our table is absent. */
export type Ruleset = Readonly<Partial<Record<Family, Table>>>;

export const noElements: Elements = new Map();

export function elementsOf(table: Table, set: string): Elements {
  return table.elements.get(set) ?? noElements;
}

/** True if the kernel adds elements itself, by a rule; such elements are no part of the desired state. */
export function isDynamic(set: SetDeclaration): boolean {
  return set.flags.includes('dynamic');
}

export function countElements(table: Table): number {
  let count = 0;
  for (const elements of table.elements.values()) count += elements.size;
  return count;
}
