import { execFile, type ExecFileException } from 'node:child_process';
import { join } from 'node:path';

/** The bundle that users run; scripts/test.sh builds it. */
const bundle = join(import.meta.dirname, '..', '..', 'dist', 'vipmap.mjs');

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, with an input, and never rejects: what it said and how it ended is what tests look at. */
export function runProgram(
  program: string,
  args: readonly string[],
  input = '',
  env: NodeJS.ProcessEnv = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string) => {
      const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ exitCode, stdout, stderr: exitCode === -1 ? `${stderr}${error?.message}` : stderr });
    };
    const child = execFile(program, args, { maxBuffer: 2 ** 29, env: { ...process.env, ...env } }, done);
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** Starts vipmap as a user would. */
export function vipmap(args: readonly string[], input = '', env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return runProgram(process.execPath, [bundle, ...args], input, env);
}

export const nftProgram = process.env['VIPMAP_NFT'] ?? 'nft';

export function nft(args: readonly string[], input = ''): Promise<Ran> {
  return runProgram(nftProgram, args, input);
}
