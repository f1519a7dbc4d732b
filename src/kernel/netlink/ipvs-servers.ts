import type { IpvsStep } from '../../ruleset/ipvs/print-step.ts';
import {
  parseVirtualServerKey,
  type RealServer,
  realServerKey,
  type VirtualServerId,
  virtualServerKey,
} from '../../ruleset/ipvs/virtual-server.ts';
import type { Connections, FailedStep, KernelVirtualServer, ServersAccess, TimeoutSeconds } from '../ipvs-kernel.ts';
import { KernelError } from '../kernel.ts';
import { dump, type OpenTransport, Turns } from './dump.ts';
import { MalformedMessage, NetlinkError } from './errors.ts';
import { ask, beginGeneric, findGenericFamily } from './generic.ts';
import * as ipvs from './ipvs-attributes.ts';
import { type FoundRealServer, readRealServer, readService, readTimeouts } from './ipvs-decode.ts';
import { writeQuestion } from './ipvs-encode.ts';
import { ipvsFailure, noIpvs } from './ipvs-failure.ts';
import { carryOut, type IpvsSocket } from './ipvs-write.ts';
import { whyNoLibc } from './libc.ts';
import { type Message, MessageWriter, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST } from './message.ts';
import { NetlinkSocket } from './socket.ts';

const openGeneric: OpenTransport = () => NetlinkSocket.open({ protocol: 'generic' });

/** IPVS by generic netlink: microseconds for what costs a process of ipvsadm milliseconds. */
export class NetlinkServers implements ServersAccess {
  readonly name = 'netlink';
  readonly #open: OpenTransport;

  /** Throws a KernelError: `missing` where netlink cannot be used, `unsupported` where the kernel has no IPVS, `not-permitted`. */
  static async open(open: OpenTransport = openGeneric): Promise<NetlinkServers> {
    const servers = new NetlinkServers(open);
    // Takes the same rights as everything else.
    await servers.readTimeouts();
    return servers;
  }

  private constructor(open: OpenTransport) {
    this.#open = open;
  }

  readVirtualServers(): Promise<ReadonlyMap<string, KernelVirtualServer>> {
    return this.#with(async (socket) => {
      const turns = new Turns();
      const found: KernelVirtualServer[] = [];
      await dumpFrom(socket, turns, undefined, (message) => {
        const server = readService(message);
        if (server !== undefined) found.push(server);
      });
      const servers = new Map<string, KernelVirtualServer>();
      for (const server of found) {
        const realServers = new Map<string, RealServer>();
        const otherOptions = [...server.otherOptions];
        for (const { realServer, otherOption } of await readRealServers(socket, turns, server)) {
          realServers.set(realServerKey(realServer), realServer);
          if (otherOption !== undefined) otherOptions.push(otherOption);
        }
        servers.set(virtualServerKey(server), { ...server, realServers, otherOptions });
      }
      return servers;
    });
  }

  readConnections(keys: Iterable<string>): Promise<Connections> {
    return this.#with(async (socket) => {
      const turns = new Turns();
      const servers = new Map<string, ReadonlyMap<string, number>>();
      for (const key of keys) {
        const server = parseVirtualServerKey(key);
        const found = await readRealServers(socket, turns, server);
        if (found.length === 0) await demandUnderstanding(socket, server);
        const counts = found.filter(({ connections }) => connections > 0);
        const byKey = counts.map(({ realServer, connections }) => [realServerKey(realServer), connections] as const);
        if (byKey.length > 0) servers.set(key, new Map(byKey));
      }
      return servers;
    });
  }

  apply(steps: readonly IpvsStep[]): Promise<readonly FailedStep[]> {
    return this.#with((socket) => carryOut(socket, steps));
  }

  readTimeouts(): Promise<TimeoutSeconds> {
    return this.#with(async ({ transport, type }) => {
      const writer = new MessageWriter(64);
      writeQuestion(writer, { type, command: ipvs.IPVS_CMD_GET_CONFIG, flags: 0 });
      const answer = await ask(transport, writer.bytes());
      if (answer === undefined) throw new MalformedMessage('an answer without timeouts');
      return readTimeouts(answer);
    });
  }

  writeTimeouts([tcp, tcpFin, udp]: TimeoutSeconds): Promise<void> {
    return this.#with(async ({ transport, type }) => {
      const writer = new MessageWriter(64);
      const at = beginGeneric(writer, type, NLM_F_REQUEST | NLM_F_ACK, 1, ipvs.IPVS_CMD_SET_CONFIG);
      writer.u32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP, tcp);
      writer.u32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, tcpFin);
      writer.u32le(ipvs.IPVS_CMD_ATTR_TIMEOUT_UDP, udp);
      writer.endMessage(at);
      await ask(transport, writer.bytes());
    });
  }

  /**
   * A socket for each piece of work, so that an answer which nobody waited for stays with its question; and the family asked for anew,
   * since it gets another number when the module is loaded again. Both together take some 100 µs.
   */
  async #with<T>(work: (socket: IpvsSocket) => Promise<T>): Promise<T> {
    try {
      const transport = this.#open();
      if (transport === undefined) throw new KernelError('missing', `netlink cannot be used: ${whyNoLibc() ?? ''}`);
      try {
        const type = await findGenericFamily(transport, ipvs.ipvsFamilyName);
        if (type === undefined) throw noIpvs();
        return await work({ transport, type });
      } finally {
        transport.close();
      }
    } catch (error) {
      throw ipvsFailure(error);
    }
  }
}

/** Real servers as they stand; none for a virtual server that is gone. */
async function readRealServers(
  socket: IpvsSocket,
  turns: Turns,
  server: VirtualServerId,
): Promise<readonly FoundRealServer[]> {
  const found: FoundRealServer[] = [];
  await dumpFrom(socket, turns, server, (message) => {
    const each = readRealServer(message);
    if (each !== undefined) found.push(each);
  });
  return found;
}

/**
 * A dump of real servers is empty also where the kernel does not understand what is asked (ip_vs_genl_dump_dests), and an endpoint that is
 * thought to have no connections is removed. Asked for the virtual server itself, the kernel says so. Throws a NetlinkError then.
 */
async function demandUnderstanding({ transport, type }: IpvsSocket, server: VirtualServerId): Promise<void> {
  const writer = new MessageWriter(128);
  writeQuestion(writer, { type, command: ipvs.IPVS_CMD_GET_SERVICE, flags: 0 }, server);
  await ask(transport, writer.bytes()).catch((error: unknown) => {
    if (!(error instanceof NetlinkError) || error.code !== 'ESRCH') throw error;
  });
}

async function dumpFrom(
  { transport, type }: IpvsSocket,
  turns: Turns,
  server: VirtualServerId | undefined,
  onMessage: (message: Message) => void,
): Promise<void> {
  const writer = new MessageWriter(128);
  const command = server === undefined ? ipvs.IPVS_CMD_GET_SERVICE : ipvs.IPVS_CMD_GET_DEST;
  writeQuestion(writer, { type, command, flags: NLM_F_DUMP }, server);
  const end = await dump(transport, writer.bytes(), onMessage, { turns, isShort: server !== undefined });
  if (end === 'interrupted') throw new NetlinkError('EINTR', 'netlink: virtual servers changed while they were read');
}
