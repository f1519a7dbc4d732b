import { KernelError, type KernelFailure } from './kernel.ts';
import { run, type RunResult } from './run.ts';

/** A program that IPVS mode needs, and how to get it. */
export interface Program {
  readonly path: string;
  /** `install it (Debian: apt-get install ipvsadm)` */
  readonly remedy: string;
  readonly timeoutMs: number;
}

/** After how long a run counts as hung: enough for 20,000 services on a slow machine. */
export const programTimeoutMs = 300_000;

export const ipvsadmRemedy =
  'install it (Debian: apt-get install ipvsadm), or name the program by --ipvsadm or VIPMAP_IPVSADM';
export const ipRemedy = 'install iproute2 (Debian: apt-get install iproute2)';

/** What the program said, whatever its exit code. Throws a KernelError if it cannot be started, hangs, crashes, or can do nothing here. */
export async function runProgram(program: Program, args: readonly string[], input = ''): Promise<RunResult> {
  const command = [program.path, ...args].join(' ');
  let result: RunResult;
  try {
    result = await run(program.path, args, input, program.timeoutMs);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new KernelError('missing', `the program "${program.path}" cannot be started (${code}); ${program.remedy}`, {
      command,
    });
  }
  const failed = wholeFailure(program, result);
  if (failed === undefined) return result;
  throw new KernelError(failed.failure, failed.message, detailsOf(command, result));
}

/** As runProgram; an exit code other than 0 is an error too. */
export async function runChecked(program: Program, args: readonly string[]): Promise<RunResult> {
  const result = await runProgram(program, args);
  if (result.exitCode === 0) return result;
  const command = [program.path, ...args].join(' ');
  const words = wordsOf(result)[0] ?? `exit code ${result.exitCode}`;
  throw new KernelError('refused', `${command} failed: ${words}`, detailsOf(command, result));
}

/** What the program says of itself, line by line. */
export function wordsOf({ stderr }: RunResult): readonly string[] {
  return stderr.split('\n').filter((line) => line.trim() !== '');
}

export function detailsOf(command: string, { exitCode, signal, durationMs, stderr }: RunResult) {
  return { command, exitCode, signal, durationMs, stderr };
}

/** Failures that have nothing to do with what was asked for. */
function wholeFailure(program: Program, result: RunResult): { failure: KernelFailure; message: string } | undefined {
  const { path } = program;
  if (result.timedOut) {
    return { failure: 'timeout', message: `${path} did not end within ${program.timeoutMs / 1000} s and was stopped` };
  }
  if (result.signal !== null) {
    return { failure: 'crashed', message: `${path} crashed (${result.signal}); it may have done a part of its work` };
  }
  const words = wordsOf(result)[0] ?? '';
  // The first is ipvsadm's EPERM, the second ip's. Where ip says "Permission denied" it is EACCES: IPv6 is turned off.
  if (/^Can't initialize ipvs: Permission denied|Operation not permitted/.test(words)) {
    const message = `${path} may not change the kernel's services and addresses (${words}); run as root or with CAP_NET_ADMIN`;
    return { failure: 'not-permitted', message };
  }
  if (words.startsWith("Can't initialize ipvs")) {
    const message = `this kernel has no IPVS (${path} says "${words}"); load its module on the host (modprobe ip_vs), or use a kernel that has it (CONFIG_IP_VS; Debian's linux-image-amd64 does)`;
    return { failure: 'unsupported', message };
  }
  return undefined;
}
