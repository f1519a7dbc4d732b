import { setTimeout as sleep } from 'node:timers/promises';
import type { Family } from '../../net/ip.ts';
import { type Elements, type SetDeclaration, tableName } from '../../ruleset/nftables/ruleset.ts';
import type { Attributes } from './attributes.ts';
import { dump, type OpenTransport, type Turns } from './dump.ts';
import { NetlinkError } from './errors.ts';
import {
  AF_INET,
  AF_INET6,
  attributesOf,
  type Message,
  MessageWriter,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  readAnswer,
  readMessages,
} from './message.ts';
import * as nft from './nf-tables.ts';
import { type Layout, layoutOfSet, layoutOfType, readText } from './set-layout.ts';
import { type NetlinkTransport, receiveSoon } from './socket.ts';

/** How long to wait before a dump that was interrupted is begun anew; after that it is given up. */
const pausesMs = [0, 20, 100, 300];

/**
 * The elements of one of our sets in the form that `nft -j list` comes to; empty where there is no such set. Undefined where that cannot
 * be told this way: intervals, elements of a kind that we never write, no netlink, or a kernel that changes faster than it can be read.
 *
 * Throws a NetlinkError.
 */
export async function readSetElements(
  open: OpenTransport,
  family: Family,
  set: SetDeclaration,
  turns: Turns,
): Promise<Elements | undefined> {
  try {
    for (const pauseMs of pausesMs) {
      const elements = await tryRead(open, family, set, turns);
      if (elements !== 'interrupted') return elements;
      await sleep(pauseMs);
    }
    // nft does the same, over and over.
    return undefined;
  } catch (error) {
    if (error instanceof OddElement) return undefined;
    if (error instanceof NetlinkError && error.code === 'ENOENT') return new Map();
    throw error;
  }
}

/** An element of a kind that none of our sets has. */
class OddElement extends Error {}
/** An element that came a second time. */
class Repeated extends Error {}

async function tryRead(
  open: OpenTransport,
  family: Family,
  set: SetDeclaration,
  turns: Turns,
): Promise<Elements | 'interrupted' | undefined> {
  const declared = layoutOfSet(set);
  const transport = declared && open();
  if (declared === undefined || transport === undefined) return undefined;
  try {
    const actual = await readDeclaration(transport, family, set);
    const isSame = !actual.isInterval && actual.keyLength === declared.key.length;
    const data = isSame ? dataLayout(declared.data, actual) : undefined;
    if (data === undefined) return undefined;
    const elements = new Map<string, string>();
    let count = 0;
    const read = (message: Message) => {
      count += readMessageElements(message, declared.key, data, elements);
      // While a hash table grows, which takes a while after many additions, its order changes between two parts of a dump. The kernel
      // does not say so, but counts on in the new order: as many elements are missing as come twice.
      if (count > elements.size) throw new Repeated();
    };
    const request = setRequest(nft.GETSETELEM, NLM_F_REQUEST | NLM_F_DUMP, family, set);
    return (await dump(transport, request, read, { turns })) === 'complete' ? elements : 'interrupted';
  } catch (error) {
    if (error instanceof Repeated) return 'interrupted';
    throw error;
  } finally {
    transport.close();
  }
}

type DataLayout = Layout | 'verdict' | 'none';

/** What the kernel says of a set. */
interface ActualSet {
  readonly isInterval: boolean;
  readonly keyLength: number;
  /** Undefined in a set that is no map. */
  readonly dataType: number | undefined;
}

/** The data's layout, if the declaration and the kernel's set do not contradict each other. */
function dataLayout(declared: DataLayout | undefined, { dataType }: ActualSet): DataLayout | undefined {
  const actual =
    dataType === undefined ? 'none' : dataType === nft.DATA_VERDICT ? ('verdict' as const) : layoutOfType(dataType);
  if (declared === undefined) return actual;
  if (typeof declared === 'string' || typeof actual === 'string') return declared === actual ? actual : undefined;
  return actual?.length === declared.length ? declared : undefined;
}

async function readDeclaration(transport: NetlinkTransport, family: Family, set: SetDeclaration): Promise<ActualSet> {
  transport.send(setRequest(nft.GETSET, NLM_F_REQUEST, family, set));
  for (;;) {
    for (const message of readMessages(await receiveSoon(transport, 10_000))) {
      const code = readAnswer(message)?.code;
      if (code !== undefined) throw new NetlinkError(code, `netlink: set ${set.name} cannot be read: ${code}`);
      if (message.type === nft.NEWSET) return parseDeclaration(message);
    }
  }
}

function parseDeclaration(message: Message): ActualSet {
  let flags = 0;
  let keyLength = 0;
  let dataType = 0;
  for (const attribute = attributesOf(message); attribute.next();) {
    if (attribute.type === nft.SET_FLAGS) flags = attribute.u32be();
    else if (attribute.type === nft.SET_KEY_LEN) keyLength = attribute.u32be();
    else if (attribute.type === nft.SET_DATA_TYPE) dataType = attribute.u32be();
  }
  return {
    isInterval: (flags & nft.SET_INTERVAL) !== 0,
    keyLength,
    dataType: (flags & nft.SET_MAP) !== 0 ? dataType : undefined,
  };
}

function setRequest(type: number, flags: number, family: Family, set: SetDeclaration): Uint8Array {
  const writer = new MessageWriter(256);
  const message = writer.beginMessage(type, flags, 1, family === 'ip' ? AF_INET : AF_INET6);
  // In both kinds of request, attribute 1 is the table and 2 the set.
  writer.text(nft.LIST_TABLE, tableName);
  writer.text(nft.LIST_SET, set.name);
  writer.endMessage(message);
  return writer.bytes();
}

/** How many elements the message has, which are put into the map. */
function readMessageElements(message: Message, key: Layout, data: DataLayout, into: Map<string, string>): number {
  let count = 0;
  if (message.type !== nft.NEWSETELEM) return count;
  for (const attribute = attributesOf(message); attribute.next();) {
    if (attribute.type !== nft.LIST_ELEMENTS) continue;
    for (const element = attribute.nested(); element.next(); count++) readElement(element.nested(), key, data, into);
  }
  return count;
}

function readElement(attributes: Attributes, key: Layout, data: DataLayout, into: Map<string, string>): void {
  let keyText: string | undefined;
  let value = data === 'none' ? '' : undefined;
  while (attributes.next()) {
    // Without a key: what stands for all other keys.
    if (attributes.type === nft.ELEM_FLAGS && attributes.u32be() !== 0) throw new OddElement();
    if (attributes.type === nft.ELEM_KEY) keyText = readValue(attributes, key);
    else if (attributes.type === nft.ELEM_DATA && data !== 'none') {
      value = data === 'verdict' ? readVerdict(attributes) : readValue(attributes, data);
    }
  }
  if (keyText === undefined || value === undefined) throw new OddElement();
  into.set(keyText, value);
}

function readValue(attribute: Attributes, layout: Layout): string {
  const value = attribute.nested();
  if (!value.next() || value.type !== nft.DATA_VALUE || value.end - value.start !== layout.length)
    throw new OddElement();
  return readText(value.buffer, value.start, layout);
}

function readVerdict(attribute: Attributes): string {
  const data = attribute.nested();
  if (!data.next() || data.type !== nft.DATA_VERDICT_ATTRIBUTE) throw new OddElement();
  let code: number | undefined;
  let chain = '';
  for (const part = data.nested(); part.next();) {
    if (part.type === nft.VERDICT_CODE) code = part.u32be() | 0;
    else if (part.type === nft.VERDICT_CHAIN) chain = part.text();
  }
  if (code === nft.verdictCodes.goto) return `goto ${chain}`;
  for (const verdict of ['drop', 'return', 'accept'] as const) if (code === nft.verdictCodes[verdict]) return verdict;
  throw new OddElement();
}
