import { parseConnections } from '../ruleset/ipvs/parse-connections.ts';
import { parseSave } from '../ruleset/ipvs/parse-save.ts';
import type { IpvsStep } from '../ruleset/ipvs/print-step.ts';
import type { Connections, FailedStep, KernelVirtualServer, ServersAccess, TimeoutSeconds } from './ipvs-kernel.ts';
import { detailsOf, ipvsadmRemedy, type Program, programTimeoutMs, runChecked } from './ipvs-programs.ts';
import { restoreSteps } from './ipvs-restore.ts';
import { KernelError } from './kernel.ts';
import type { RunResult } from './run.ts';

export interface IpvsadmOptions {
  /** The program; default `ipvsadm`. */
  readonly ipvsadm?: string;
  /** After how long a run counts as hung. */
  readonly timeoutMs?: number;
}

/** IPVS through ipvsadm(8). One run at a time: it is for its user to wait. */
export class IpvsadmServers implements ServersAccess {
  readonly name = 'ipvsadm';
  readonly #program: Program;

  /** Sees to it that the program is there and works, and that the kernel has IPVS; ipvsadm loads its module if it can. */
  static async open(options: IpvsadmOptions = {}): Promise<IpvsadmServers> {
    const servers = new IpvsadmServers(options);
    // Whatever it is asked for, ipvsadm asks the kernel for IPVS first.
    await runChecked(servers.#program, ['--version']);
    return servers;
  }

  private constructor({ ipvsadm = 'ipvsadm', timeoutMs = programTimeoutMs }: IpvsadmOptions) {
    this.#program = { path: ipvsadm, remedy: ipvsadmRemedy, timeoutMs };
  }

  async readVirtualServers(): Promise<ReadonlyMap<string, KernelVirtualServer>> {
    // Lines that cannot be read are no virtual servers of ours, and nobody is asked to mend them.
    return parseSave((await runChecked(this.#program, ['--save', '-n'])).stdout).servers;
  }

  async readConnections(): Promise<Connections> {
    const args = ['-L', '-n', '--nosort'];
    const result = await runChecked(this.#program, args);
    // Read as nothing it would be taken for no connections, and endpoints that leave would be removed.
    if (result.stdout.startsWith('IP Virtual Server version')) return parseConnections(result.stdout);
    throw this.#unreadable(args, result, 'connections');
  }

  /** One process for all, and a few more where something fails. */
  apply(steps: readonly IpvsStep[]): Promise<readonly FailedStep[]> {
    return restoreSteps(this.#program, steps, () => this.readVirtualServers());
  }

  async readTimeouts(): Promise<TimeoutSeconds> {
    const args = ['-L', '--timeout'];
    const result = await runChecked(this.#program, args);
    const [, tcp, tcpFin, udp] = /: (\d+) (\d+) (\d+)\s*$/.exec(result.stdout) ?? [];
    if (udp !== undefined) return [Number(tcp), Number(tcpFin), Number(udp)];
    throw this.#unreadable(args, result, 'timeouts');
  }

  #unreadable(args: readonly string[], result: RunResult, what: string): KernelError {
    const command = [this.#program.path, ...args].join(' ');
    const found = JSON.stringify(result.stdout.slice(0, 80));
    const message = `"${command}" prints ${found}, in which no ${what} are found`;
    return new KernelError('refused', message, detailsOf(command, result));
  }

  async writeTimeouts(seconds: TimeoutSeconds): Promise<void> {
    await runChecked(this.#program, ['--set', ...seconds.map(String)]);
  }
}
