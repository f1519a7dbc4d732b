import isEqual from 'lodash-es/isEqual.js';
import type { Family } from '../net/ip.ts';
import {
  type Chain,
  type Elements,
  elementsOf,
  isDynamic,
  noElements,
  type SetDeclaration,
  type Table,
} from '../ruleset/nftables/ruleset.ts';
import { addChain, type Command, type ElementCommand, type Transaction } from '../ruleset/nftables/transaction.ts';

/** What exists on demand and may be left behind unused. */
export interface OnDemand {
  /** The chain of that name, or undefined if it is not one of those. */
  readonly chain: (family: Family, name: string) => Chain | undefined;
  /** Is the element one of those that lead to such a chain as long as it is there? */
  readonly isElement: (set: string, key: string, value: string) => boolean;
}

/**
 * The transaction that turns the actual table into the desired one. Empty if they are the same.
 *
 *      actual only            both             desired only
 *   ┌────────────────┬──────────────────────┬────────────────┐
 *   │ elements:      │ same: nothing        │ elements: add  │
 *   │   delete       │ value differs:       │ chains: add    │
 *   │ on demand:     │   delete and add     │                │
 *   │   left alone   │ rules differ:        │                │
 *   │                │   flush and add      │                │
 *   └────────────────┴──────────────────────┴────────────────┘
 *
 * A table of another shape (a set missing, surplus or declared otherwise, a chain that is not ours or hooked elsewhere: another
 * version's, or one that somebody changed) is replaced as a whole, in the same transaction, so that there is no moment without rules.
 */
export function diffTable(desired: Table, actual: Table | undefined, onDemand: OnDemand): Transaction {
  const commands: Command[] = [];
  if (actual !== undefined && hasSameShape(desired, actual, onDemand)) {
    for (const command of changeChains(desired, actual)) commands.push(command);
    changeElements(commands, desired, actual, onDemand);
  } else {
    if (actual !== undefined) commands.push({ kind: 'table', verb: 'delete', family: desired.family });
    for (const command of createStructure(desired)) commands.push(command);
    changeElements(commands, desired);
  }
  return { commands };
}

function* createStructure(desired: Table): Generator<Command> {
  const { family } = desired;
  yield { kind: 'table', verb: 'add', family };
  for (const set of desired.sets.values()) yield { kind: 'set', verb: 'add', family, set };
  for (const chain of desired.chains.values()) yield* createChain(family, chain);
}

function* createChain(family: Family, chain: Chain): Generator<Command> {
  yield addChain(family, chain);
  yield* addRules(family, chain);
}

function* addRules(family: Family, chain: Chain): Generator<Command> {
  for (const rule of chain.rules) yield { kind: 'rule', verb: 'add', family, chain: chain.name, rule };
}

function hasSameShape(desired: Table, actual: Table, onDemand: OnDemand): boolean {
  if (desired.sets.size !== actual.sets.size) return false;
  for (const set of desired.sets.values()) if (!isSameSet(set, actual.sets.get(set.name))) return false;
  for (const chain of actual.chains.values()) {
    const expected = desired.chains.get(chain.name);
    if (
      expected === undefined
        ? !isEqual(onDemand.chain(actual.family, chain.name), chain)
        : !isEqual(expected.base, chain.base)
    ) {
      return false;
    }
  }
  return true;
}

/** Comments do not count: nft 1.1.3 leaves them out of JSON listings. */
function isSameSet(desired: SetDeclaration, actual: SetDeclaration | undefined): boolean {
  if (actual === undefined) return false;
  const dataKind = ({ data }: SetDeclaration) => (data === undefined || data === 'verdict' ? data : 'value');
  return (
    isEqual(desired.key, actual.key) &&
    dataKind(desired) === dataKind(actual) &&
    isEqual([...desired.flags].sort(), [...actual.flags].sort()) &&
    desired.size === actual.size
  );
}

function* changeChains(desired: Table, actual: Table): Generator<Command> {
  const { family } = desired;
  for (const chain of desired.chains.values()) {
    const existing = actual.chains.get(chain.name);
    if (existing === undefined) yield* createChain(family, chain);
    else if (!isEqual(existing.rules, chain.rules)) {
      yield { kind: 'chain', verb: 'flush', family, name: chain.name };
      yield* addRules(family, chain);
    }
  }
}

function changeElements(commands: Command[], desired: Table, actual?: Table, onDemand?: OnDemand): void {
  for (const set of desired.sets.values()) {
    if (isDynamic(set)) continue;
    const wanted = elementsOf(desired, set.name);
    const existing = actual === undefined ? noElements : elementsOf(actual, set.name);
    for (const command of diffElements(desired.family, set, wanted, existing)) {
      const { verb, key, value } = command;
      if (verb === 'add' || wanted.has(key) || onDemand?.isElement(set.name, key, value) !== true)
        commands.push(command);
    }
  }
}

/** Deletes come before adds, so that an interval can take the place of one that it overlaps. */
export function diffElements(
  family: Family,
  set: SetDeclaration,
  desired: Elements,
  actual: Elements,
): readonly ElementCommand[] {
  const commands: ElementCommand[] = [];
  if (actual === desired) return commands;
  actual.forEach((value, key) => {
    if (desired.get(key) !== value) commands.push({ kind: 'element', verb: 'delete', family, set, key, value });
  });
  desired.forEach((value, key) => {
    if (actual.get(key) !== value) commands.push({ kind: 'element', verb: 'add', family, set, key, value });
  });
  return commands;
}
