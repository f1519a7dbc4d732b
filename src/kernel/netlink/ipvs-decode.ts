import { type Family, familyOf, type Ip } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import { type Protocol, protocolNumber, protocols } from '../../net/protocol.ts';
import { realServerPrefix } from '../../ruleset/ipvs/parse-save.ts';
import type { RealServer } from '../../ruleset/ipvs/virtual-server.ts';
import type { KernelVirtualServer } from '../ipvs-kernel.ts';
import { addressLength, readAddress } from './address-bytes.ts';
import type { Attributes } from './attributes.ts';
import { MalformedMessage } from './errors.ts';
import * as ipvs from './ipvs-attributes.ts';
import { AF_INET, AF_INET6, attributesOf, type Message } from './message.ts';

/** A real server of a dump. */
export interface FoundRealServer {
  readonly realServer: RealServer;
  /** Active and inactive ones together. */
  readonly connections: number;
  /** What none of ours has, with its name before it, e.g. `-r 10.244.1.5:8080 -g`. */
  readonly otherOption: string | undefined;
}

/**
 * The virtual server that a message of a dump tells of, without its real servers. Undefined for one by firewall mark, of a protocol that
 * no Service has, and of an IPv4-mapped address, which to the kernel is another one than the IPv4 address. Throws MalformedMessage.
 */
export function readService(message: Message): KernelVirtualServer | undefined {
  const service = find(message, ipvs.IPVS_CMD_ATTR_SERVICE);
  if (service === undefined) return undefined;
  const found: Draft = { scheduler: '', flags: 0, timeout: 0, netmask: 0, engine: '' };
  let address: Buffer | undefined;
  while (service.next()) {
    if (service.type === ipvs.IPVS_SVC_ATTR_ADDR) address = service.bytes();
    else readServiceAttribute(service, found);
  }
  const { family, protocol, port, scheduler, flags } = found;
  const ip = family && address && ipOf(address, family);
  if (ip === undefined || protocol === undefined || port === undefined) return undefined;
  const isPersistent = (flags & ipvs.IP_VS_SVC_F_PERSISTENT) !== 0;
  return {
    protocol,
    ip,
    port: port as Port,
    scheduler,
    schedulerFlags: ipvs
      .schedulerFlagNames(scheduler)
      .filter((_, i) => (flags & (ipvs.IP_VS_SVC_F_SCHED1 << i)) !== 0)
      .sort(),
    ...(isPersistent && { persistenceSeconds: found.timeout }),
    realServers: new Map(),
    otherOptions: otherOptions(found, isPersistent),
  };
}

interface Draft {
  family?: Family | undefined;
  protocol?: Protocol | undefined;
  port?: number;
  scheduler: string;
  flags: number;
  timeout: number;
  netmask: number;
  engine: string;
}

function readServiceAttribute(attribute: Attributes, found: Draft): void {
  switch (attribute.type) {
    case ipvs.IPVS_SVC_ATTR_AF:
      found.family = readFamily(attribute);
      return;
    case ipvs.IPVS_SVC_ATTR_PROTOCOL: {
      const number = attribute.u16le();
      found.protocol = protocols.find((each) => protocolNumber[each] === number);
      return;
    }
    case ipvs.IPVS_SVC_ATTR_PORT:
      found.port = attribute.u16be();
      return;
    case ipvs.IPVS_SVC_ATTR_SCHED_NAME:
      found.scheduler = attribute.text();
      return;
    case ipvs.IPVS_SVC_ATTR_FLAGS:
      if (attribute.end - attribute.start !== 8) throw new MalformedMessage('flags of odd length');
      found.flags = attribute.buffer.readUInt32LE(attribute.start);
      return;
    case ipvs.IPVS_SVC_ATTR_TIMEOUT:
      found.timeout = attribute.u32le();
      return;
    case ipvs.IPVS_SVC_ATTR_NETMASK:
      found.netmask = attribute.u32le();
      return;
    case ipvs.IPVS_SVC_ATTR_PE_NAME:
      found.engine = attribute.text();
  }
}

/** As `ipvsadm --save` prints them, which has what belongs to persistence only where there is some. */
function otherOptions({ family = 'ip', flags, netmask, engine }: Draft, isPersistent: boolean): readonly string[] {
  const options: string[] = [];
  if (isPersistent && netmask !== ipvs.wholeNetmask[family])
    options.push(`-M ${family === 'ip' ? ipv4Text(netmask) : netmask}`);
  if (isPersistent && engine !== '') options.push(`--pe ${engine}`);
  if ((flags & ipvs.IP_VS_SVC_F_ONEPACKET) !== 0) options.push('-o');
  return options;
}

const ipv4Text = (mask: number) => [0, 8, 16, 24].map((shift) => (mask >>> shift) & 0xff).join('.');

const methods: Readonly<Record<number, string>> = { 2: '-i', 3: '-g' };
const tunnels: Readonly<Record<number, string>> = { 0: 'ipip', 1: 'gue', 2: 'gre' };

/** The real server that a message of a dump tells of; undefined for one of an IPv4-mapped address, as in readService. Throws MalformedMessage. */
export function readRealServer(message: Message): FoundRealServer | undefined {
  const dest = find(message, ipvs.IPVS_CMD_ATTR_DEST);
  let family: Family | undefined;
  let address: Buffer | undefined;
  let port: number | undefined;
  const found = { weight: 0, method: 0, tunnel: 0, connections: 0, upper: 0, lower: 0 };
  while (dest?.next() === true) {
    if (dest.type === ipvs.IPVS_DEST_ATTR_ADDR_FAMILY) family = readFamily(dest);
    else if (dest.type === ipvs.IPVS_DEST_ATTR_ADDR) address = dest.bytes();
    else if (dest.type === ipvs.IPVS_DEST_ATTR_PORT) port = dest.u16be();
    else if (dest.type === ipvs.IPVS_DEST_ATTR_FWD_METHOD) found.method = dest.u32le() & ipvs.IP_VS_CONN_F_FWD_MASK;
    else if (dest.type === ipvs.IPVS_DEST_ATTR_WEIGHT) found.weight = dest.u32le();
    else if (dest.type === ipvs.IPVS_DEST_ATTR_TUN_TYPE) found.tunnel = dest.u8();
    else if (dest.type === ipvs.IPVS_DEST_ATTR_U_THRESH) found.upper = dest.u32le();
    else if (dest.type === ipvs.IPVS_DEST_ATTR_L_THRESH) found.lower = dest.u32le();
    else if (dest.type === ipvs.IPVS_DEST_ATTR_ACTIVE_CONNS || dest.type === ipvs.IPVS_DEST_ATTR_INACT_CONNS)
      found.connections += dest.u32le();
  }
  // Passed over, it would be one without connections.
  if (family === undefined || address === undefined || port === undefined)
    throw new MalformedMessage('a real server without an address');
  const ip = ipOf(address, family);
  if (ip === undefined) return undefined;
  const { weight, connections } = found;
  const realServer = { ip, port: port as Port, weight };
  const others = otherWords(found);
  return { realServer, connections, otherOption: others && `${realServerPrefix(realServer)}${others}` };
}

function otherWords(found: Record<'method' | 'tunnel' | 'upper' | 'lower', number>): string | undefined {
  const { method, tunnel, upper, lower } = found;
  const words: string[] = [];
  if (method !== ipvs.IP_VS_CONN_F_MASQ) words.push(methods[method] ?? `method ${method}`);
  if (method === ipvs.IP_VS_CONN_F_TUNNEL) words.push(`--tun-type ${tunnels[tunnel] ?? tunnel}`);
  if (upper !== 0) words.push(`-x ${upper}`);
  if (lower !== 0) words.push(`-y ${lower}`);
  return words.length === 0 ? undefined : words.join(' ');
}

function find(message: Message, type: number): Attributes | undefined {
  for (const attribute = attributesOf(message); attribute.next();)
    if (attribute.type === type) return attribute.nested();
  return undefined;
}

function readFamily(attribute: Attributes): Family | undefined {
  const number = attribute.u16le();
  return number === AF_INET ? 'ip' : number === AF_INET6 ? 'ip6' : undefined;
}

/** Undefined for an address whose canonical form is of the other family. */
function ipOf(address: Buffer, family: Family): Ip | undefined {
  if (address.length < addressLength(family)) throw new MalformedMessage('an address is cut off');
  const ip = readAddress(address, 0, family);
  return familyOf(ip) === family ? ip : undefined;
}

/** Seconds, from the answer to a request for IPVS's configuration. */
export function readTimeouts(message: Message): readonly [tcp: number, tcpFin: number, udp: number] {
  const seconds: [number, number, number] = [0, 0, 0];
  for (const attribute = attributesOf(message); attribute.next();) {
    const place = attribute.type - ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP;
    if (place >= 0 && place < 3) seconds[place] = attribute.u32le();
  }
  return seconds;
}
