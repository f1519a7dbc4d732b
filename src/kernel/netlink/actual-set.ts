import type { Family } from '../../net/ip.ts';
import { type SetDeclaration, tableName } from '../../ruleset/nftables/ruleset.ts';
import { NetlinkError } from './errors.ts';
import {
  AF_INET,
  AF_INET6,
  attributesOf,
  type Message,
  MessageWriter,
  NLM_F_REQUEST,
  readAnswer,
  readMessages,
} from './message.ts';
import * as nft from './nf-tables.ts';
import { type Layout, layoutOfSet, layoutOfType } from './set-layout.ts';
import { type NetlinkTransport, receiveSoon } from './socket.ts';

export type DataLayout = Layout | 'verdict' | 'none';

/** A set that is in the kernel, and how its elements are to be read. */
export interface ActualSet {
  readonly key: Layout;
  readonly data: DataLayout;
  /** How many elements it holds; undefined where the kernel is too old to say. */
  readonly count: number | undefined;
}

/**
 * Asks the kernel what it knows of a set. Undefined where the set cannot be read by netlink: intervals, or another set than was declared.
 *
 * Throws a NetlinkError; ENOENT: there is no such set.
 */
export async function readActualSet(
  transport: NetlinkTransport,
  family: Family,
  set: SetDeclaration,
): Promise<ActualSet | undefined> {
  const declared = layoutOfSet(set);
  if (declared === undefined) return undefined;
  const actual = await readDeclaration(transport, family, set);
  const isSame = !actual.isInterval && actual.keyLength === declared.key.length;
  const data = isSame ? dataLayout(declared.data, actual) : undefined;
  return data && { key: declared.key, data, count: actual.count };
}

/** What the kernel says of a set. */
interface Declaration {
  readonly isInterval: boolean;
  readonly keyLength: number;
  /** Undefined in a set that is no map. */
  readonly dataType: number | undefined;
  readonly count: number | undefined;
}

/** The data's layout, if the declaration and the kernel's set do not contradict each other. */
function dataLayout(declared: DataLayout | undefined, { dataType }: Declaration): DataLayout | undefined {
  const actual =
    dataType === undefined ? 'none' : dataType === nft.DATA_VERDICT ? ('verdict' as const) : layoutOfType(dataType);
  if (declared === undefined) return actual;
  if (typeof declared === 'string' || typeof actual === 'string') return declared === actual ? actual : undefined;
  return actual?.length === declared.length ? declared : undefined;
}

async function readDeclaration(transport: NetlinkTransport, family: Family, set: SetDeclaration): Promise<Declaration> {
  const writer = new MessageWriter(256);
  writer.endMessage(beginSetRequest(writer, nft.GETSET, NLM_F_REQUEST, family, set));
  transport.send(writer.bytes());
  for (;;) {
    for (const message of readMessages(await receiveSoon(transport, 10_000))) {
      const code = readAnswer(message)?.code;
      if (code !== undefined) throw new NetlinkError(code, `netlink: set ${set.name} cannot be read: ${code}`);
      if (message.type === nft.NEWSET) return parseDeclaration(message);
    }
  }
}

function parseDeclaration(message: Message): Declaration {
  let flags = 0;
  let keyLength = 0;
  let dataType = 0;
  let count: number | undefined;
  for (const attribute = attributesOf(message); attribute.next();) {
    if (attribute.type === nft.SET_FLAGS) flags = attribute.u32be();
    else if (attribute.type === nft.SET_KEY_LEN) keyLength = attribute.u32be();
    else if (attribute.type === nft.SET_DATA_TYPE) dataType = attribute.u32be();
    else if (attribute.type === nft.SET_COUNT) count = attribute.u32be();
  }
  return {
    isInterval: (flags & nft.SET_INTERVAL) !== 0,
    keyLength,
    dataType: (flags & nft.SET_MAP) !== 0 ? dataType : undefined,
    count,
  };
}

/** Starts a request about a set, or about elements of it; the result is for endMessage. */
export function beginSetRequest(
  writer: MessageWriter,
  type: number,
  flags: number,
  family: Family,
  set: SetDeclaration,
  sequence = 1,
): number {
  const at = writer.beginMessage(type, flags, sequence, family === 'ip' ? AF_INET : AF_INET6);
  // In all kinds of request, attribute 1 is the table and 2 the set.
  writer.text(nft.LIST_TABLE, tableName);
  writer.text(nft.LIST_SET, set.name);
  return at;
}
