import { type IpvsStep, nameStep } from '../ruleset/ipvs/print-step.ts';
import { realServerPrefix } from '../ruleset/ipvs/parse-save.ts';
import { realServerKey, type Scheduling, virtualServerKey } from '../ruleset/ipvs/virtual-server.ts';
import type { KernelVirtualServer } from './ipvs-kernel.ts';

type Servers = ReadonlyMap<string, KernelVirtualServer>;

/** Those of the steps, in their order, that did not come to what they ask for, by what the kernel has after them. */
export function unmetSteps(steps: readonly IpvsStep[], actual: Servers): readonly IpvsStep[] {
  const counted = countedSteps(steps);
  return steps.filter((step) => counted.has(step) && !isMet(step, actual));
}

/** Of several steps for the same thing the last one counts. */
export function countedSteps(steps: readonly IpvsStep[]): ReadonlySet<IpvsStep> {
  const last = new Map<string, { step?: IpvsStep; readonly realServers: Map<string, IpvsStep> }>();
  for (const step of steps) {
    const key = virtualServerKey(step.server);
    const found = last.get(key) ?? { realServers: new Map<string, IpvsStep>() };
    last.set(key, found);
    if (step.kind === 'real-server') found.realServers.set(realServerKey(step.realServer), step);
    else {
      found.step = step;
      // Its real servers go with it.
      if (step.verb === 'delete') found.realServers.clear();
    }
  }
  const counted = new Set<IpvsStep>();
  for (const { step, realServers } of last.values()) {
    if (step !== undefined) counted.add(step);
    for (const each of realServers.values()) counted.add(each);
  }
  return counted;
}

function isMet(step: IpvsStep, actual: Servers): boolean {
  const server = actual.get(virtualServerKey(step.server));
  if (step.kind === 'virtual-server') {
    if (step.verb === 'delete') return server === undefined;
    const hasOthers = server?.otherOptions.some((option) => !option.startsWith('-r ')) === true;
    return server !== undefined && !hasOthers && isSameScheduling(server, step.scheduling);
  }
  const found = server?.realServers.get(realServerKey(step.realServer));
  if (step.verb === 'delete') return found === undefined;
  const prefix = realServerPrefix(step.realServer);
  const hasOthers = server?.otherOptions.some((option) => option.startsWith(prefix)) === true;
  return found !== undefined && !hasOthers && found.weight === step.realServer.weight;
}

export function isSameScheduling(a: Scheduling, b: Scheduling): boolean {
  return (
    a.scheduler === b.scheduler &&
    a.persistenceSeconds === b.persistenceSeconds &&
    [...a.schedulerFlags].sort().join() === [...b.schedulerFlags].sort().join()
  );
}

/** An add of what is there in another form, as an edit; any other step as it is. */
export function addsAsEdits(step: IpvsStep, actual: Servers): IpvsStep {
  if (step.verb !== 'add') return step;
  const server = actual.get(virtualServerKey(step.server));
  if (server === undefined) return step;
  if (step.kind === 'virtual-server') return { ...step, verb: 'edit' };
  return server.realServers.has(realServerKey(step.realServer)) ? { ...step, verb: 'edit' } : step;
}

/** The longest that ipvsadm takes: 31 days. */
const longestPersistenceSeconds = 31 * 86_400;

/**
 * What ipvsadm itself would not take, undefined if it takes it. Unlike a step that the kernel refuses, such a line ends
 * `ipvsadm --restore`, and the lines after it are never carried out; so it must not get there.
 */
export function unacceptable(step: IpvsStep): string | undefined {
  if (step.verb === 'delete') return undefined;
  if (step.kind === 'real-server') {
    const { ip, weight } = step.realServer;
    if (ip.includes(':') !== step.server.ip.includes(':')) return "it is not of its virtual server's address family";
    return Number.isInteger(weight) && weight >= 0 && weight <= 65535
      ? undefined
      : `its weight ${weight} is not a whole number from 0 to 65535`;
  }
  const { scheduler, schedulerFlags, persistenceSeconds: seconds } = step.scheduling;
  // 15 characters are what the kernel takes (IP_VS_SCHEDNAME_MAXLEN).
  if (!/^[a-z0-9_]{1,15}$/.test(scheduler)) return `"${scheduler}" is not the name of a scheduler, as "rr" is`;
  const wrong = schedulerFlags.find((flag) => !isFlagOf(flag, scheduler));
  if (wrong !== undefined) return `scheduler ${scheduler} has no flag "${wrong}"`;
  if (seconds === undefined || (Number.isInteger(seconds) && seconds >= 1 && seconds <= longestPersistenceSeconds))
    return undefined;
  return `its persistence of ${seconds} s is not a whole number of seconds from 1 to ${longestPersistenceSeconds}`;
}

function isFlagOf(flag: string, scheduler: string): boolean {
  if (/^flag-[123]$/.test(flag)) return true;
  return (scheduler === 'sh' || scheduler === 'mh') && [`${scheduler}-fallback`, `${scheduler}-port`].includes(flag);
}

/** The message of a refused step, from what ipvsadm said: what could not be done, its words, what to do. */
export function explainRefusal(step: IpvsStep, words: string): string {
  const verb = { add: 'added', edit: 'changed', delete: 'deleted' }[step.verb];
  const remedy = remedyOf(step, words);
  return `${nameStep(step)} cannot be ${verb}: ${words}${remedy === undefined ? '' : `; ${remedy}`}`;
}

function remedyOf(step: IpvsStep, words: string): string | undefined {
  if (words.startsWith('Scheduler or persistence engine not found') && step.kind === 'virtual-server') {
    const scheduler = step.verb === 'delete' ? '' : step.scheduling.scheduler;
    return `this kernel has no scheduler "${scheduler}": load its module on the host (modprobe ip_vs_${scheduler}), or choose another`;
  }
  if (words === 'Service not defined') return 'its virtual server is not there';
  if (words.startsWith('Invalid operation') && step.kind === 'real-server') {
    return 'a real server is a unicast address that is not link-local';
  }
  return undefined;
}
