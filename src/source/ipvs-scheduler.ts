import type { SchedulerChoice } from '../model/service-port.ts';
import type { Accepts } from './fields.ts';

/** The schedulers in the kernel's own tree (net/netfilter/ipvs); not every distribution builds all of them. */
const known: ReadonlySet<string> = new Set([
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'sh',
  'dh',
  'sed',
  'nq',
  'mh',
  'fo',
  'ovf',
  'twos',
]);

/** The schedulers that have flags, by ipvsadm's names. */
const flagsOf: ReadonlyMap<string, readonly string[]> = new Map([
  ['sh', ['sh-fallback', 'sh-port']],
  ['mh', ['mh-fallback', 'mh-port']],
]);

/** As kube-proxy has it where none is named. */
export const defaultScheduler: SchedulerChoice = { name: 'rr', flags: [] };

const someFlags = 'flags after it by commas for sh (sh-fallback, sh-port) and mh (mh-fallback, mh-port)';

/** Any that a kernel may have. */
export const aScheduler: Accepts<SchedulerChoice> = {
  expected: `an IPVS scheduler such as ${[...known].join(', ')}, with ${someFlags}, e.g. mh,mh-port`,
  parse: parseScheduler,
};

/** One that Linux comes with. */
export const aKnownScheduler: Accepts<SchedulerChoice> = {
  expected: `one of ${[...known].join(', ')}, with ${someFlags}, e.g. mh,mh-port`,
  parse: (value) => {
    const choice = parseScheduler(value);
    return choice !== undefined && isKnownScheduler(choice) ? choice : undefined;
  },
};

/** mh alone hashes ports too: kube-proxy has mh no other way, and by addresses alone a node would be sent to one endpoint. */
function parseScheduler(value: unknown): SchedulerChoice | undefined {
  if (typeof value !== 'string') return undefined;
  const [name = '', ...flags] = value.split(',').map((part) => part.trim());
  // The kernel has 16 bytes for a name.
  if (!/^[a-z]{1,15}$/.test(name)) return undefined;
  return name === 'mh' && flags.length === 0 ? { name, flags: ['mh-port'] } : withFlags(name, flags);
}

/** The scheduler with exactly these flags; undefined if it does not have one of them. */
export function withFlags(name: string, flags: readonly string[]): SchedulerChoice | undefined {
  const accepted = schedulerFlags(name);
  return flags.every((flag) => accepted.includes(flag)) ? { name, flags: [...new Set(flags)].sort() } : undefined;
}

/** The flags that a scheduler has, that for falling back first. */
export function schedulerFlags(name: string): readonly string[] {
  return flagsOf.get(name) ?? [];
}

export function isKnownScheduler({ name }: SchedulerChoice): boolean {
  return known.has(name);
}

/** As aScheduler reads it: `rr`, `mh` and `mh,mh-fallback`. */
export function printScheduler({ name, flags }: SchedulerChoice): string {
  const isImplied = name === 'mh' && flags.length === 1 && flags[0] === 'mh-port';
  return isImplied ? name : [name, ...flags].join(',');
}

/** What to say of a scheduler that may be another project's, or a slip of the pen. */
export function unknownScheduler(choice: SchedulerChoice): string {
  const { name } = choice;
  return `IPVS scheduler "${name}" is none that Linux comes with (${[...known].join(', ')}); it is used, and services are reached only if the kernel has it (module ip_vs_${name})`;
}
