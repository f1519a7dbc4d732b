import type { SchedulerChoice } from '../model/service-port.ts';
import { type Accepts, isRecord, type Json, quote, type Report } from './fields.ts';
import { aKnownScheduler, schedulerFlags, withFlags } from './ipvs-scheduler.ts';

const ours = 'vipmap.io/ipvs-scheduler';
const kubeRouterName = 'kube-router.io/service.scheduler';
const kubeRouterFlags = 'kube-router.io/service.schedflags';

/** The annotations that choose a Service's scheduler, as they stand in the object; absent if it has none. */
export type SchedulerAnnotations = Readonly<Record<string, unknown>>;

/** Of an object's annotations, those that choose a scheduler; undefined if it has none of them. An empty one is none. */
export function schedulerAnnotations(raw: Json): SchedulerAnnotations | undefined {
  const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
  const annotations = metadata['annotations'];
  if (!isRecord(annotations)) return undefined;
  const found = [ours, kubeRouterName, kubeRouterFlags].flatMap((name) => {
    const value = annotations[name];
    return value === undefined || value === null || value === '' ? [] : [[name, value] as const];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/**
 * The scheduler that a Service's annotations ask for, ours before those that kube-router reads; undefined if they ask for none, or for
 * none that Linux comes with: one that the kernel has not would leave the Service without a virtual server.
 */
export function serviceScheduler(annotations: SchedulerAnnotations, report: Report): SchedulerChoice | undefined {
  const own = annotations[ours];
  if (own !== undefined) return read(ours, own, aKnownScheduler, report);
  const name = annotations[kubeRouterName];
  const flags = annotations[kubeRouterFlags];
  if (name === undefined) {
    const message = `annotation ${kubeRouterFlags} ${quote(flags)} is given without ${kubeRouterName}; it is ignored`;
    if (flags !== undefined) report(message);
    return undefined;
  }
  const scheduler = read(kubeRouterName, name, aKubeRouterScheduler, report);
  if (scheduler === undefined || flags === undefined) return scheduler;
  return kubeRouterChoice(scheduler, flags, report);
}

function read<T>(annotation: string, value: unknown, accepts: Accepts<T>, report: Report): T | undefined {
  const parsed = accepts.parse(value);
  if (parsed === undefined)
    report(`annotation ${annotation} ${quote(value)} is not ${accepts.expected}; the node's scheduler is used`);
  return parsed;
}

/** A name alone; unlike kube-proxy, kube-router gives mh no flag of its own accord. */
const aKubeRouterScheduler: Accepts<SchedulerChoice> = {
  expected: `${aKnownScheduler.expected.replace(/, with .*/, '')}, without flags, which go into ${kubeRouterFlags}`,
  parse: (value) => {
    const name = aKnownScheduler.parse(value)?.name;
    return name === undefined || String(value).includes(',') ? undefined : { name, flags: [] };
  },
};

/** kube-router knows flags by their numbers: flag-1 is falling back and flag-2 hashing ports, for sh and mh alike. */
function kubeRouterChoice(scheduler: SchedulerChoice, flags: unknown, report: Report): SchedulerChoice {
  const { name } = scheduler;
  const accepted = schedulerFlags(name);
  const parts = typeof flags === 'string' ? flags.split(',').map((flag) => flag.trim()) : [''];
  const choice = withFlags(
    name,
    parts.map((flag) => accepted[['flag-1', 'flag-2'].indexOf(flag)] ?? flag),
  );
  if (choice !== undefined) return choice;
  const expected =
    accepted.length === 0
      ? `what ${name} can have: it has no flags`
      : `a list of flag-1 (${accepted[0]}) and flag-2 (${accepted[1]})`;
  report(`annotation ${kubeRouterFlags} ${quote(flags)} is not ${expected}; ${name} is used without flags`);
  return scheduler;
}
