import { familyOf, type Ip, parseIp } from '../net/ip.ts';
import { type AddressStep, nameStep, printIpLine, printStep } from '../ruleset/ipvs/print-step.ts';
import { interfaceName } from '../ruleset/ipvs/virtual-server.ts';
import type { FailedStep, InterfaceAddresses } from './ipvs-kernel.ts';
import { detailsOf, type Program, runChecked, runProgram } from './ipvs-programs.ts';
import { KernelError } from './kernel.ts';

interface Link {
  readonly ifname?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly { readonly local?: string }[];
}

/** The addresses of all interfaces. Throws a KernelError if an interface of our name is not a dummy: then it is somebody else's. */
export async function readAddresses(program: Program): Promise<InterfaceAddresses> {
  const result = await runChecked(program, ['-json', '-details', 'address', 'show']);
  let links: readonly Link[];
  try {
    links = JSON.parse(result.stdout) as readonly Link[];
  } catch {
    const found = JSON.stringify(result.stdout.slice(0, 40));
    const message = `"${program.path} -json address show" prints ${found}, which is no JSON; iproute2 4.18 or newer is needed, not busybox's ip: ${program.remedy}`;
    throw new KernelError('too-old', message, detailsOf(program.path, { ...result, stderr: '' }));
  }
  const own = links.find(({ ifname }) => ifname === interfaceName);
  const kind = own?.linkinfo?.info_kind ?? 'device of another kind';
  if (own !== undefined && kind !== 'dummy') {
    const message = `interface ${interfaceName} is a ${kind}, and services' addresses go on a dummy of that name; rename or delete it (ip link delete ${interfaceName})`;
    throw new KernelError('refused', message);
  }
  return {
    own: own && addressesOf([own]),
    others: addressesOf(links.filter((link) => link !== own)),
  };
}

function addressesOf(links: readonly Link[]): ReadonlySet<Ip> {
  const texts = links.flatMap(({ addr_info = [] }) => addr_info.map(({ local = '' }) => local));
  return new Set(texts.map(parseIp).filter((ip) => ip !== undefined));
}

/** Carries the steps out by one `ip -batch` and gives those that failed. */
export async function applyAddressSteps(program: Program, steps: readonly AddressStep[]): Promise<FailedStep[]> {
  // Deleting it takes only the name; a bridge of that name is not ours to delete, and reading throws.
  if (steps.some(({ kind, verb }) => kind === 'interface' && verb === 'delete')) await readAddresses(program);
  const lines = steps.map((step) => `${printIpLine(step)}\n`).join('');
  const result = await runProgram(program, ['-force', '-batch', '-'], lines);
  if (result.exitCode === 0) return [];
  const reasons = reasonsByLine(result.stderr);
  const actual = await readAddresses(program);
  // Of several steps for the same address the last one counts.
  const last = new Map(steps.map((step, i) => [nameStep(step), i]));
  const failed: FailedStep[] = [];
  for (const [i, step] of steps.entries()) {
    const words = reasons.get(i + 1);
    if (words === undefined || last.get(nameStep(step)) !== i || isMet(step, actual)) continue;
    const verb = step.verb === 'add' ? 'added' : 'deleted';
    const message = `${nameStep(step)} cannot be ${verb}: ${words}${remedyOf(step, words)}`;
    failed.push({
      step,
      error: new KernelError('refused', message, { command: printStep(step), stderr: words }),
    });
  }
  return failed;
}

/**
 * What ip said of each line that failed, by its number from 1. With -force it goes on after each:
 *
 *     Error: ipv4: Address already assigned.
 *     Command failed -:2
 */
export function reasonsByLine(stderr: string): ReadonlyMap<number, string> {
  const reasons = new Map<number, string>();
  let words: string[] = [];
  for (const line of stderr.split('\n')) {
    const number = /^Command failed -:(\d+)/.exec(line)?.[1];
    if (number === undefined) {
      if (line.trim() !== '') words.push(line.trim());
      continue;
    }
    reasons.set(Number(number), words.join(' '));
    words = [];
  }
  return reasons;
}

function isMet(step: AddressStep, { own }: InterfaceAddresses): boolean {
  const isThere = step.kind === 'interface' ? own !== undefined : own?.has(step.ip) === true;
  return isThere === (step.verb === 'add');
}

function remedyOf(step: AddressStep, words: string): string {
  if (step.kind === 'interface') {
    const isUnknown = /Unknown device type|Operation not supported/.test(words);
    return isUnknown ? '; this kernel has no dummy interfaces: load the module on the host (modprobe dummy)' : '';
  }
  if (/Permission denied|IPv6 is disabled/i.test(words) && familyOf(step.ip) === 'ip6') {
    return `; IPv6 is turned off on the interface (sysctl -w net.ipv6.conf.${interfaceName}.disable_ipv6=0)`;
  }
  return '';
}
