import type { Family } from '../../net/ip.ts';
import type { Rule } from './expression.ts';
import type { BaseChain, Chain, SetDeclaration } from './ruleset.ts';

/** One thing that a transaction does, in nft's words. An element is one key; printers gather neighbours of one set into one nft command. */
export type Command =
  | { readonly kind: 'table'; readonly verb: 'add' | 'delete'; readonly family: Family }
  | { readonly kind: 'set'; readonly verb: 'add'; readonly family: Family; readonly set: SetDeclaration }
  | {
      readonly kind: 'chain';
      readonly verb: 'add';
      readonly family: Family;
      readonly name: string;
      readonly base?: BaseChain;
    }
  | { readonly kind: 'chain'; readonly verb: 'flush'; readonly family: Family; readonly name: string }
  | {
      readonly kind: 'rule';
      readonly verb: 'add';
      readonly family: Family;
      readonly chain: string;
      readonly rule: Rule;
    }
  | ElementCommand;

/** A changed value is a delete and an add in the same transaction: the kernel refuses an add over another value. */
export interface ElementCommand {
  readonly kind: 'element';
  readonly verb: 'add' | 'delete';
  readonly family: Family;
  readonly set: SetDeclaration;
  readonly key: string;
  readonly value: string;
}

/** The command that makes a chain, without its rules. */
export function addChain(family: Family, { name, base }: Chain): Command {
  return { kind: 'chain', verb: 'add', family, name, ...(base === undefined ? {} : { base }) };
}

/** Tells elements apart: `ip hairpin-connections 10.244.1.5 . 10.244.1.5`. */
export function elementId({ family, set, key }: ElementCommand): string {
  return `${family} ${set.name} ${key}`;
}

/** A change that the kernel makes as a whole or not at all. */
export interface Transaction {
  readonly commands: readonly Command[];
}

/** Commands of equal verb, family and set that follow each other, as one group; everything else alone. */
export function* groupCommands(transaction: Transaction): Generator<readonly [Command, ...Command[]]> {
  let group: [Command, ...Command[]] | undefined;
  for (const command of transaction.commands) {
    const first = group?.[0];
    if (
      group !== undefined &&
      first?.kind === 'element' &&
      command.kind === 'element' &&
      first.verb === command.verb &&
      first.family === command.family &&
      first.set.name === command.set.name
    ) {
      group.push(command);
      continue;
    }
    if (group !== undefined) yield group;
    group = [command];
  }
  if (group !== undefined) yield group;
}
