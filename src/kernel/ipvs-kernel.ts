import type { Ip } from '../net/ip.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import type { IpvsStep } from '../ruleset/ipvs/print-step.ts';
import type { VirtualServer } from '../ruleset/ipvs/virtual-server.ts';
import type { KernelError } from './kernel.ts';

/** A virtual server as the kernel has it: anybody's, so with what we never ask for. */
export interface KernelVirtualServer extends VirtualServer {
  /** Options that none of ours has, as printed, e.g. `-o` or `-M 255.255.0.0`, and forwarding methods of real servers other than -m. */
  readonly otherOptions: readonly string[];
}

export interface InterfaceAddresses {
  /** Of our interface (interfaceName); undefined if there is no such interface. */
  readonly own: ReadonlySet<Ip> | undefined;
  /** Of all other interfaces, loopback included. */
  readonly others: ReadonlySet<Ip>;
}

export interface FailedStep {
  readonly step: Step;
  readonly error: KernelError;
}

/** By virtualServerKey, then realServerKey: active and inactive connections together of each real server that has some. */
export type Connections = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** What reads virtual servers: by ipvsadm or by netlink. Every method throws a KernelError. */
interface ServersReader {
  /** All that have an address, by virtualServerKey: other programs' too. Those by firewall mark are never ours and are left out. */
  readVirtualServers(): Promise<ReadonlyMap<string, KernelVirtualServer>>;
  /** Of the virtual servers of these keys, at least. */
  readConnections(keys: Iterable<string>): Promise<Connections>;
}

/** Seconds for which idle connections are kept: of established TCP, after a FIN, of UDP. `[900, 120, 300]` is the kernel's default. */
export type TimeoutSeconds = readonly [tcp: number, tcpFin: number, udp: number];

/** A way to a kernel's IPVS. Every method throws a KernelError. */
export interface ServersAccess extends ServersReader {
  readonly name: 'ipvsadm' | 'netlink';
  /** As IpvsKernel's. */
  apply(steps: readonly IpvsStep[]): Promise<readonly FailedStep[]>;
  readTimeouts(): Promise<TimeoutSeconds>;
  writeTimeouts(seconds: TimeoutSeconds): Promise<void>;
}

/** The whole of what we ask of a kernel's IPVS and of its addresses. Every method throws a KernelError. */
export interface IpvsKernel extends ServersReader {
  readAddresses(): Promise<InterfaceAddresses>;
  /**
   * Carries the steps out in their order. One that the kernel refuses does not keep the others from being carried out; gives those that
   * failed. What is so already (an add of what is there as asked, a delete of what is not there) has not failed.
   */
  apply(steps: readonly Step[]): Promise<readonly FailedStep[]>;
}
