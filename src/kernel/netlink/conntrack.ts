import type { Family, Ip } from '../../net/ip.ts';
import { type Protocol, protocolNumber } from '../../net/protocol.ts';
import { addressLength, readAddress, writeAddress } from './address-bytes.ts';
import type { Attributes } from './attributes.ts';
import { dump, type OpenTransport, openSocket, Turns } from './dump.ts';
import { MalformedMessage, NetlinkError } from './errors.ts';
import {
  AF_INET,
  AF_INET6,
  attributesOf,
  type Message,
  MessageWriter,
  NFNL_SUBSYS_CTNETLINK,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  readAnswer,
  readMessages,
} from './message.ts';
import { type NetlinkTransport, receiveSoon } from './socket.ts';

// linux/netfilter/nfnetlink_conntrack.h
const CT_NEW = NFNL_SUBSYS_CTNETLINK << 8;
const CT_GET = CT_NEW | 1;
const CT_DELETE = CT_NEW | 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_MARK = 8;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_TUPLE_ZONE = 3;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
// net/netfilter/nf_conntrack_netlink.c: which of the tuple's parts a filter compares.
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3;

/** One direction of a connection, as its packets look. */
export interface ConntrackTuple {
  readonly src: Ip;
  readonly dst: Ip;
  readonly sport: number;
  readonly dport: number;
}

/**
 * A connection that conntrack keeps: as its first packet came in, and as answers come in. After destination NAT the reply's src is
 * where the connection really went.
 */
export interface ConntrackEntry {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly original: ConntrackTuple;
  readonly reply: ConntrackTuple;
  /** Tells this entry from a later one with the same tuples; undefined where the kernel tells none. */
  readonly id: number | undefined;
  /** 0 but where somebody put connections into zones. */
  readonly zone: number;
  /** A zone that is of the original direction alone. */
  readonly originalZone: number;
  readonly mark: number;
}

export interface ConntrackOptions {
  readonly open?: OpenTransport;
  readonly turns?: Turns;
}

/** How often a dump is begun anew that the kernel interrupted; what the last one gave is used as it is. */
const attempts = 3;

/**
 * The connections of that protocol, in this network namespace, that are wanted; the others are forgotten as they are read, since a
 * node may have hundreds of thousands. Undefined where netlink cannot be used. Throws a NetlinkError, EPERM without CAP_NET_ADMIN.
 */
export async function readConntrack(
  protocol: Protocol,
  isWanted: (entry: ConntrackEntry) => boolean = () => true,
  { open = openSocket, turns = new Turns() }: ConntrackOptions = {},
): Promise<readonly ConntrackEntry[] | undefined> {
  const entries: ConntrackEntry[] = [];
  for (const family of ['ip', 'ip6'] as const) {
    const found = await readFamily(family, protocol, isWanted, open, turns);
    if (found === undefined) return undefined;
    for (const entry of found) entries.push(entry);
  }
  return entries;
}

async function readFamily(
  family: Family,
  protocol: Protocol,
  isWanted: (entry: ConntrackEntry) => boolean,
  open: OpenTransport,
  turns: Turns,
): Promise<readonly ConntrackEntry[] | undefined> {
  // Kernels before 5.8 have no filter, and later ones may come to refuse ours: then all that there is is read.
  let isFiltered = true;
  for (let attempt = 1; ;) {
    const transport = open();
    if (transport === undefined) return undefined;
    const entries: ConntrackEntry[] = [];
    const onMessage = (message: Message) => {
      const entry = readEntry(message, protocol);
      if (entry !== undefined && isWanted(entry)) entries.push(entry);
    };
    try {
      const end = await dump(transport, dumpRequest(family, protocol, isFiltered), onMessage, { turns });
      if (end === 'complete' || attempt >= attempts) return entries;
      attempt++;
    } catch (error) {
      const code = error instanceof NetlinkError ? error.code : undefined;
      if (isFiltered && (code === 'EINVAL' || code === 'EOPNOTSUPP')) isFiltered = false;
      else if (code !== 'ENOBUFS') throw error;
      else if (attempt++ >= attempts) return entries;
    } finally {
      transport.close();
    }
  }
}

const familyNumber: Readonly<Record<Family, number>> = { ip: AF_INET, ip6: AF_INET6 };

function dumpRequest(family: Family, protocol: Protocol, isFiltered: boolean): Uint8Array {
  const writer = new MessageWriter(256);
  const message = writer.beginMessage(CT_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, familyNumber[family]);
  if (isFiltered) {
    const filter = writer.open(CTA_FILTER);
    // In the host's byte order, unlike the rest.
    writer.bytesOf(CTA_FILTER_ORIG_FLAGS, Uint8Array.of(CTA_FILTER_F_CTA_PROTO_NUM, 0, 0, 0));
    writer.close(filter);
    const tuple = writer.open(CTA_TUPLE_ORIG);
    const proto = writer.open(CTA_TUPLE_PROTO);
    writer.u8(CTA_PROTO_NUM, protocolNumber[protocol]);
    writer.close(proto);
    writer.close(tuple);
  }
  writer.endMessage(message);
  return writer.bytes();
}

/** Undefined for other protocols and families, and for what is not an entry with two tuples. */
function readEntry(message: Message, protocol: Protocol): ConntrackEntry | undefined {
  const family = message.family === AF_INET ? 'ip' : message.family === AF_INET6 ? 'ip6' : undefined;
  if (message.type !== CT_NEW || family === undefined) return undefined;
  let original: TupleAndZone | undefined;
  let reply: TupleAndZone | undefined;
  let id: number | undefined;
  let zone = 0;
  let mark = 0;
  for (const attribute = attributesOf(message); attribute.next();) {
    switch (attribute.type) {
      case CTA_TUPLE_ORIG:
        original = readTuple(attribute.nested(), family, protocol);
        if (original === undefined) return undefined;
        break;
      case CTA_TUPLE_REPLY:
        reply = readTuple(attribute.nested(), family, protocol);
        break;
      case CTA_ID:
        id = attribute.u32be();
        break;
      case CTA_ZONE:
        zone = attribute.u16be();
        break;
      case CTA_MARK:
        mark = attribute.u32be();
    }
  }
  if (original === undefined || reply === undefined) return undefined;
  const { tuple, zone: originalZone } = original;
  return { family, protocol, original: tuple, reply: reply.tuple, id, zone, originalZone, mark };
}

interface TupleAndZone {
  readonly tuple: ConntrackTuple;
  readonly zone: number;
}

function readTuple(attributes: Attributes, family: Family, protocol: Protocol): TupleAndZone | undefined {
  let src: Ip | undefined;
  let dst: Ip | undefined;
  let sport: number | undefined;
  let dport: number | undefined;
  let zone = 0;
  while (attributes.next()) {
    if (attributes.type === CTA_TUPLE_ZONE) zone = attributes.u16be();
    if (attributes.type !== CTA_TUPLE_IP && attributes.type !== CTA_TUPLE_PROTO) continue;
    const isIp = attributes.type === CTA_TUPLE_IP;
    for (const part = attributes.nested(); part.next();) {
      if (isIp) {
        if (part.type === CTA_IP_V4_SRC || part.type === CTA_IP_V6_SRC) src = address(part, family);
        else if (part.type === CTA_IP_V4_DST || part.type === CTA_IP_V6_DST) dst = address(part, family);
      } else if (part.type === CTA_PROTO_NUM) {
        if (part.u8() !== protocolNumber[protocol]) return undefined;
      } else if (part.type === CTA_PROTO_SRC_PORT) sport = part.u16be();
      else if (part.type === CTA_PROTO_DST_PORT) dport = part.u16be();
    }
  }
  if (src === undefined || dst === undefined || sport === undefined || dport === undefined) return undefined;
  return { tuple: { src, dst, sport, dport }, zone };
}

function address(attribute: Attributes, family: Family): Ip {
  if (attribute.end - attribute.start !== addressLength(family)) throw new MalformedMessage('an address of odd length');
  return readAddress(attribute.buffer, attribute.start, family);
}

/** So many deletions in one send, as their answers must fit what a socket may hold without privileges. */
const deletionsPerSend = 200;

/**
 * Deletes these connections and gives how many there still were; one that is gone, or has made room for another, is no error. Undefined
 * where netlink cannot be used. Throws a NetlinkError, EPERM without CAP_NET_ADMIN.
 */
export async function deleteConntrack(
  entries: readonly ConntrackEntry[],
  { open = openSocket, turns = new Turns() }: ConntrackOptions = {},
): Promise<number | undefined> {
  const transport = open();
  if (transport === undefined) return undefined;
  try {
    let deleted = 0;
    for (let i = 0; i < entries.length; i += deletionsPerSend) {
      deleted += await deleteSome(transport, entries.slice(i, i + deletionsPerSend), i);
      if (turns.isOver) await turns.next();
    }
    return deleted;
  } finally {
    transport.close();
  }
}

async function deleteSome(
  transport: NetlinkTransport,
  entries: readonly ConntrackEntry[],
  sequence: number,
): Promise<number> {
  const writer = new MessageWriter();
  const last = sequence + entries.length - 1;
  for (const [i, entry] of entries.entries()) {
    // Failures are always answered, successes on demand; the last answer says that all are worked off.
    writeDeletion(writer, entry, sequence + i, i === entries.length - 1 ? NLM_F_ACK : 0);
  }
  transport.send(writer.bytes());
  let deleted = entries.length;
  for (;;) {
    const datagram = await receiveSoon(transport, 10_000);
    for (const message of readMessages(datagram)) {
      const answer = readAnswer(message);
      if (answer === undefined) continue;
      if (answer.code === 'ENOENT') deleted--;
      else if (answer.code !== undefined) {
        throw new NetlinkError(answer.code, `netlink: a connection cannot be deleted: ${answer.code}`);
      }
      if (answer.sequence === last) return deleted;
    }
  }
}

function writeDeletion(writer: MessageWriter, entry: ConntrackEntry, sequence: number, flags: number): void {
  const { family, original, id, zone, originalZone } = entry;
  const message = writer.beginMessage(CT_DELETE, NLM_F_REQUEST | flags, sequence, familyNumber[family]);
  const tuple = writer.open(CTA_TUPLE_ORIG);
  const ip = writer.open(CTA_TUPLE_IP);
  writer.bytesOf(family === 'ip' ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, addressBytes(original.src, family));
  writer.bytesOf(family === 'ip' ? CTA_IP_V4_DST : CTA_IP_V6_DST, addressBytes(original.dst, family));
  writer.close(ip);
  const proto = writer.open(CTA_TUPLE_PROTO);
  writer.u8(CTA_PROTO_NUM, protocolNumber[entry.protocol]);
  writer.u16be(CTA_PROTO_SRC_PORT, original.sport);
  writer.u16be(CTA_PROTO_DST_PORT, original.dport);
  writer.close(proto);
  if (originalZone !== 0) writer.u16be(CTA_TUPLE_ZONE, originalZone);
  writer.close(tuple);
  if (zone !== 0) writer.u16be(CTA_ZONE, zone);
  if (id !== undefined) writer.u32be(CTA_ID, id);
  writer.endMessage(message);
}

function addressBytes(ip: Ip, family: Family): Uint8Array {
  const bytes = new Uint8Array(addressLength(family));
  if (!writeAddress(bytes, 0, family, ip)) throw new MalformedMessage(`"${ip}" is no ${family} address`);
  return bytes;
}
