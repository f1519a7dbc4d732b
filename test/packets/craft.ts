import ipaddr from 'ipaddr.js';
import { type Ip, parseIp } from '../../src/net/ip.ts';
import { type Protocol, protocolNumber, protocols } from '../../src/net/protocol.ts';
import { crc32c, internetChecksum } from './checksums.ts';

/** The first packet of a connection: a TCP SYN, a UDP datagram or an SCTP INIT. */
export interface Flow {
  readonly protocol: Protocol;
  readonly source: Ip;
  readonly sourcePort: number;
  readonly destination: Ip;
  readonly destinationPort: number;
  /** 32 bits that no NAT changes: in the payload of UDP, the sequence number of TCP, the initiate tag of SCTP. */
  readonly id: number;
}

/** What a packet says that a playground sees: a flow's packet, or an answer to the packet of the flow with that id. */
export type Seen =
  | { readonly kind: 'flow'; readonly flow: Flow }
  | { readonly kind: 'unreachable'; readonly id: number }
  | { readonly kind: 'reset'; readonly id: number };

export const IPPROTO_ICMP = 1;
export const IPPROTO_ICMPV6 = 58;

const ICMP_DESTINATION_UNREACHABLE = 3;
const ICMPV6_DESTINATION_UNREACHABLE = 1;
const TCP_SYN = 0x02;
const TCP_RST = 0x04;
const TCP_ACK = 0x10;
const SCTP_INIT = 1;
// Tells our datagrams from any others that the kernel may send.
const udpMark = Buffer.from('flow');

/** An endpoint in the form `10.244.1.5:80` or `[fd00::5]:80`, the address in canonical text. */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Reads `10.96.0.10:53/udp` or `[fd00::a]:53`; TCP if no protocol is named. */
export function parseEndpoint(text: string): { address: Ip; port: number; protocol: Protocol } {
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<v4>[\d.]+)):(?<port>\d+)(?:\/(?<protocol>\w+))?$/.exec(text);
  const address = parseIp(match?.groups?.['v6'] ?? match?.groups?.['v4'] ?? '');
  const name = (match?.groups?.['protocol'] ?? 'tcp').toLowerCase();
  const protocol = protocols.find((known) => known === name);
  const port = Number(match?.groups?.['port']);
  if (!address || !protocol || !(port <= 0xffff)) throw new Error(`not an address with port and protocol: ${text}`);
  return { address, port, protocol };
}

/** The address in network byte order: 4 or 16 bytes. */
export function addressBytes(address: Ip): Buffer {
  return Buffer.from(ipaddr.parse(address).toByteArray());
}

/** The address of 4 or 16 bytes in canonical text. */
export function addressText(bytes: Uint8Array): Ip {
  const text = ipaddr.fromByteArray([...bytes]).toString();
  // An IPv4-mapped address must stay the IPv6 address that stands in the packet: parseIp would make it IPv4.
  return parseIp(text.startsWith('::ffff:') ? '' : text) ?? (text as Ip);
}

/** The whole IP packet, all checksums right. */
export function craftPacket(flow: Flow): Buffer {
  const source = addressBytes(flow.source);
  const destination = addressBytes(flow.destination);
  if (source.length !== destination.length) {
    throw new Error(`a packet from ${flow.source} to ${flow.destination}: two address families`);
  }
  const segment = craftSegment(flow, source, destination);
  const header = source.length === 4 ? ipv4Header(flow, segment) : ipv6Header(flow, segment);
  source.copy(header, source.length === 4 ? 12 : 8);
  destination.copy(header, source.length === 4 ? 16 : 24);
  if (source.length === 4) header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, segment]);
}

function ipv4Header(flow: Flow, segment: Buffer): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(header.length + segment.length, 2);
  header.writeUInt16BE(flow.id & 0xffff, 4);
  header[8] = 64;
  header[9] = protocolNumber[flow.protocol];
  return header;
}

function ipv6Header(flow: Flow, segment: Buffer): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(segment.length, 4);
  header[6] = protocolNumber[flow.protocol];
  header[7] = 64;
  return header;
}

function craftSegment(flow: Flow, source: Buffer, destination: Buffer): Buffer {
  const segment = { tcp: tcpSyn, udp: udpDatagram, sctp: sctpInit }[flow.protocol](flow);
  if (flow.protocol === 'sctp') {
    segment.writeUInt32LE(crc32c(segment), 8);
    return segment;
  }
  const pseudoHeader = Buffer.alloc(8);
  pseudoHeader.writeUInt32BE(segment.length, 0);
  pseudoHeader[7] = protocolNumber[flow.protocol];
  const checksum = internetChecksum(source, destination, pseudoHeader, segment);
  // UDP's 0 means that there is no checksum; 0xffff is the other way to write it.
  segment.writeUInt16BE(
    checksum === 0 && flow.protocol === 'udp' ? 0xffff : checksum,
    flow.protocol === 'udp' ? 6 : 16,
  );
  return segment;
}

function tcpSyn(flow: Flow): Buffer {
  const segment = withPorts(20, flow);
  segment.writeUInt32BE(flow.id, 4);
  segment[12] = 5 << 4;
  segment[13] = TCP_SYN;
  segment.writeUInt16BE(0xffff, 14);
  return segment;
}

function udpDatagram(flow: Flow): Buffer {
  const segment = withPorts(16, flow);
  segment.writeUInt16BE(segment.length, 4);
  udpMark.copy(segment, 8);
  segment.writeUInt32BE(flow.id, 12);
  return segment;
}

function sctpInit(flow: Flow): Buffer {
  const segment = withPorts(32, flow);
  segment[12] = SCTP_INIT;
  segment.writeUInt16BE(20, 14);
  segment.writeUInt32BE(flow.id, 16);
  segment.writeUInt32BE(0xffff, 20);
  segment.writeUInt16BE(1, 24);
  segment.writeUInt16BE(1, 26);
  segment.writeUInt32BE(flow.id, 28);
  return segment;
}

function withPorts(length: number, flow: Flow): Buffer {
  const segment = Buffer.alloc(length);
  segment.writeUInt16BE(flow.sourcePort, 0);
  segment.writeUInt16BE(flow.destinationPort, 2);
  return segment;
}

/** What an IP packet says, undefined if it has nothing to do with our flows. */
export function parsePacket(packet: Buffer): Seen | undefined {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4 && packet.length >= 20) {
    const payload = packet.subarray(((packet[0] ?? 0) & 0xf) * 4);
    return parsePayload(packet[9] ?? 0, packet.subarray(12, 16), packet.subarray(16, 20), payload);
  }
  if (version === 6 && packet.length >= 40) {
    return parsePayload(packet[6] ?? 0, packet.subarray(8, 24), packet.subarray(24, 40), packet.subarray(40));
  }
  return undefined;
}

/** As parsePacket, for a payload whose IP header was taken off already. */
export function parsePayload(
  number: number,
  source: Uint8Array,
  destination: Uint8Array,
  payload: Buffer,
): Seen | undefined {
  if (number === IPPROTO_ICMP) return parseError(payload, ICMP_DESTINATION_UNREACHABLE);
  if (number === IPPROTO_ICMPV6) return parseError(payload, ICMPV6_DESTINATION_UNREACHABLE);
  const protocol = protocols.find((known) => protocolNumber[known] === number);
  if (!protocol || payload.length < 16) return undefined;
  if (protocol === 'tcp' && ((payload[13] ?? 0) & (TCP_RST | TCP_ACK)) === (TCP_RST | TCP_ACK)) {
    // A reset acknowledges the SYN, which takes one sequence number.
    return { kind: 'reset', id: (payload.readUInt32BE(8) - 1) >>> 0 };
  }
  const id = { tcp: synId, udp: datagramId, sctp: initId }[protocol](payload);
  if (id === undefined) return undefined;
  const flow: Flow = {
    protocol,
    source: addressText(source),
    sourcePort: payload.readUInt16BE(0),
    destination: addressText(destination),
    destinationPort: payload.readUInt16BE(2),
    id,
  };
  return { kind: 'flow', flow };
}

function parseError(message: Buffer, unreachable: number): Seen | undefined {
  if (message[0] !== unreachable) return undefined;
  const quoted = parsePacket(message.subarray(8));
  return quoted?.kind === 'flow' ? { kind: 'unreachable', id: quoted.flow.id } : undefined;
}

function synId(segment: Buffer): number | undefined {
  return segment[13] === TCP_SYN ? segment.readUInt32BE(4) : undefined;
}

function datagramId(segment: Buffer): number | undefined {
  return segment.subarray(8, 12).equals(udpMark) ? segment.readUInt32BE(12) : undefined;
}

function initId(segment: Buffer): number | undefined {
  return segment[12] === SCTP_INIT && segment.length >= 20 ? segment.readUInt32BE(16) : undefined;
}
