import type { Ip } from '../net/ip.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
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

/** The whole of what we ask of a kernel's IPVS and of its addresses. Every method throws a KernelError. */
export interface IpvsKernel {
  /** All that have an address, by virtualServerKey: other programs' too. Those by firewall mark are never ours and are left out. */
  readVirtualServers(): Promise<ReadonlyMap<string, KernelVirtualServer>>;
  /** Active and inactive connections together of each real server that has some: by virtualServerKey, then realServerKey. */
  readConnections(): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>>;
  readAddresses(): Promise<InterfaceAddresses>;
  /**
   * Carries the steps out in their order. One that the kernel refuses does not keep the others from being carried out; gives those that
   * failed. What is so already (an add of what is there as asked, a delete of what is not there) has not failed.
   */
  apply(steps: readonly Step[]): Promise<readonly FailedStep[]>;
}
