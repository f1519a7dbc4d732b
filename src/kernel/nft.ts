import type { Family } from '../net/ip.ts';
import { namedProtocols, parseElementListing, parseListing, parseTable } from '../ruleset/nftables/parse-json.ts';
import { printTransactionJson } from '../ruleset/nftables/print-json.ts';
import { type Elements, type SetDeclaration, type Table, tableName } from '../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../ruleset/nftables/transaction.ts';
import { type Kernel, KernelError, type KernelFailure } from './kernel.ts';
import { run, type RunResult } from './run.ts';

export interface NftOptions {
  /** The program; default `nft`. */
  readonly program?: string;
  /** After how long a run counts as hung; default two minutes, since a first load of 100,000 services on a slow machine is no hang. */
  readonly timeoutMs?: number;
  /** Told the process id of every run as it starts: the kernel's events name it as the author of changes. */
  readonly onProcess?: (pid: number) => void;
}

/** The oldest nft whose JSON takes and gives all that our tables need (typeof keys, map updates). */
const oldestNft = [1, 1, 3] as const;

/** The kernel through nft(8), version 1.1.3 or newer. Reads and writes nothing but our two tables. */
export class NftKernel implements Kernel {
  readonly #program: string;
  readonly #timeoutMs: number;
  readonly #onProcess: (pid: number) => void;

  /** Looks at the program's version first: an old nft may crash on tables that a newer one wrote, so nothing else is run with it. */
  static async open(options: NftOptions = {}): Promise<NftKernel> {
    const kernel = new NftKernel(options);
    const result = await kernel.#run(['--version'], '');
    const version = /v(\d+)\.(\d+)(?:\.(\d+))?/.exec(result.stdout);
    const numbers = version?.slice(1).map((text) => Number(text ?? 0)) ?? [];
    if (result.exitCode !== 0 || numbers.length === 0 || isOlder(numbers, oldestNft)) {
      const found = `${result.stdout}${result.stderr}`.trim().split('\n')[0] || 'nothing';
      throw new KernelError(
        'too-old',
        `nft ${oldestNft.join('.')} or newer is needed, and "${kernel.#program}" says "${found}"; install a newer nftables (Debian 13 has one), or name the program by --nft or VIPMAP_NFT`,
        details(kernel.#program, result),
      );
    }
    return kernel;
  }

  private constructor(options: NftOptions) {
    this.#program = options.program ?? 'nft';
    this.#timeoutMs = options.timeoutMs ?? 120_000;
    this.#onProcess = options.onProcess ?? (() => undefined);
  }

  async apply(transaction: Transaction): Promise<void> {
    if (transaction.commands.length === 0) return;
    await this.#runChecked(['-j', '-f', '-'], printTransactionJson(transaction));
  }

  async readTable(family: Family): Promise<Table | undefined> {
    const output = await this.#list(['-t'], ['table', family, tableName]);
    return output === undefined ? undefined : parseTable(family, parseListing(output));
  }

  async readElements(family: Family, set: SetDeclaration): Promise<Elements> {
    const output = await this.#list([], [set.data === undefined ? 'set' : 'map', family, tableName, set.name]);
    return output === undefined ? new Map() : namedProtocols(set, parseElementListing(parseListing(output)));
  }

  /** The listing as JSON, or undefined if there is no such object. One object a run: nft 1.1.3 does not find the first of two. */
  async #list(options: readonly string[], object: readonly string[]): Promise<string | undefined> {
    // -p: protocols as numbers, the same on nodes with and without /etc/protocols.
    const args = ['-j', '-p', ...options, 'list', ...object];
    const result = await this.#run(args, '');
    if (result.exitCode === 1 && /No such file or directory/.test(result.stderr)) return undefined;
    this.#check(args, result);
    return result.stdout;
  }

  async #runChecked(args: readonly string[], input: string): Promise<RunResult> {
    const result = await this.#run(args, input);
    this.#check(args, result);
    return result;
  }

  async #run(args: readonly string[], input: string): Promise<RunResult> {
    try {
      return await run(this.#program, args, input, this.#timeoutMs, this.#onProcess);
    } catch (error) {
      throw new KernelError(
        'missing',
        `the program "${this.#program}" cannot be started (${(error as NodeJS.ErrnoException).code}); install nftables ${oldestNft.join('.')} or newer, or name the program by --nft or VIPMAP_NFT`,
        { command: this.#program },
      );
    }
  }

  #check(args: readonly string[], result: RunResult): void {
    if (result.exitCode === 0 && !result.timedOut) return;
    const failure = classify(result);
    throw new KernelError(
      failure,
      explain(failure, this.#timeoutMs, result),
      details([this.#program, ...args].join(' '), result),
    );
  }
}

function details(command: string, { exitCode, signal, durationMs, stderr }: RunResult) {
  return { command, exitCode, signal, durationMs, stderr };
}

function isOlder(version: readonly number[], oldest: readonly number[]): boolean {
  for (const [i, part] of oldest.entries()) {
    const found = version[i] ?? 0;
    if (found !== part) return found < part;
  }
  return false;
}

/** nft gives the kernel's errno in strerror's words and nothing else to tell it by. */
function classify({ timedOut, signal, stderr }: RunResult): KernelFailure {
  if (timedOut) return 'timeout';
  if (signal !== null) return 'crashed';
  if (/Operation not permitted/.test(stderr)) return 'not-permitted';
  if (/Protocol not supported|Unable to initialize Netlink socket/.test(stderr)) return 'unsupported';
  if (/Message too long/.test(stderr)) return 'too-big';
  // ENFILE: what nf_tables answers when a set has as many elements as its size allows.
  if (/Too many open files in system/.test(stderr)) return 'full';
  return 'refused';
}

function explain(failure: KernelFailure, timeoutMs: number, { signal, stderr }: RunResult): string {
  const words = stderr.trim().split('\n')[0] ?? '';
  switch (failure) {
    case 'timeout':
      return `nft did not end within ${timeoutMs / 1000} s and was stopped`;
    case 'crashed':
      return `nft crashed (${signal}); the kernel takes a transaction as a whole or not at all, so read it again before the next one`;
    case 'not-permitted':
      return `nft may not change the kernel's rules (${words}); run as root or with CAP_NET_ADMIN`;
    case 'unsupported':
      return `this kernel has no nf_tables (${words}); load the module nf_tables or use a kernel that has it`;
    case 'too-big':
      return `the transaction does not fit the netlink socket's buffer (${words})`;
    case 'full':
      return `a set or map is full (${words})`;
    case 'missing':
    case 'too-old':
    case 'refused':
      return `nft refused: ${words}`;
  }
}
