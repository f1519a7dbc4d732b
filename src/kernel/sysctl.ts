import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A number that the kernel keeps in a file, and what it should be. */
export interface Sysctl {
  /** As sysctl(8) has it, `net.netfilter.nf_conntrack_max`; of what is no sysctl, the path. */
  readonly name: string;
  /** `/proc/sys/net/netfilter/nf_conntrack_max` */
  readonly path: string;
  readonly value: number;
  /**
   * - `exact`: no other value will do
   * - `at-least`: a greater one is left as it is
   * - `limit`: a greater one is made smaller, but does no harm where it cannot be
   */
  readonly match: 'exact' | 'at-least' | 'limit';
}

/** What became of it; `found` is what was there before, undefined if it could not be read. */
export type SysctlOutcome =
  | { readonly kind: 'right'; readonly sysctl: Sysctl; readonly found: number }
  | { readonly kind: 'set'; readonly sysctl: Sysctl; readonly found: number }
  | {
      readonly kind: 'failed';
      readonly sysctl: Sysctl;
      readonly found: number | undefined;
      readonly error: SysctlError;
    };

/** A sysctl that could not be read or set. The message names it, what it is and should be, the kernel's reason and what to do. */
export class SysctlError extends Error {
  override readonly name = 'SysctlError';
  readonly sysctl: string;
  readonly value: number;
  /** The kernel's, e.g. `EROFS`; undefined if the file held no number. */
  readonly code: string | undefined;

  constructor(sysctl: Sysctl, found: number | undefined, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    const is = found === undefined ? '' : ` (it is ${found})`;
    const reason = code ?? (cause instanceof Error ? cause.message : String(cause));
    super(`cannot set ${sysctl.name} to ${sysctl.value}${is}: ${reason}, ${explain(sysctl, code)}`, { cause });
    this.sysctl = sysctl.name;
    this.value = sysctl.value;
    this.code = code;
  }
}

/** The number asked for in `/proc/sys`: `net.ipv4.ip_forward`. */
export function procSysctl(name: string, value: number, match: Sysctl['match'] = 'exact'): Sysctl {
  return { name, path: `/proc/sys/${name.replaceAll('.', '/')}`, value, match };
}

const oomScoreName = 'oom_score_adj';

/** How ready the kernel is to end this process when memory runs out: -1000 (never) to 1000. */
export function oomScore(score: number): Sysctl {
  return { name: oomScoreName, path: '/proc/self/oom_score_adj', value: score, match: 'exact' };
}

/** What the kernel has; undefined if there is no such file or no right to read it. The root is a folder to look in instead of `/`. */
export async function readSysctl(path: string, root = '/'): Promise<number | undefined> {
  try {
    return await readNumber(path, root);
  } catch {
    return undefined;
  }
}

/** Sees to it that the kernel has the value; writes only what differs, and never throws. The root is a folder in place of `/`. */
export async function ensureSysctl(sysctl: Sysctl, root = '/'): Promise<SysctlOutcome> {
  let found: number | undefined;
  try {
    found = await readNumber(sysctl.path, root);
    const isRight = sysctl.match === 'at-least' ? found >= sysctl.value : found === sysctl.value;
    if (isRight) return { kind: 'right', sysctl, found };
    await writeFile(join(root, sysctl.path), `${sysctl.value}`);
    return { kind: 'set', sysctl, found };
  } catch (cause) {
    if (sysctl.match === 'limit' && found !== undefined && found > sysctl.value)
      return { kind: 'right', sysctl, found };
    return { kind: 'failed', sysctl, found, error: new SysctlError(sysctl, found, cause) };
  }
}

async function readNumber(path: string, root: string): Promise<number> {
  const text = (await readFile(join(root, path), 'utf8')).trim();
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new Error(`${path} holds ${JSON.stringify(text.slice(0, 40))}, not a number`);
}

function explain({ name, path, value }: Sysctl, code: string | undefined): string {
  const byHand = path.startsWith('/proc/sys/') ? `sysctl -w ${name}=${value}` : `echo ${value} > ${path}`;
  switch (code) {
    case 'ENOENT':
      return name.includes('nf_conntrack')
        ? 'there is no such setting here; load the module (modprobe nf_conntrack), or set it on the host where this network namespace has none'
        : 'there is no such setting in this kernel or network namespace';
    case 'EROFS':
      return `it is mounted read-only here; run --init-only in a privileged container before, or on the host: ${byHand}`;
    case 'EACCES':
    case 'EPERM':
      if (name === oomScoreName)
        return 'to make it less takes CAP_SYS_RESOURCE; give that, or a greater --oom-score-adj';
      return `there is no right to; it takes root (privileged, in a container), and some are the host's network namespace's alone, so on the host: ${byHand}`;
    case 'EOPNOTSUPP':
    case 'ENOTSUP':
      return `only the host's own network namespace may; on the host: ${byHand}`;
    case 'EINVAL':
    case 'ERANGE':
      return 'the kernel does not take that value; choose another';
    default:
      return `set it on the host: ${byHand}`;
  }
}
