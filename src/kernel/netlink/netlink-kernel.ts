import type { Family } from '../../net/ip.ts';
import type { Elements, SetDeclaration, Table } from '../../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../../ruleset/nftables/transaction.ts';
import type { Kernel, LookedUp } from '../kernel.ts';
import { type OpenTransport, openSocket, Turns } from './dump.ts';
import { NetlinkError } from './errors.ts';
import { lookUpElements } from './look-up-elements.ts';
import { type Answer, readAnswer, readMessages } from './message.ts';
import { readSetElements } from './read-elements.ts';
import { receiveFailure, refusal, sendFailure } from './refusal.ts';
import { type NetlinkTransport, receiveSoon } from './socket.ts';
import { type Batch, encodeBatch } from './write-elements.ts';

export interface NetlinkKernelOptions {
  readonly open?: OpenTransport;
  /** How long the answer to a transaction may take. */
  readonly timeoutMs?: number;
  /** From so many elements on they are looked up rather than read. */
  readonly askFrom?: number;
}

/** 0.2 s either way; with 200,000 it takes 0.9 s to look them up, and 2.9 s to read them (see docs/performance.md). */
const defaultAskFrom = 50_000;

/** From this size on a request is sent aside: the kernel needs more than a millisecond for it. */
const asideBytes = 1 << 16;

/**
 * A kernel that reads and changes elements of sets and maps by netlink, in microseconds where nft(8) needs milliseconds; everything
 * else is left to the kernel given, and so is what netlink turns out not to be able to do. Gives what that one would give.
 */
export class NetlinkKernel implements Kernel {
  readonly #other: Kernel;
  readonly #transport: NetlinkTransport;
  readonly #open: OpenTransport;
  readonly #timeoutMs: number;
  readonly #askFrom: number;
  #sequence = 1;
  /** Transactions go one after the other: their answers come by the same socket. */
  #last: Promise<unknown> = Promise.resolve();

  /** Undefined where netlink cannot be used: then the other kernel must do. */
  static open(other: Kernel, options: NetlinkKernelOptions = {}): NetlinkKernel | undefined {
    const open = options.open ?? openSocket;
    try {
      const transport = open();
      return transport && new NetlinkKernel(other, transport, options);
    } catch (error) {
      // A kernel without the socket family; nft has words for that.
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
  }

  /** Takes the transport over for its transactions; reads have sockets of their own. */
  constructor(other: Kernel, transport: NetlinkTransport, options: NetlinkKernelOptions = {}) {
    this.#other = other;
    this.#transport = transport;
    this.#open = options.open ?? openSocket;
    this.#timeoutMs = options.timeoutMs ?? 120_000;
    this.#askFrom = options.askFrom ?? defaultAskFrom;
  }

  /** The address of the socket that changes come from, for RulesetMonitor. */
  get portId(): number {
    return this.#transport.portId;
  }

  close(): void {
    this.#transport.close();
  }

  async apply(transaction: Transaction): Promise<void> {
    const { commands } = transaction;
    if (commands.length === 0) return;
    // Structure comes first where there is any: no use in encoding 20,000 elements to find out.
    if (commands.some(({ kind }) => kind !== 'element')) return this.#other.apply(transaction);
    const outcome = this.#last.then(() => this.#tryApply(transaction));
    this.#last = outcome.catch(() => undefined);
    if (!(await outcome)) await this.#other.apply(transaction);
  }

  readTable(family: Family): Promise<Table | undefined> {
    return this.#other.readTable(family);
  }

  async readElements(family: Family, set: SetDeclaration): Promise<Elements> {
    const elements = await this.#tryRead(family, set);
    return elements ?? this.#other.readElements(family, set);
  }

  async lookUpElements(family: Family, set: SetDeclaration, expected: Elements): Promise<LookedUp | undefined> {
    if (expected.size < this.#askFrom) return undefined;
    try {
      return await lookUpElements(this.#open, family, set, expected, new Turns());
    } catch (error) {
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
  }

  async #tryRead(family: Family, set: SetDeclaration): Promise<Elements | undefined> {
    try {
      return await readSetElements(this.#open, family, set, new Turns());
    } catch (error) {
      // nft may know better, and else has the right words.
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
  }

  /** False if the transaction cannot be sent this way; nothing was changed then. */
  async #tryApply(transaction: Transaction): Promise<boolean> {
    const batch = await encodeBatch(transaction.commands, this.#sequence, new Turns());
    if (batch === undefined) return false;
    // Sequence numbers are 32 bits, and a transaction has at most one for each command.
    this.#sequence = batch.nextSequence > 0x4000_0000 ? 1 : batch.nextSequence;
    const start = performance.now();
    await this.#send(batch, start);
    const [first, ...others] = await this.#receiveErrors(batch, start);
    if (first !== undefined) throw refusal(transaction, batch, [first, ...others], performance.now() - start);
    return true;
  }

  async #send(batch: Batch, start: number): Promise<void> {
    try {
      if (batch.bytes.length < asideBytes) this.#transport.send(batch.bytes);
      else await this.#transport.sendAside(batch.bytes);
    } catch (error) {
      throw sendFailure(error, performance.now() - start);
    }
  }

  async #receiveErrors(batch: Batch, start: number): Promise<readonly Answer[]> {
    const errors: Answer[] = [];
    try {
      while (!(await this.#receive(batch, errors)));
      return errors;
    } catch (error) {
      // Answers were lost, or did not come. An error among those that did says enough: nothing was changed.
      if (errors.length > 0) return errors;
      throw receiveFailure(error, performance.now() - start);
    }
  }

  /** True if the last answer to the batch has come. Answers to one before, which was given up, are passed over. */
  async #receive({ firstSequence, lastSequence }: Batch, errors: Answer[]): Promise<boolean> {
    let isLast = false;
    for (const message of readMessages(await receiveSoon(this.#transport, this.#timeoutMs))) {
      const answer = readAnswer(message);
      if (answer === undefined || answer.sequence < firstSequence || answer.sequence > lastSequence) continue;
      if (answer.code !== undefined) errors.push(answer);
      // What fails as a whole (no permission, no memory) is answered to the batch's first message, perhaps to it alone.
      isLast ||= answer.sequence === lastSequence || answer.sequence === firstSequence;
    }
    return isLast;
  }
}
