import type { Step } from '../ruleset/ipvs/plan.ts';
import { type AddressStep, type IpvsStep, isIpvsStep } from '../ruleset/ipvs/print-step.ts';
import { applyAddressSteps, readAddresses } from './ipvs-addresses.ts';
import type {
  Connections,
  FailedStep,
  InterfaceAddresses,
  IpvsKernel,
  KernelVirtualServer,
  ServersAccess,
} from './ipvs-kernel.ts';
import { ipRemedy, type Program, programTimeoutMs } from './ipvs-programs.ts';

export interface HostIpvsOptions {
  /** The program; default `ip`. */
  readonly ip?: string;
  /** After how long a run counts as hung. */
  readonly timeoutMs?: number;
  /** Steps for virtual servers were carried out. */
  readonly onApplied?: ((writer: ServersAccess['name'], durationSeconds: number) => void) | undefined;
}

/** This host's IPVS, by one way or another, and the addresses of our interface through ip(8). */
export class HostIpvs implements IpvsKernel {
  readonly servers: ServersAccess;
  readonly #ip: Program;
  readonly #onApplied: HostIpvsOptions['onApplied'];

  /** Sees to it that ip is there and that the interface's name is not somebody else's. */
  static async open(servers: ServersAccess, options: HostIpvsOptions = {}): Promise<HostIpvs> {
    const kernel = new HostIpvs(servers, options);
    await kernel.readAddresses();
    return kernel;
  }

  private constructor(servers: ServersAccess, options: HostIpvsOptions) {
    const { ip = 'ip', timeoutMs = programTimeoutMs, onApplied } = options;
    this.servers = servers;
    this.#onApplied = onApplied;
    this.#ip = { path: ip, remedy: ipRemedy, timeoutMs };
  }

  readVirtualServers(): Promise<ReadonlyMap<string, KernelVirtualServer>> {
    return this.servers.readVirtualServers();
  }

  readConnections(keys: Iterable<string>): Promise<Connections> {
    return this.servers.readConnections(keys);
  }

  readAddresses(): Promise<InterfaceAddresses> {
    return readAddresses(this.#ip);
  }

  /** Each run of steps of one kind at once, so plans are cheapest where these stand together. */
  async apply(steps: readonly Step[]): Promise<readonly FailedStep[]> {
    const failed: FailedStep[] = [];
    for (const batch of inBatches(steps)) {
      const found = await (batch.kind === 'ipvs'
        ? this.#applyServers(batch.steps)
        : applyAddressSteps(this.#ip, batch.steps));
      failed.push(...found);
    }
    return failed;
  }

  async #applyServers(steps: readonly IpvsStep[]): Promise<readonly FailedStep[]> {
    const start = performance.now();
    const failed = await this.servers.apply(steps);
    this.#onApplied?.(this.servers.name, (performance.now() - start) / 1000);
    return failed;
  }
}

type Batch =
  | { readonly kind: 'ipvs'; readonly steps: IpvsStep[] }
  | { readonly kind: 'interface' | 'address'; readonly steps: AddressStep[] };

/** Steps that can be carried out together. The interface's own stand alone: ip remembers its number, which changes with it. */
function inBatches(steps: readonly Step[]): readonly Batch[] {
  const batches: Batch[] = [];
  for (const step of steps) {
    const last = batches.at(-1);
    if (isIpvsStep(step)) {
      if (last?.kind === 'ipvs') last.steps.push(step);
      else batches.push({ kind: 'ipvs', steps: [step] });
    } else if (last?.kind === 'address' && step.kind === 'address') last.steps.push(step);
    else batches.push({ kind: step.kind, steps: [step] });
  }
  return batches;
}
