import type { Family } from '../../src/net/ip.ts';
import { addressLength, writeAddress } from '../../src/kernel/netlink/address-bytes.ts';
import {
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_REQUEST,
  readAnswer,
  readMessages,
} from '../../src/kernel/netlink/message.ts';
import { type NetlinkSocket, receiveSoon } from '../../src/kernel/netlink/socket.ts';

/** A connection to be put into conntrack: addresses and ports of each direction, as `source > destination`. */
export interface MadeEntry {
  readonly family: Family;
  readonly protocol: number;
  readonly original: readonly [string, number, string, number];
  readonly reply: readonly [string, number, string, number];
  readonly zone?: number;
  readonly mark?: number;
}

/** Puts entries into conntrack as `conntrack -I` does (linux/netfilter/nfnetlink_conntrack.h, IPCTNL_MSG_CT_NEW). */
export async function makeEntries(socket: NetlinkSocket, entries: readonly MadeEntry[]): Promise<void> {
  for (let i = 0; i < entries.length; i += 1000) {
    const some = entries.slice(i, i + 1000);
    const writer = new MessageWriter();
    for (const [n, entry] of some.entries()) write(writer, entry, n, n === some.length - 1 ? NLM_F_ACK : 0);
    socket.send(writer.bytes());
    for (let last = -1; last !== some.length - 1;) {
      for (const message of readMessages(await receiveSoon(socket, 5000))) {
        const answer = readAnswer(message);
        if (answer?.code !== undefined) throw new Error(`entry ${i + answer.sequence}: ${answer.code}`);
        last = answer?.sequence ?? last;
      }
    }
  }
}

function write(writer: MessageWriter, entry: MadeEntry, sequence: number, flags: number): void {
  const { family, protocol } = entry;
  const message = writer.beginMessage(0x100, NLM_F_REQUEST | NLM_F_CREATE | flags, sequence, family === 'ip' ? 2 : 10);
  for (const [type, [src, sport, dst, dport]] of [
    [1, entry.original],
    [2, entry.reply],
  ] as const) {
    const tuple = writer.open(type);
    const ip = writer.open(1);
    for (const [i, text] of [src, dst].entries()) {
      const bytes = new Uint8Array(addressLength(family));
      writeAddress(bytes, 0, family, text);
      writer.bytesOf((family === 'ip' ? 1 : 3) + i, bytes);
    }
    writer.close(ip);
    const proto = writer.open(2);
    writer.u8(1, protocol);
    writer.u16be(2, sport);
    writer.u16be(3, dport);
    writer.close(proto);
    writer.close(tuple);
  }
  writer.u32be(3, 8); // CTA_STATUS: confirmed
  writer.u32be(7, 600); // CTA_TIMEOUT
  if (protocol === 6) {
    const info = writer.open(4);
    const tcp = writer.open(1);
    writer.u8(1, 3); // established
    writer.close(tcp);
    writer.close(info);
  }
  if (entry.mark !== undefined) writer.u32be(8, entry.mark);
  if (entry.zone !== undefined) writer.u16be(18, entry.zone);
  writer.endMessage(message);
}
