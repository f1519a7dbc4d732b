import { familyOf, type Ip } from '../../net/ip.ts';
import { protocolNumber } from '../../net/protocol.ts';
import type { IpvsStep } from '../../ruleset/ipvs/print-step.ts';
import {
  type RealServer,
  type Scheduling,
  serverFamily,
  type VirtualServerId,
} from '../../ruleset/ipvs/virtual-server.ts';
import { writeAddress } from './address-bytes.ts';
import { MalformedMessage } from './errors.ts';
import { beginGeneric } from './generic.ts';
import * as ipvs from './ipvs-attributes.ts';
import { type MessageWriter, NLM_F_REQUEST } from './message.ts';

const commands = {
  'virtual-server': {
    add: ipvs.IPVS_CMD_NEW_SERVICE,
    edit: ipvs.IPVS_CMD_SET_SERVICE,
    delete: ipvs.IPVS_CMD_DEL_SERVICE,
  },
  'real-server': { add: ipvs.IPVS_CMD_NEW_DEST, edit: ipvs.IPVS_CMD_SET_DEST, delete: ipvs.IPVS_CMD_DEL_DEST },
} as const;

/** Writes the step as a message. `type`: of the family IPVS, see findGenericFamily. Throws MalformedMessage for what is no address. */
export function writeStep(
  writer: MessageWriter,
  step: IpvsStep,
  request: { readonly type: number; readonly sequence: number; readonly flags: number },
): void {
  const { type, sequence, flags } = request;
  const command = commands[step.kind][step.verb];
  const message = beginGeneric(writer, type, NLM_F_REQUEST | flags, sequence, command);
  const isScheduled = step.kind === 'virtual-server' && step.verb !== 'delete';
  writeServer(writer, step.server, isScheduled ? step.scheduling : undefined);
  if (step.kind === 'real-server') writeRealServer(writer, step.realServer, step.verb !== 'delete');
  writer.endMessage(message);
}

/** Writes a request that changes nothing, about one virtual server or none. */
export function writeQuestion(
  writer: MessageWriter,
  request: { readonly type: number; readonly command: number; readonly flags: number },
  server?: VirtualServerId,
): void {
  const { type, command, flags } = request;
  const message = beginGeneric(writer, type, NLM_F_REQUEST | flags, 1, command);
  if (server !== undefined) writeServer(writer, server, undefined);
  writer.endMessage(message);
}

function writeServer(writer: MessageWriter, server: VirtualServerId, scheduling: Scheduling | undefined): void {
  const service = writer.open(ipvs.IPVS_CMD_ATTR_SERVICE);
  writer.u16le(ipvs.IPVS_SVC_ATTR_AF, ipvs.familyNumber[serverFamily(server)]);
  writer.u16le(ipvs.IPVS_SVC_ATTR_PROTOCOL, protocolNumber[server.protocol]);
  writeIp(writer, ipvs.IPVS_SVC_ATTR_ADDR, server.ip);
  writer.u16be(ipvs.IPVS_SVC_ATTR_PORT, server.port);
  if (scheduling !== undefined) writeScheduling(writer, server, scheduling);
  writer.close(service);
}

function writeScheduling(writer: MessageWriter, server: VirtualServerId, scheduling: Scheduling): void {
  const { scheduler, schedulerFlags, persistenceSeconds = 0 } = scheduling;
  const names = ipvs.schedulerFlagNames(scheduler);
  let flags = persistenceSeconds > 0 ? ipvs.IP_VS_SVC_F_PERSISTENT : 0;
  for (const flag of schedulerFlags) {
    const own = names.indexOf(flag);
    // By number they can be given to every scheduler.
    flags |= ipvs.IP_VS_SVC_F_SCHED1 << (own < 0 ? ['flag-1', 'flag-2', 'flag-3'].indexOf(flag) : own);
  }
  writer.text(ipvs.IPVS_SVC_ATTR_SCHED_NAME, scheduler);
  const at = writer.blank(ipvs.IPVS_SVC_ATTR_FLAGS, 8);
  writer.buffer.writeUInt32LE(flags, at);
  writer.buffer.writeUInt32LE(0xffff_ffff, at + 4);
  writer.u32le(ipvs.IPVS_SVC_ATTR_TIMEOUT, persistenceSeconds);
  writer.u32le(ipvs.IPVS_SVC_ATTR_NETMASK, ipvs.wholeNetmask[serverFamily(server)]);
}

function writeRealServer(writer: MessageWriter, { ip, port, weight }: RealServer, isWhole: boolean): void {
  const dest = writer.open(ipvs.IPVS_CMD_ATTR_DEST);
  writer.u16le(ipvs.IPVS_DEST_ATTR_ADDR_FAMILY, ipvs.familyNumber[familyOf(ip)]);
  writeIp(writer, ipvs.IPVS_DEST_ATTR_ADDR, ip);
  writer.u16be(ipvs.IPVS_DEST_ATTR_PORT, port);
  if (isWhole) {
    writer.u32le(ipvs.IPVS_DEST_ATTR_FWD_METHOD, ipvs.IP_VS_CONN_F_MASQ);
    writer.u32le(ipvs.IPVS_DEST_ATTR_WEIGHT, weight);
    // The kernel insists on thresholds; 0 is none.
    writer.u32le(ipvs.IPVS_DEST_ATTR_U_THRESH, 0);
    writer.u32le(ipvs.IPVS_DEST_ATTR_L_THRESH, 0);
  }
  writer.close(dest);
}

function writeIp(writer: MessageWriter, type: number, ip: Ip): void {
  const at = writer.blank(type, ipvs.addressBytes);
  if (!writeAddress(writer.buffer, at, familyOf(ip), ip)) throw new MalformedMessage(`"${ip}" is no address`);
}
