import type { Family } from '../../net/ip.ts';
import type { Elements, SetDeclaration } from '../../ruleset/nftables/ruleset.ts';
import type { LookedUp } from '../kernel.ts';
import { type ActualSet, beginSetRequest, readActualSet } from './actual-set.ts';
import type { OpenTransport, Turns } from './dump.ts';
import { NetlinkError } from './errors.ts';
import { type Message, MessageWriter, NLM_F_ACK, NLM_F_REQUEST, readAnswer, readMessages } from './message.ts';
import * as nft from './nf-tables.ts';
import { forEachElement, goToValue, OddElement, partsOf, readData } from './read-element.ts';
import { layoutOfSet, writeText } from './set-layout.ts';
import { type NetlinkTransport, receiveSoon } from './socket.ts';

/** Keys a request: some milliseconds of the kernel's time, and as many answers as surely fit the socket. */
const keysPerRequest = 1_000;

/** So many are sent aside: the kernel needs as long as it takes to hand them over. */
const keysAside = 100;

/** Each that is missing takes a request more, about a millisecond. With more of them, reading all is as good. */
const missingMost = 500;

/**
 * Asks a set for each of the elements that it may well hold. Time grows with their number, while reading the whole set takes time in its
 * square. Undefined where asking is of no use: the set cannot be read by netlink, or it holds something else.
 *
 * Throws a NetlinkError.
 */
export async function lookUpElements(
  open: OpenTransport,
  family: Family,
  set: SetDeclaration,
  expected: Elements,
  turns: Turns,
): Promise<LookedUp | undefined> {
  const transport = layoutOfSet(set) && open();
  if (transport === undefined) return undefined;
  try {
    const actual = await readActualSet(transport, family, set);
    if (actual === undefined) return undefined;
    if (actual.count === 0) return { elements: expected.size === 0 ? expected : new Map(), isComplete: true };
    if (actual.count !== undefined && actual.count + missingMost < expected.size) return undefined;
    const lookup = new Lookup(transport, family, set, actual, expected);
    if (!(await lookup.run(turns))) return undefined;
    // Asked for again: of what changed meanwhile, either this or the answers tell.
    const { count } = (await readActualSet(transport, family, set)) ?? {};
    return { elements: lookup.elements(), isComplete: count === expected.size - lookup.missing.length };
  } catch (error) {
    if (error instanceof OddElement) return undefined;
    if (error instanceof NetlinkError && error.code === 'ENOENT') return { elements: new Map(), isComplete: true };
    throw error;
  } finally {
    transport.close();
  }
}

interface Request {
  readonly sequence: number;
  readonly keys: readonly string[];
  readonly bytes: Buffer;
  /** Where in bytes each key lies. */
  readonly places: readonly number[];
}

class Lookup {
  readonly #transport: NetlinkTransport;
  readonly #family: Family;
  readonly #set: SetDeclaration;
  readonly #actual: ActualSet;
  readonly #expected: Elements;
  #pattern: Pattern | undefined;
  readonly #keys: Iterator<string>;
  readonly #unanswered: (readonly string[])[] = [];
  #sequence = 1;
  #received: readonly Buffer[] = [];
  /** How many of these were read. */
  #read = 0;
  readonly missing: string[] = [];
  readonly #different = new Map<string, string>();

  constructor(transport: NetlinkTransport, family: Family, set: SetDeclaration, actual: ActualSet, expected: Elements) {
    this.#transport = transport;
    this.#family = family;
    this.#set = set;
    this.#actual = actual;
    this.#expected = expected;
    this.#keys = expected.keys();
  }

  /** False if so much is missing that going on makes no sense. */
  async run(turns: Turns): Promise<boolean> {
    let asked = await this.#send(this.#nextKeys());
    while (asked !== undefined) {
      // While the kernel works on a request, the answers to the one before are read. Both end before the socket may be closed.
      const [sent, read] = await Promise.allSettled([this.#send(this.#nextKeys()), this.#readAnswers(asked)]);
      if (sent.status === 'rejected') throw sent.reason;
      if (read.status === 'rejected') throw read.reason;
      if (this.missing.length > missingMost) return false;
      asked = sent.value ?? (await this.#send(this.#nextKeys()));
      if (turns.isOver) await turns.next();
    }
    return true;
  }

  #nextKeys(): readonly string[] {
    const again = this.#unanswered.pop();
    if (again !== undefined) return again;
    const keys: string[] = [];
    for (let key = this.#keys.next(); key.done !== true; key = this.#keys.next()) {
      keys.push(key.value);
      if (keys.length === keysPerRequest) break;
    }
    return keys;
  }

  /** What the set holds of what was expected: the very same object if that is all of it. */
  elements(): Elements {
    if (this.missing.length + this.#different.size === 0) return this.#expected;
    const elements = new Map(this.#expected);
    for (const key of this.missing) elements.delete(key);
    for (const [key, value] of this.#different) elements.set(key, value);
    return elements;
  }

  /** Undefined if there is nothing to ask for. */
  async #send(keys: readonly string[]): Promise<Request | undefined> {
    if (keys.length === 0) return undefined;
    const request = this.#encode(this.#sequence++, keys);
    if (keys.length < keysAside) this.#transport.send(request.bytes);
    else await this.#transport.sendAside(request.bytes);
    return request;
  }

  #encode(sequence: number, keys: readonly string[]): Request {
    const { key: layout } = this.#actual;
    const writer = new MessageWriter(keys.length * (layout.length + 16) + 256);
    const flags = NLM_F_REQUEST | NLM_F_ACK;
    const message = beginSetRequest(writer, nft.GETSETELEM, flags, this.#family, this.#set, sequence);
    const list = writer.open(nft.LIST_ELEMENTS);
    const places: number[] = [];
    for (const key of keys) {
      const element = writer.open(nft.LIST_ELEM);
      const value = writer.open(nft.ELEM_KEY);
      const at = writer.blank(nft.DATA_VALUE, layout.length);
      if (!writeText(writer.buffer, at, layout, key)) throw new OddElement();
      places.push(at);
      writer.close(value);
      writer.close(element);
    }
    writer.close(list);
    writer.endMessage(message);
    return { sequence, keys, bytes: writer.bytes(), places };
  }

  /** The kernel answers in the order of the keys, up to the first that is missing; those after it have to be asked for again. */
  async #readAnswers(request: Request): Promise<void> {
    const { sequence, keys } = request;
    let next = 0;
    for (;;) {
      const datagram = this.#received[this.#read++] ?? (await this.#receive());
      if (this.#isAsExpected(datagram, request, next)) {
        next++;
        continue;
      }
      for (const message of readMessages(datagram)) {
        if (message.sequence !== sequence) throw new OddElement();
        const answer = readAnswer(message);
        if (answer === undefined) next += this.#compare(message, request, next);
        else if (answer.code === undefined) {
          if (next < keys.length) throw new OddElement();
          return;
        } else if (answer.code === 'ENOENT' && next < keys.length) {
          this.missing.push(keys[next] ?? '');
          if (next + 1 < keys.length) this.#unanswered.push(keys.slice(next + 1));
          return;
        } else throw new NetlinkError(answer.code, `netlink: elements of ${this.#set.name}: ${answer.code}`);
      }
    }
  }

  /** The next datagram, where all that were received are read. Some of these may have been answers to the next request. */
  async #receive(): Promise<Buffer> {
    this.#received = await this.#transport.receiveManyAside();
    this.#read = 1;
    return this.#received[0] ?? (await receiveSoon(this.#transport, 10_000));
  }

  /**
   * The short way for what is nearly always answered: byte for byte what another answer says of the next key and what is expected of it.
   * Without it, half of the time goes into an object for each attribute. False: to be read attribute by attribute.
   */
  #isAsExpected(datagram: Buffer, { sequence, keys, bytes, places }: Request, next: number): boolean {
    const { key: keyLayout, data: dataLayout } = this.#actual;
    const [key, place] = [keys[next], places[next]];
    if (this.#pattern === undefined || typeof dataLayout === 'string' || key === undefined || place === undefined)
      return false;
    const { answer, keyAt, dataAt } = this.#pattern;
    answer.writeUInt32LE(sequence, sequenceAt);
    bytes.copy(answer, keyAt, place, place + keyLayout.length);
    return writeText(answer, dataAt, dataLayout, this.#expected.get(key) ?? '') && answer.equals(datagram);
  }

  /** Gives how many elements the message has: one, and that the one which was asked for. */
  #compare(message: Message, { keys, bytes, places }: Request, next: number): number {
    const { key: layout } = this.#actual;
    return forEachElement(message, (element) => {
      const { key, data } = partsOf(element);
      const at = places[next] ?? bytes.length;
      goToValue(key, layout);
      if (bytes.compare(key.buffer, key.start, key.end, at, at + layout.length) !== 0) throw new OddElement();
      const text = keys[next] ?? '';
      const value = readData(data, this.#actual.data);
      if (value !== this.#expected.get(text)) this.#different.set(text, value);
      if (data !== undefined)
        this.#pattern ??= { answer: Buffer.from(message.buffer), keyAt: key.start, dataAt: data.start };
    });
  }
}

/** Where a message has the number of the request that it answers (linux/netlink.h, struct nlmsghdr). */
const sequenceAt = 8;

/** An answer, and where in it key and data lie. */
interface Pattern {
  readonly answer: Buffer;
  readonly keyAt: number;
  readonly dataAt: number;
}
