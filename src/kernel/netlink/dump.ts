import { setImmediate as nextTurn } from 'node:timers/promises';
import { NetlinkError } from './errors.ts';
import { type Message, NLM_F_DUMP_INTR, NLMSG_DONE, readAnswer, readMessages } from './message.ts';
import { NetlinkSocket, type NetlinkTransport, receiveSoon } from './socket.ts';

/** Where sockets come from: a dump has one for itself, since it fills the socket with its answers until its end. */
export type OpenTransport = () => NetlinkTransport | undefined;
export const openSocket: OpenTransport = () => NetlinkSocket.open();

/** Work that is cut into turns, so that others are not kept waiting: after so many milliseconds the event loop goes round once. */
export class Turns {
  readonly #turnMs: number;
  #start = performance.now();

  constructor(turnMs = 8) {
    this.#turnMs = turnMs;
  }

  /** True if the turn is over: then await next(). */
  get isOver(): boolean {
    return performance.now() - this.#start >= this.#turnMs;
  }

  async next(): Promise<void> {
    await nextTurn();
    this.#start = performance.now();
  }
}

export interface DumpOptions {
  readonly timeoutMs?: number;
  readonly turns?: Turns;
  /** The answer is so short that handing it over from another thread would cost more than the kernel's work. */
  readonly isShort?: boolean;
}

/** How a dump ended. What is `interrupted` was changed meanwhile: things may be missing or come twice. */
export type DumpEnd = 'complete' | 'interrupted';

/**
 * Sends a request for a dump and shows each of its messages. Throws a NetlinkError: what the kernel answered (ENOENT ...), ENOBUFS,
 * ETIMEDOUT, or EBADMSG for what cannot be read; the socket is not fit for another request then.
 */
export async function dump(
  transport: NetlinkTransport,
  request: Uint8Array,
  onMessage: (message: Message) => void,
  { timeoutMs = 10_000, turns = new Turns(), isShort = false }: DumpOptions = {},
): Promise<DumpEnd> {
  // Both aside: the kernel may walk through a whole table for a part of an answer, some 50 ms for 200,000 connections.
  if (isShort) transport.send(request);
  else await transport.sendAside(request);
  let end: DumpEnd = 'complete';
  for (;;) {
    const ready = isShort ? transport.receive() : await transport.receiveAside();
    const datagram = ready ?? (await receiveSoon(transport, timeoutMs));
    for (const message of readMessages(datagram)) {
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) end = 'interrupted';
      const answer = readAnswer(message);
      if (answer === undefined) onMessage(message);
      else if (answer.code === 'EINTR') return 'interrupted';
      else if (answer.code !== undefined) throw new NetlinkError(answer.code, `netlink: dump: ${answer.code}`);
      else if (message.type === NLMSG_DONE) return end;
    }
    if (turns.isOver) await turns.next();
  }
}
