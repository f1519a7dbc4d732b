import type { Family } from '../../net/ip.ts';
import { tableName } from '../../ruleset/nftables/ruleset.ts';
import { NetlinkError } from './errors.ts';
import { AF_INET, AF_INET6, attributesOf, type Message, NFNL_SUBSYS_NFTABLES, readMessages } from './message.ts';
import { NetlinkSocket, type NetlinkTransport } from './socket.ts';

// linux/netfilter/nfnetlink.h, nf_tables.h
const NFNLGRP_NFTABLES = 7;
const NFT_MSG_NEWGEN = 15;
const NFTA_GEN_PROC_NAME = 3;
/** The table's name: attribute 1 in messages about tables, chains, rules, sets, elements and all else. */
const NFTA_TABLE = 1;

export type RulesetEvent =
  /** Somebody else changed our table of that family. The program is the name of the process, where the kernel told it. */
  | {
      readonly kind: 'foreign-change';
      readonly family: Family;
      readonly portId: number;
      readonly program: string | undefined;
    }
  /** Events were lost: there may have been a change. */
  | { readonly kind: 'overrun' };

export interface RulesetMonitorOptions {
  readonly onEvent: (event: RulesetEvent) => void;
  /**
   * Whether a netlink socket is one of ours. nft binds its socket without asking for a port, and gets its process's pid as seen in its
   * own pid namespace, unless another socket of the network namespace has that already: then any number above 2^31. Asked when an
   * event is read, up to an interval after it happened, so that pids of processes must be known a while beyond their end.
   */
  readonly isOurs: (portId: number) => boolean;
  /** A socket of ours that writes much: its events are dropped in the kernel, and never overrun the buffer. */
  readonly ownPortId?: number;
  readonly intervalMs?: number;
  /** Events that may wait between two looks; an event of one element takes some 60 bytes, in datagrams of up to 4 kB. */
  readonly receiveBufferBytes?: number;
}

/** No look takes longer at a time, so that somebody else's many changes do not hold up the event loop. */
const lookMs = 5;

/**
 * Watches who changes tables `ip vipmap` and `ip6 vipmap` in this network namespace. Elements that a rule adds, and those that expire,
 * make no events. A foreign change is told once for each transaction and family.
 */
export class RulesetMonitor {
  readonly #transport: NetlinkTransport;
  readonly #options: RulesetMonitorOptions;
  readonly #timer: NodeJS.Timeout;
  #continuation: NodeJS.Immediate | undefined;
  /** What a transaction was seen to change, until its end is seen. */
  readonly #pending = new Map<number, Set<Family>>();

  /** Undefined where netlink cannot be used (see whyNoLibc). Throws a NetlinkError where the kernel says no, EPERM without CAP_NET_ADMIN. */
  static open(options: RulesetMonitorOptions): RulesetMonitor | undefined {
    const receiveBufferBytes = options.receiveBufferBytes ?? 16 << 20;
    const socket = NetlinkSocket.open({ groups: [NFNLGRP_NFTABLES], receiveBufferBytes });
    if (socket === undefined) return undefined;
    if (options.ownPortId !== undefined) socket.dropFrom(options.ownPortId);
    return new RulesetMonitor(socket, options);
  }

  /** Takes the transport over, and closes it in the end. */
  constructor(transport: NetlinkTransport, options: RulesetMonitorOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#timer = setInterval(() => this.look(), options.intervalMs ?? 200);
    // Watching alone keeps no process alive.
    this.#timer.unref();
  }

  /** Reads what waits, without waiting for the timer. */
  look(): void {
    clearImmediate(this.#continuation);
    const start = performance.now();
    while (this.#readOne()) {
      if (performance.now() - start < lookMs) continue;
      this.#continuation = setImmediate(() => this.look());
      return;
    }
    // The end of a transaction follows at once; whatever has none by now is told without the name of its program.
    for (const portId of this.#pending.keys()) this.#tell(portId, undefined);
  }

  close(): void {
    clearInterval(this.#timer);
    clearImmediate(this.#continuation);
    this.#transport.close();
  }

  /** False if nothing waits. */
  #readOne(): boolean {
    try {
      const datagram = this.#transport.receive();
      if (datagram === undefined) return false;
      for (const message of readMessages(datagram)) this.#note(message);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      this.#options.onEvent({ kind: 'overrun' });
      // ENOBUFS is told once, and what waits can be read after it; with any other error the next look tries again.
      return error.code === 'ENOBUFS';
    }
    return true;
  }

  #note(message: Message): void {
    const { type, portId } = message;
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES || this.#options.isOurs(portId) || portId === this.#options.ownPortId)
      return;
    if ((type & 0xff) === NFT_MSG_NEWGEN) {
      this.#tell(portId, textAttribute(message, NFTA_GEN_PROC_NAME));
      return;
    }
    const family = message.family === AF_INET ? 'ip' : message.family === AF_INET6 ? 'ip6' : undefined;
    if (family === undefined || textAttribute(message, NFTA_TABLE) !== tableName) return;
    const families = this.#pending.get(portId);
    if (families === undefined) this.#pending.set(portId, new Set([family]));
    else families.add(family);
  }

  #tell(portId: number, program: string | undefined): void {
    const families = this.#pending.get(portId) ?? [];
    this.#pending.delete(portId);
    for (const family of families) this.#options.onEvent({ kind: 'foreign-change', family, portId, program });
  }
}

function textAttribute(message: Message, type: number): string | undefined {
  for (const attribute = attributesOf(message); attribute.next();) {
    if (attribute.type === type) return attribute.text();
  }
  return undefined;
}
