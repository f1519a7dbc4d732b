import { isDeepStrictEqual } from 'node:util';
import { nft } from '../kernel/vipmap.ts';

/** Names of what is promised, each with what finds out: undefined, or what is wrong. */
export type Checks = Readonly<Record<string, () => Promise<string | undefined>>>;

/** What differs, or undefined. */
export function differs(what: string, found: unknown, expected: unknown): string | undefined {
  if (isDeepStrictEqual(found, expected)) return undefined;
  return `${what}: found ${show(found)}, expected ${show(expected)}`;
}

function show(value: unknown): string {
  const plain = value instanceof Map ? [...value] : value;
  return `${JSON.stringify(plain)}`.slice(0, 2000);
}

/** The first that is wrong. */
export function firstOf(...found: readonly (string | undefined)[]): string | undefined {
  return found.find((each) => each !== undefined);
}

/** Loads rules as nft's text. */
export async function load(text: string): Promise<void> {
  const { exitCode, stderr } = await nft(['-f', '-'], text);
  if (exitCode !== 0) throw new Error(`nft -f -: ${stderr}\n${text.slice(0, 1000)}`);
}

/** The name of the error that a call throws. */
export function codeOf(run: () => unknown): string {
  try {
    run();
    return 'none';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
