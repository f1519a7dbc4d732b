import { NetlinkError } from './errors.ts';
import { attributesOf, type Message, MessageWriter, NLM_F_REQUEST, readAnswer, readMessages } from './message.ts';
import { type NetlinkTransport, receiveSoon } from './socket.ts';

// linux/genetlink.h
const GENL_ID_CTRL = 0x10;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

/** Starts a message of generic netlink's; the result is for endMessage. Its header is as long as netfilter's: a command and a version. */
export function beginGeneric(
  writer: MessageWriter,
  type: number,
  flags: number,
  sequence: number,
  command: number,
): number {
  const at = writer.beginMessage(type, flags, sequence, command);
  // All families that we speak are of version 1.
  writer.buffer[at + 17] = 1;
  return at;
}

/** Sends a request and gives the message that answers it; undefined: an ack. Throws a NetlinkError: what the kernel said, or ETIMEDOUT. */
export async function ask(
  transport: NetlinkTransport,
  request: Buffer,
  timeoutMs = 10_000,
): Promise<Message | undefined> {
  transport.send(request);
  for (;;) {
    for (const message of readMessages(await receiveSoon(transport, timeoutMs))) {
      const answer = readAnswer(message);
      if (answer === undefined) return message;
      if (answer.code === undefined) return undefined;
      throw new NetlinkError(answer.code, `netlink: ${answer.code}`);
    }
  }
}

/**
 * The message type of a family of generic netlink, which the kernel deals out as modules are loaded; undefined if it has no such family.
 * It may load the module for it.
 */
export async function findGenericFamily(transport: NetlinkTransport, name: string): Promise<number | undefined> {
  const writer = new MessageWriter(64);
  const at = beginGeneric(writer, GENL_ID_CTRL, NLM_F_REQUEST, 1, CTRL_CMD_GETFAMILY);
  writer.text(CTRL_ATTR_FAMILY_NAME, name);
  writer.endMessage(at);
  try {
    const answer = await ask(transport, writer.bytes());
    for (const attribute = answer && attributesOf(answer); attribute?.next() === true;)
      if (attribute.type === CTRL_ATTR_FAMILY_ID) return attribute.u16le();
    return undefined;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
