import type { Ip } from '../net/ip.ts';
import { realServerPrefix } from '../ruleset/ipvs/parse-save.ts';
import { applyStep } from '../ruleset/ipvs/apply-steps.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { type IpvsStep, isIpvsStep, nameStep, printStep } from '../ruleset/ipvs/print-step.ts';
import { interfaceName, realServerKey, type VirtualServer, virtualServerKey } from '../ruleset/ipvs/virtual-server.ts';
import type { Connections, FailedStep, InterfaceAddresses, IpvsKernel, KernelVirtualServer } from './ipvs-kernel.ts';
import { refused } from './ipvs-restore.ts';
import { unacceptable } from './ipvs-unmet.ts';
import { KernelError } from './kernel.ts';

export interface MemoryIpvsOptions {
  readonly servers?: ReadonlyMap<string, KernelVirtualServer>;
  readonly own?: Iterable<Ip>;
  readonly others?: Iterable<Ip>;
  /**
   * Asked before each step, with its number since the kernel was made, from 0: the reason why the step fails, undefined if it does not.
   * `(step) => 'server' in step && step.server.port === 80 ? 'Memory allocation problem' : undefined`. What it throws, apply throws.
   */
  readonly fault?: (step: Step, number: number) => string | undefined;
  /** Refuses adds of what is there in another form, and edits and deletes of what is not there: no good plan has them. */
  readonly isStrict?: boolean;
}

/** IPVS and addresses in memory: for dry runs of plans and for tests, with faults that a test asks for. */
export class MemoryIpvsKernel implements IpvsKernel {
  readonly servers: Map<string, VirtualServer>;
  /** Of virtual servers that have some, by key. */
  readonly otherOptions = new Map<string, readonly string[]>();
  /** Of our interface; undefined if there is no such interface. */
  own: Set<Ip> | undefined;
  readonly others: Set<Ip>;
  /** By virtualServerKey, then realServerKey; a test sets them. */
  readonly connections = new Map<string, Map<string, number>>();
  /** Every step that was tried, failed ones too. */
  readonly tried: Step[] = [];
  fault: (step: Step, number: number) => string | undefined;
  readonly #isStrict: boolean;

  constructor(options: MemoryIpvsOptions = {}) {
    this.servers = new Map();
    for (const [key, { otherOptions, ...server }] of options.servers ?? []) {
      this.servers.set(key, server);
      if (otherOptions.length > 0) this.otherOptions.set(key, otherOptions);
    }
    this.own = options.own && new Set(options.own);
    this.others = new Set(options.others);
    this.fault = options.fault ?? (() => undefined);
    this.#isStrict = options.isStrict ?? false;
  }

  readVirtualServers(): Promise<ReadonlyMap<string, KernelVirtualServer>> {
    const servers = new Map<string, KernelVirtualServer>();
    for (const [key, server] of this.servers) {
      servers.set(key, { ...server, otherOptions: this.otherOptions.get(key) ?? [] });
    }
    return Promise.resolve(servers);
  }

  /** Only of real servers that are there, as a real kernel has it. */
  readConnections(): Promise<Connections> {
    const found = new Map<string, ReadonlyMap<string, number>>();
    for (const [key, counts] of this.connections) {
      const realServers = this.servers.get(key)?.realServers;
      const some = [...counts].filter(([id, count]) => count > 0 && realServers?.has(id) === true);
      if (some.length > 0) found.set(key, new Map(some));
    }
    return Promise.resolve(found);
  }

  readAddresses(): Promise<InterfaceAddresses> {
    return Promise.resolve({ own: this.own && new Set(this.own), others: new Set(this.others) });
  }

  async apply(steps: readonly Step[]): Promise<readonly FailedStep[]> {
    // Like a real one, it answers later.
    await Promise.resolve();
    const failed: FailedStep[] = [];
    for (const step of steps) {
      const reason = this.fault(step, this.tried.length);
      this.tried.push(step);
      const failure = reason === undefined ? this.#carryOut(step) : failureOf(step, reason);
      if (failure !== undefined) failed.push(failure);
    }
    return failed;
  }

  #carryOut(step: Step): FailedStep | undefined {
    const reason = isIpvsStep(step) ? this.#refusalOf(step) : this.#addressRefusalOf(step);
    if (reason !== undefined) return failureOf(step, reason);
    applyStep(this, step);
    // An edit takes others' options off, and a delete what has them.
    if (isIpvsStep(step)) this.#forgetOthers(step);
    return undefined;
  }

  #refusalOf(step: IpvsStep): string | undefined {
    const reason = unacceptable(step);
    if (reason !== undefined) return reason;
    const server = this.servers.get(virtualServerKey(step.server));
    if (step.kind === 'virtual-server') {
      if (step.verb === 'edit') return server === undefined ? 'No such service' : undefined;
      if (!this.#isStrict) return undefined;
      if (step.verb === 'delete') return server === undefined ? 'No such service' : undefined;
      return server === undefined ? undefined : 'Service already exists';
    }
    if (server === undefined) return step.verb === 'delete' && !this.#isStrict ? undefined : 'Service not defined';
    const isThere = server.realServers.has(realServerKey(step.realServer));
    if (step.verb === 'edit') return isThere ? undefined : 'No such destination';
    if (!this.#isStrict) return undefined;
    if (step.verb === 'delete') return isThere ? undefined : 'No such destination';
    return isThere ? 'Destination already exists' : undefined;
  }

  #addressRefusalOf(step: Step): string | undefined {
    if (step.kind !== 'address') return undefined;
    if (this.own === undefined) {
      return step.verb === 'delete' && !this.#isStrict ? undefined : `Cannot find device "${interfaceName}"`;
    }
    if (!this.#isStrict || this.own.has(step.ip) === (step.verb === 'delete')) return undefined;
    return step.verb === 'add' ? 'Address already assigned.' : 'Address not found.';
  }

  #forgetOthers(step: IpvsStep): void {
    const key = virtualServerKey(step.server);
    const prefix = step.kind === 'real-server' ? realServerPrefix(step.realServer) : undefined;
    const kept = (this.otherOptions.get(key) ?? []).filter((option) => {
      if (prefix !== undefined) return !option.startsWith(prefix);
      return step.verb !== 'delete' && option.startsWith('-r ');
    });
    if (kept.length === 0) this.otherOptions.delete(key);
    else this.otherOptions.set(key, kept);
  }
}

function failureOf(step: Step, reason: string): FailedStep {
  if (isIpvsStep(step)) return refused(step, reason);
  const message = `${nameStep(step)} cannot be ${step.verb === 'add' ? 'added' : 'deleted'}: ${reason}`;
  return { step, error: new KernelError('refused', message, { command: printStep(step), stderr: reason }) };
}
