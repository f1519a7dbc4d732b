import { parseConnections } from '../ruleset/ipvs/parse-connections.ts';
import { parseSave } from '../ruleset/ipvs/parse-save.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { type AddressStep, type IpvsStep, isIpvsStep } from '../ruleset/ipvs/print-step.ts';
import { applyAddressSteps, readAddresses } from './ipvs-addresses.ts';
import type { FailedStep, InterfaceAddresses, IpvsKernel, KernelVirtualServer } from './ipvs-kernel.ts';
import { ipRemedy, ipvsadmRemedy, type Program, runChecked } from './ipvs-programs.ts';
import { restoreSteps } from './ipvs-restore.ts';
import { ensureTimeouts, type IpvsTimeouts, type TimeoutsOutcome } from './ipvs-timeouts.ts';

export interface IpvsadmOptions {
  /** The programs; default `ipvsadm` and `ip`. */
  readonly ipvsadm?: string;
  readonly ip?: string;
  /** After how long a run counts as hung; default five minutes, for 20,000 services on a slow machine. */
  readonly timeoutMs?: number;
}

/** IPVS through ipvsadm(8), and the addresses of our interface through ip(8). One run at a time: it is for its user to wait. */
export class IpvsadmKernel implements IpvsKernel {
  readonly #ipvsadm: Program;
  readonly #ip: Program;

  /** Sees to it that both programs are there and work, and that the kernel has IPVS; ipvsadm loads its module if it can. */
  static async open(options: IpvsadmOptions = {}): Promise<IpvsadmKernel> {
    const kernel = new IpvsadmKernel(options);
    // Whatever it is asked for, ipvsadm asks the kernel for IPVS first.
    await runChecked(kernel.#ipvsadm, ['--version']);
    await kernel.readAddresses();
    return kernel;
  }

  private constructor({ ipvsadm = 'ipvsadm', ip = 'ip', timeoutMs = 300_000 }: IpvsadmOptions) {
    this.#ipvsadm = { path: ipvsadm, remedy: ipvsadmRemedy, timeoutMs };
    this.#ip = { path: ip, remedy: ipRemedy, timeoutMs };
  }

  async readVirtualServers(): Promise<ReadonlyMap<string, KernelVirtualServer>> {
    // Lines that cannot be read are no virtual servers of ours, and nobody is asked to mend them.
    return parseSave((await runChecked(this.#ipvsadm, ['--save', '-n'])).stdout).servers;
  }

  async readConnections(): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
    return parseConnections((await runChecked(this.#ipvsadm, ['-L', '-n', '--nosort'])).stdout);
  }

  readAddresses(): Promise<InterfaceAddresses> {
    return readAddresses(this.#ip);
  }

  /** A process for each run of steps of one kind, so plans are cheapest where these stand together; a few more where something fails. */
  async apply(steps: readonly Step[]): Promise<readonly FailedStep[]> {
    const failed: FailedStep[] = [];
    for (const batch of inBatches(steps)) {
      if (batch.kind === 'ipvs')
        failed.push(...(await restoreSteps(this.#ipvsadm, batch.steps, () => this.readVirtualServers())));
      else failed.push(...(await applyAddressSteps(this.#ip, batch.steps)));
    }
    return failed;
  }

  /** How long idle connections are kept. */
  ensureTimeouts(timeouts: IpvsTimeouts): Promise<TimeoutsOutcome> {
    return ensureTimeouts(this.#ipvsadm, timeouts);
  }
}

type Batch =
  | { readonly kind: 'ipvs'; readonly steps: IpvsStep[] }
  | { readonly kind: 'interface' | 'address'; readonly steps: AddressStep[] };

/** Steps that one process can carry out. The interface's own stand alone: ip remembers its number, which changes with it. */
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
