import { isDynamic, type SetDeclaration } from '../../ruleset/nftables/ruleset.ts';
import type { Command, ElementCommand } from '../../ruleset/nftables/transaction.ts';
import { beginSetRequest } from './actual-set.ts';
import { Attributes } from './attributes.ts';
import type { Turns } from './dump.ts';
import {
  AF_UNSPEC,
  MessageWriter,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_REQUEST,
  readMessages,
} from './message.ts';
import * as nft from './nf-tables.ts';
import { type Layout, layoutOfSet, type SetLayout, writeText } from './set-layout.ts';

const { drop, accept, return: return_ } = nft.verdictCodes;
const plainVerdicts: ReadonlyMap<string, number> = new Map(Object.entries({ drop, accept, return: return_ }));

/** A transaction as the kernel takes it: all of it, or nothing. */
export interface Batch {
  readonly bytes: Buffer;
  /** Of its first message. An error with this sequence is about the whole. */
  readonly firstSequence: number;
  /** Of the message whose answer comes last. */
  readonly lastSequence: number;
  /** The first free one. */
  readonly nextSequence: number;
  /** By message, the place of its first command in the transaction. */
  readonly firstCommands: ReadonlyMap<number, number>;
}

/** An attribute's length is 16 bits. */
const listBytes = 60_000;
/** What an element takes about: enough that the buffer need not grow, which copies it. */
const elementBytes = 80;
/** So many elements between two looks at the clock. */
const elementsPerLook = 256;

/**
 * Element commands as a batch; undefined if one of them cannot be written this way: intervals, elements added to a set that the kernel
 * fills, text that does not fit the set's declaration, or a command of another kind.
 */
export async function encodeBatch(
  commands: readonly Command[],
  firstSequence: number,
  turns: Turns,
): Promise<Batch | undefined> {
  const writer = new BatchWriter(firstSequence, commands.length * elementBytes);
  let i = 0;
  for (const command of commands) {
    if (command.kind !== 'element' || !writer.add(command, i)) return undefined;
    if (i++ % elementsPerLook === 0 && turns.isOver) await turns.next();
  }
  return writer.finish();
}

class BatchWriter {
  readonly #writer: MessageWriter;
  readonly #firstSequence: number;
  readonly #firstCommands = new Map<number, number>();
  readonly #layouts = new Map<SetDeclaration, SetLayout | undefined>();
  #sequence: number;
  /** The message that elements are being written into. */
  #message: { readonly at: number; readonly list: number; readonly first: ElementCommand } | undefined;

  constructor(firstSequence: number, capacity: number) {
    this.#writer = new MessageWriter(capacity + 1024);
    this.#firstSequence = firstSequence;
    this.#sequence = firstSequence;
    this.#writeMark(NFNL_MSG_BATCH_BEGIN);
  }

  add(command: ElementCommand, index: number): boolean {
    const { set } = command;
    if (!this.#layouts.has(set)) this.#layouts.set(set, layoutOfSet(set));
    const layout = this.#layouts.get(set);
    if (layout === undefined || (command.verb === 'add' && isDynamic(set))) return false;
    if (!this.#fits(command)) {
      this.#endMessage(0);
      this.#beginMessage(command, index);
    }
    return this.#writeElement(command, layout);
  }

  finish(): Batch {
    // Errors are always answered, the last message's success on demand: then all are worked off.
    this.#endMessage(NLM_F_ACK);
    const lastSequence = this.#sequence - 1;
    this.#writeMark(NFNL_MSG_BATCH_END);
    return {
      bytes: this.#writer.bytes(),
      firstSequence: this.#firstSequence,
      lastSequence,
      nextSequence: this.#sequence,
      firstCommands: this.#firstCommands,
    };
  }

  #writeMark(type: number): void {
    const at = this.#writer.beginMessage(type, NLM_F_REQUEST, this.#sequence++, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    this.#writer.endMessage(at);
  }

  #fits({ verb, family, set }: ElementCommand): boolean {
    const message = this.#message;
    if (message === undefined || this.#writer.length - message.list > listBytes) return false;
    const { first } = message;
    return first.verb === verb && first.family === family && first.set.name === set.name;
  }

  #beginMessage(first: ElementCommand, index: number): void {
    const writer = this.#writer;
    this.#firstCommands.set(this.#sequence, index);
    const type = first.verb === 'add' ? nft.NEWSETELEM : nft.DELSETELEM;
    const flags = NLM_F_REQUEST | (first.verb === 'add' ? NLM_F_CREATE : 0);
    const at = beginSetRequest(writer, type, flags, first.family, first.set, this.#sequence++);
    this.#message = { at, list: writer.open(nft.LIST_ELEMENTS), first };
  }

  #endMessage(flag: number): void {
    if (this.#message === undefined) return;
    this.#writer.close(this.#message.list);
    this.#writer.endMessage(this.#message.at);
    this.#writer.addFlag(this.#message.at, flag);
    this.#message = undefined;
  }

  #writeElement({ verb, key, value }: ElementCommand, layout: SetLayout): boolean {
    const writer = this.#writer;
    const element = writer.open(nft.LIST_ELEM);
    const keyAt = writer.open(nft.ELEM_KEY);
    if (!this.#writeValue(layout.key, key)) return false;
    writer.close(keyAt);
    if (verb === 'add' && !this.#writeData(layout.data, value)) return false;
    writer.close(element);
    return true;
  }

  #writeData(layout: SetLayout['data'], value: string): boolean {
    if (layout === undefined) return false;
    if (layout === 'none') return value === '';
    const data = this.#writer.open(nft.ELEM_DATA);
    const isWritten = layout === 'verdict' ? this.#writeVerdict(value) : this.#writeValue(layout, value);
    this.#writer.close(data);
    return isWritten;
  }

  #writeValue(layout: Layout, text: string): boolean {
    const at = this.#writer.blank(nft.DATA_VALUE, layout.length);
    return writeText(this.#writer.buffer, at, layout, text);
  }

  #writeVerdict(text: string): boolean {
    const isGoto = text.startsWith('goto ');
    const code = isGoto ? nft.verdictCodes.goto : plainVerdicts.get(text);
    if (code === undefined) return false;
    const verdict = this.#writer.open(nft.DATA_VERDICT_ATTRIBUTE);
    this.#writer.u32be(nft.VERDICT_CODE, code);
    if (isGoto) this.#writer.text(nft.VERDICT_CHAIN, text.slice('goto '.length));
    this.#writer.close(verdict);
    return true;
  }
}

/**
 * The place in the transaction of the command that an error is about: the kernel gives the message's sequence and, if it can, where in
 * the message the element lies. Without that, the message's first command; undefined where it is about the whole.
 */
export function commandAtFault(batch: Batch, sequence: number, offset: number | undefined): number | undefined {
  const first = batch.firstCommands.get(sequence);
  if (first === undefined || offset === undefined) return first;
  for (const message of readMessages(batch.bytes)) {
    if (message.sequence !== sequence) continue;
    for (const attribute = new Attributes(message.buffer, message.start, message.end); attribute.next();) {
      if (attribute.type !== nft.LIST_ELEMENTS) continue;
      let count = -1;
      for (const element = attribute.nested(); element.next(); count++) {
        // The place of an element is that of its header.
        if (element.start - 4 - message.at > offset) break;
      }
      return first + Math.max(count, 0);
    }
  }
  return first;
}
