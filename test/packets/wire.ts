import { execFile } from 'node:child_process';
import { closeSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Ip } from '../../src/net/ip.ts';
import { protocolNumber } from '../../src/net/protocol.ts';
import { addressBytes, IPPROTO_ICMP, IPPROTO_ICMPV6, parsePacket, parsePayload, type Seen } from './craft.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_RAW,
  LibcError,
  openPacketSocket,
  openRawSocket,
  receive,
  receiveWithAddresses,
  sendFrame,
  sendRaw,
} from './libc.ts';

const execute = promisify(execFile);

const ETHERNET_HEADER = 14;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const deviceMac = '02:00:00:00:00:01';
const wireMac = '02:00:00:00:00:02';
const scratch = Buffer.alloc(65536);

/** Runs `ip` commands, one a line, in this process' network namespace. */
export async function runIp(commands: readonly string[]): Promise<void> {
  const running = execute('ip', ['-batch', '-']);
  running.child.stdin?.end(commands.join('\n') + '\n');
  await running;
}

/** A network device of the node and the far end of its cable, where packets are put in and come out. */
export interface Wire {
  readonly device: string;
  /** Lets the node receive an IP packet on the device. */
  put(packet: Buffer): void;
  /** What the node sent out of the device since the last time. */
  take(): Seen[];
  close(): Promise<void>;
}

/**
 * A veth pair, not a TUN device: that needs no /dev/net/tun, which containers lack and ordinary users often may not open.
 *
 * Both ends are in one namespace. The device resolves no neighbours (arp off) and so addresses all frames to itself: its peer
 * takes them for some other host's and drops them before any hook, and only the packet socket sees them.
 */
export async function openWire(device: string): Promise<Wire> {
  const peer = `${device}-wire`;
  await runIp([
    `link add ${device} address ${deviceMac} type veth peer name ${peer} address ${wireMac}`,
    `link set ${device} addrgenmode none`,
    `link set ${peer} addrgenmode none`,
    `link set ${device} arp off up`,
    `link set ${peer} arp off up`,
  ]);
  const fd = openPacketSocket(peer);
  const header = Buffer.from(`${deviceMac}${wireMac}`.replaceAll(':', ''), 'hex');
  return {
    device,
    put: (packet) => {
      const type = Buffer.alloc(2);
      type.writeUInt16BE((packet[0] ?? 0) >> 4 === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
      sendFrame(fd, Buffer.concat([header, type, packet]));
    },
    take: () =>
      takeAll(
        () => receive(fd, scratch),
        (frame) => parsePacket(frame.subarray(ETHERNET_HEADER)),
      ),
    close: async () => {
      closeSync(fd);
      await runIp([`link del ${device}`]);
    },
  };
}

/** Sends packets from the node itself, with any source address. */
export interface NodeSender {
  send(packet: Buffer, destination: Ip): void;
  close(): void;
}

/** Raw sockets, so that any protocol, address and port can be sent: SCTP too, which the kernel may not know. */
export function openNodeSender(): NodeSender {
  const fd4 = openRawSocket(AF_INET, IPPROTO_RAW);
  const fd6 = openRawSocket(AF_INET6, IPPROTO_RAW);
  return {
    send: (packet, destination) => {
      try {
        sendRaw(destination.includes(':') ? fd6 : fd4, packet, addressBytes(destination));
      } catch (error) {
        // The output hook's verdict drop or reject; what became of the packet is seen elsewhere.
        if (!(error instanceof LibcError && error.code === 'EPERM')) throw error;
      }
    },
    close: () => [fd4, fd6].forEach((fd) => closeSync(fd)),
  };
}

/** Sees what is delivered to the node itself. */
export interface NodeListener {
  take(): Seen[];
  close(): void;
}

/**
 * Raw sockets again: they are given a copy of each packet that has passed the input hook, whether a socket listens on its
 * port or not, so that no table of ours needs to stand beside the tested one.
 */
export function openNodeListener(): NodeListener {
  const transports = Object.values(protocolNumber);
  const fds4 = [IPPROTO_ICMP, ...transports].map((protocol) => openRawSocket(AF_INET, protocol));
  const sockets6 = [IPPROTO_ICMPV6, ...transports].map((protocol) => ({
    protocol,
    fd: openRawSocket(AF_INET6, protocol),
  }));
  return {
    take: () => [
      ...fds4.flatMap((fd) => takeAll(() => receive(fd, scratch), parsePacket)),
      ...sockets6.flatMap(({ fd, protocol }) =>
        takeAll(
          () => receiveWithAddresses(fd, scratch),
          ({ source, destination, payload }) => parsePayload(protocol, source, destination, payload),
        ),
      ),
    ],
    close: () => [...fds4, ...sockets6.map(({ fd }) => fd)].forEach((fd) => closeSync(fd)),
  };
}

function takeAll<T>(next: () => T | undefined, parse: (item: T) => Seen | undefined): Seen[] {
  const seen: Seen[] = [];
  for (let item = next(); item !== undefined; item = next()) {
    const parsed = parse(item);
    if (parsed) seen.push(parsed);
  }
  return seen;
}
