import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import ipaddr from 'ipaddr.js';
import { type Ip, parseIp } from '../../src/net/ip.ts';
import { craftPacket, type Flow, formatEndpoint, parseEndpoint, type Seen } from './craft.ts';
import type { Outcome } from './outcome.ts';
import type { PacketSpec } from './packets-file.ts';
import {
  type NodeListener,
  type NodeSender,
  openNodeListener,
  openNodeSender,
  openWire,
  runIp,
  type Wire,
} from './wire.ts';

export type { Outcome } from './outcome.ts';

/** The part of a PacketSpec that says what to send. */
export type Shot = Pick<PacketSpec, 'from' | 'via' | 'to'>;

export interface PlaygroundOptions {
  /** The node's addresses on eth0; loopback addresses and those of cni0 may be among them and are there anyway. */
  readonly nodeAddresses: readonly string[];
  /** How long nothing must happen until what was not seen is taken for dropped; default 50. An emulated machine needs more. */
  readonly quietMs?: number;
}

const podNetworks = ['10.244.1.0/24', 'fd00:10:244:1::/64'] as const;
const podGateways = ['10.244.1.1', 'fd00:10:244:1::1'] as const;
// A packet is handled within the system call that sends it; only a busy machine puts it off.
const defaultQuietMs = 50;
const pollMs = 2;
// Packets wait in socket buffers of about 200 KB; each takes nearly 1 KB there however short it is.
const drainEvery = 32;
const firstPort = 20000;
const lastPort = 60000;

const sysctls: Readonly<Record<string, string>> = {
  'net/ipv4/ip_forward': '1',
  'net/ipv6/conf/all/disable_ipv6': '0',
  'net/ipv6/conf/default/disable_ipv6': '0',
  'net/ipv6/conf/all/forwarding': '1',
  'net/ipv6/conf/default/forwarding': '1',
  'net/ipv6/conf/default/accept_dad': '0',
  'net/ipv4/conf/all/rp_filter': '0',
  'net/ipv4/conf/default/rp_filter': '0',
  'net/ipv4/conf/all/accept_local': '1',
  'net/ipv4/conf/all/send_redirects': '0',
  'net/ipv4/conf/default/send_redirects': '0',
  // No kind of error is rate-limited that rejecting a packet makes. The masks count per namespace and spare the global limit too.
  'net/ipv4/icmp_ratemask': '0',
  'net/ipv6/icmp/ratemask': '2',
};

/**
 * A node in the network namespace that this process is in already, with cables to its pods (cni0) and to everything else
 * (eth0). Packets put in there, or sent by the node, go through whatever ruleset the namespace has loaded.
 *
 * No state needs to be cleared between packets: each flow has a source port of its own.
 */
export class Playground {
  readonly #wires: { readonly cni0: Wire; readonly eth0: Wire };
  readonly #sender: NodeSender;
  readonly #listener: NodeListener;
  readonly #quietMs: number;
  #nodeAddresses: ReadonlySet<string> = new Set();
  #eth0Addresses: readonly Ip[] = [];
  #count = 0;

  private constructor(wires: { readonly cni0: Wire; readonly eth0: Wire }, quietMs: number) {
    this.#wires = wires;
    this.#quietMs = quietMs;
    this.#sender = openNodeSender();
    this.#listener = openNodeListener();
  }

  /** Sets the namespace up: devices, addresses, routes and forwarding. The namespace must be fresh. */
  static async open(options: PlaygroundOptions): Promise<Playground> {
    for (const [name, value] of Object.entries(sysctls)) writeFileSync(`/proc/sys/${name}`, value);
    await runIp(['link set lo up']);
    const wires = { cni0: await openWire('cni0'), eth0: await openWire('eth0') };
    const playground = new Playground(wires, options.quietMs ?? defaultQuietMs);
    await runIp(podGateways.map((address, i) => `addr add ${address}/${podNetworks[i]?.split('/')[1]} dev cni0 nodad`));
    await playground.setNodeAddresses(options.nodeAddresses);
    return playground;
  }

  /** Replaces the addresses on eth0, so that one namespace serves for several nodes. */
  async setNodeAddresses(addresses: readonly string[]): Promise<void> {
    const given = addresses.map(toIp);
    const onEth0 = given.filter((ip) => ipaddr.parse(ip).range() !== 'loopback' && !isPodAddress(ip));
    await runIp([
      'addr flush dev eth0',
      ...onEth0.map((ip) => (ip.includes(':') ? `addr add ${ip}/64 dev eth0 nodad` : `addr add ${ip}/24 dev eth0`)),
      // The kernel removes a device's routes with its last address.
      'route replace default dev eth0',
      'route replace ::/0 dev eth0',
    ]);
    this.#eth0Addresses = onEth0;
    this.#nodeAddresses = new Set([...given, ...podGateways, '127.0.0.1', '::1']);
  }

  /** Sends one packet each, in order, and tells what became of it. */
  async send(shots: readonly Shot[]): Promise<Outcome[]> {
    const flows = shots.map((shot) => this.#nextFlow(shot));
    const outcomes = new Map<number, Outcome>();
    for (const [i, flow] of flows.entries()) {
      this.#put(flow, shots[i]?.via ?? this.#defaultVia(flow.source));
      if (i % drainEvery === drainEvery - 1) this.#observe(outcomes);
    }
    await this.#settle(flows, outcomes);
    return flows.map((flow) => outcomes.get(flow.id) ?? { kind: 'silent' });
  }

  /** Removes the devices. */
  async close(): Promise<void> {
    this.#sender.close();
    this.#listener.close();
    await this.#wires.cni0.close();
    await this.#wires.eth0.close();
  }

  #nextFlow(shot: Shot): Flow {
    const { address, port, protocol } = parseEndpoint(shot.to);
    const n = this.#count++;
    return {
      protocol,
      source: toIp(shot.from),
      sourcePort: firstPort + (n % (lastPort - firstPort)),
      destination: address,
      destinationPort: port,
      id: 0x40000000 + (n % 0x40000000),
    };
  }

  #defaultVia(source: Ip): 'pods' | 'outside' | 'node' {
    if (this.#nodeAddresses.has(source)) return 'node';
    return isPodAddress(source) ? 'pods' : 'outside';
  }

  #put(flow: Flow, via: 'pods' | 'outside' | 'node'): void {
    const packet = craftPacket(flow);
    if (via === 'node') this.#sender.send(packet, flow.destination);
    else this.#wires[via === 'pods' ? 'cni0' : 'eth0'].put(packet);
  }

  // Silence means dropped only after all others are accounted for, or after a while without anything new.
  async #settle(flows: readonly Flow[], outcomes: Map<number, Outcome>): Promise<void> {
    let lastNews = performance.now();
    while (performance.now() - lastNews < this.#quietMs) {
      if (this.#observe(outcomes)) lastNews = performance.now();
      if (flows.every((flow) => outcomes.has(flow.id))) break;
      await sleep(pollMs);
    }
  }

  // The listener comes last: where the node answers a packet that was delivered, the delivery is then seen no later than the answer.
  #observe(outcomes: Map<number, Outcome>): boolean {
    const observed = [
      ...this.#wires.cni0.take().map((seen) => this.#toOutcome(seen, 'cni0')),
      ...this.#wires.eth0.take().map((seen) => this.#toOutcome(seen, 'eth0')),
      ...this.#listener.take().map((seen) => this.#toOutcome(seen, undefined)),
    ];
    for (const { id, outcome } of observed) {
      const known = outcomes.get(id);
      // A host answers a delivered packet that no socket waits for just as a rejecting rule would.
      if (!known || known.kind === 'rejected') outcomes.set(id, outcome);
    }
    return observed.length > 0;
  }

  #toOutcome(seen: Seen, device: 'cni0' | 'eth0' | undefined): { id: number; outcome: Outcome } {
    if (seen.kind !== 'flow') {
      return { id: seen.id, outcome: { kind: 'rejected', by: seen.kind === 'reset' ? 'reset' : 'icmp' } };
    }
    const { id, source, destination, destinationPort } = seen.flow;
    const arrived = { destination: formatEndpoint(destination, destinationPort), source };
    if (!device) return { id, outcome: { kind: 'delivered', ...arrived } };
    const looksMasqueraded = this.#looksMasqueraded(source, device);
    return { id, outcome: { kind: 'sent-on', ...arrived, device, looksMasqueraded } };
  }

  #looksMasqueraded(source: Ip, device: 'cni0' | 'eth0'): boolean {
    const addresses: readonly string[] = device === 'cni0' ? podGateways : this.#eth0Addresses;
    const ofFamily = addresses.filter((address) => address.includes(':') === source.includes(':'));
    // A device without an address of the family borrows one of another device.
    return ofFamily.length > 0 ? ofFamily.includes(source) : this.#nodeAddresses.has(source);
  }
}

function toIp(text: string): Ip {
  const ip = parseIp(text);
  if (!ip) throw new Error(`not an IP address: ${text}`);
  return ip;
}

function isPodAddress(ip: Ip): boolean {
  const address = ipaddr.parse(ip);
  return podNetworks.some((network) => {
    const [base, bits] = ipaddr.parseCIDR(network);
    return base.kind() === address.kind() && address.match(base, bits);
  });
}
