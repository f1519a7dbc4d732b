import isEqual from 'lodash-es/isEqual.js';
import { type Cidr, cidrContains } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import {
  type RealServer,
  type Scheduling,
  type VirtualServer,
  type VirtualServerId,
} from '../ruleset/ipvs/virtual-server.ts';

/** A virtual server in the kernel; otherOptions: what none of ours has, so that it cannot be changed into one of ours. */
export type ActualServer = VirtualServer & { readonly otherOptions?: readonly string[] };

/** What the kernel holds, anybody's. */
export interface ActualServers {
  readonly servers: ReadonlyMap<string, ActualServer>;
  /** Addresses of our interface; undefined if there is no such interface. */
  readonly own: ReadonlySet<Ip> | undefined;
  /** Addresses of the other interfaces. */
  readonly others: ReadonlySet<Ip>;
}

/** What of IPVS is ours, as the companion table keeps it in the kernel. */
export interface ServersRecord {
  /** By virtualServerKey. */
  readonly servers: ReadonlySet<string>;
  readonly ips: ReadonlySet<string>;
}

/** How to tell ours from others', and what leaves from what has left. */
export interface Judgement {
  /** Virtual servers and addresses that an earlier state of ours had. */
  readonly record: ServersRecord;
  /** True in mode ipvs: all that is on our interface is ours, e.g. what kube-proxy left there. */
  readonly ownsInterface: boolean;
  /** Never removed. */
  readonly excludeCidrs: readonly Cidr[];
  /** Whether a real server of weight 0 may go: its connections have ended, or were waited for long enough. */
  readonly isDrained: (server: string, realServer: string) => boolean;
}

/** Steps that bring IPVS and the addresses there. Each list is in order; what is added goes first. */
export interface ServersPlan {
  readonly steps: readonly Step[];
  /** True if it is about everything, addresses included. */
  readonly isWhole: boolean;
  /** Virtual servers that nobody asks for any more, with connections that go on: they and their addresses stay until these end. */
  readonly draining: ReadonlyMap<string, VirtualServer>;
  /** Virtual servers with real servers that wait for the end of their connections: the draining ones, and some that are asked for. */
  readonly leaving: ReadonlySet<string>;
}

/**
 * Compares the virtual servers of these keys. A real server that leaves gets weight 0 first, so that its connections go on, and goes
 * when they have ended; UDP knows no connections, so there it goes at once.
 *
 * Others' virtual servers are not in `keys` (see ownKeys). Order: virtual servers and real servers come before anything goes.
 */
export function diffServers(
  desired: (key: string) => VirtualServer | undefined,
  actual: ReadonlyMap<string, ActualServer>,
  keys: Iterable<string>,
  isDrained: Judgement['isDrained'],
): ServersPlan {
  const adds: Step[] = [];
  const removals: Step[] = [];
  const draining = new Map<string, VirtualServer>();
  const leaving = new Set<string>();
  for (const key of keys) {
    const wanted = desired(key);
    const existing = actual.get(key);
    if (wanted !== undefined) {
      if (existing?.otherOptions !== undefined && existing.otherOptions.length > 0) {
        // Another program's options cannot be taken off, only the whole.
        adds.push({ kind: 'virtual-server', verb: 'delete', server: idOf(existing) });
        adds.push(...diffOne(wanted, undefined));
        continue;
      }
      adds.push(...diffOne(wanted, existing));
      if (removeOthers(key, wanted, existing, isDrained, removals)) leaving.add(key);
    } else if (existing !== undefined && !removeOne(key, existing, isDrained, removals)) draining.set(key, existing);
  }
  for (const key of draining.keys()) leaving.add(key);
  return { steps: [...adds, ...removals], isWhole: false, draining, leaving };
}

/** The keys of what is ours in the kernel: by the record, or by an address on our interface. */
export function ownKeys({ servers, own }: ActualServers, judgement: Judgement): readonly string[] {
  const { record, ownsInterface } = judgement;
  return [...servers]
    .filter(([key, { ip }]) => record.servers.has(key) || (ownsInterface && own?.has(ip) === true))
    .filter(([, { ip }]) => !isExcluded(ip, judgement))
    .map(([key]) => key);
}

const isExcluded = (ip: Ip, { excludeCidrs }: Judgement) => excludeCidrs.some((cidr) => cidrContains(cidr, ip));

/** Whole states: addresses come first and go last. `desiredIps`: services' addresses that are to be on our interface. */
export function planServers(
  desired: ReadonlyMap<string, VirtualServer>,
  desiredIps: Iterable<Ip>,
  actual: ActualServers,
  judgement: Judgement,
): ServersPlan {
  const keys = new Set([...desired.keys(), ...ownKeys(actual, judgement)]);
  const plan = diffServers((key) => desired.get(key), actual.servers, keys, judgement.isDrained);
  const wanted = new Set(desiredIps);
  for (const { ip } of plan.draining.values()) if (actual.own?.has(ip) === true) wanted.add(ip);
  const { own = new Set<Ip>() } = actual;
  const coming = [...wanted].filter((ip) => !own.has(ip));
  const going = [...own].filter((ip) => !wanted.has(ip) && (judgement.ownsInterface || judgement.record.ips.has(ip)));
  const addresses = addressSteps(coming, going, actual, judgement);
  // In another mode than ipvs nothing is left to be there for.
  const last = judgement.ownsInterface ? addresses.going : addressRemoval(going, own);
  return { ...plan, isWhole: true, steps: [...addresses.coming, ...plan.steps, ...last] };
}

/** What takes away all that is ours at once, and the interface if nothing of others is on it. */
export function planRemoval(
  servers: ReadonlyMap<string, ActualServer>,
  { own = new Set<Ip>() }: Pick<ActualServers, 'own'>,
  record: ServersRecord,
): readonly Step[] {
  const steps: Step[] = [];
  for (const [key, server] of servers)
    if (record.servers.has(key)) steps.push({ kind: 'virtual-server', verb: 'delete', server: idOf(server) });
  const ips = [...own].filter((ip) => record.ips.has(ip));
  return [...steps, ...addressRemoval(ips, own)];
}

/** With all its addresses the interface goes at once; one by one, ten thousand of IPv6 take the kernel minutes. */
function addressRemoval(going: readonly Ip[], own: ReadonlySet<Ip>): readonly Step[] {
  if (own.size > 0 && going.length === own.size) return [{ kind: 'interface', verb: 'delete' }];
  return going.map((ip) => ({ kind: 'address', verb: 'delete', ip }));
}

/** Addresses that another interface holds are not put on ours. */
export function addressSteps(
  coming: readonly Ip[],
  going: readonly Ip[],
  { own, others }: ActualServers,
  judgement: Judgement,
): { readonly coming: readonly Step[]; readonly going: readonly Step[] } {
  const adds: Step[] = coming
    .filter((ip) => own?.has(ip) !== true && !others.has(ip))
    .map((ip) => ({ kind: 'address', verb: 'add', ip }));
  const deletes: Step[] = going
    .filter((ip) => own?.has(ip) === true && !isExcluded(ip, judgement))
    .map((ip) => ({ kind: 'address', verb: 'delete', ip }));
  return {
    coming: own === undefined && adds.length > 0 ? [{ kind: 'interface', verb: 'add' }, ...adds] : adds,
    going: deletes,
  };
}

function diffOne(wanted: VirtualServer, existing: VirtualServer | undefined): readonly Step[] {
  const steps: Step[] = [];
  const server = idOf(wanted);
  const scheduling = schedulingOf(wanted);
  if (existing === undefined) steps.push({ kind: 'virtual-server', verb: 'add', server, scheduling });
  else if (!isEqual(scheduling, schedulingOf(existing)))
    steps.push({ kind: 'virtual-server', verb: 'edit', server, scheduling });
  for (const [id, realServer] of wanted.realServers) {
    const there = existing?.realServers.get(id);
    if (there === undefined) steps.push({ kind: 'real-server', verb: 'add', server, realServer });
    else if (there.weight !== realServer.weight) steps.push({ kind: 'real-server', verb: 'edit', server, realServer });
  }
  return steps;
}

/** True if some wait for the end of their connections. */
function removeOthers(
  key: string,
  wanted: VirtualServer,
  existing: VirtualServer | undefined,
  isDrained: Judgement['isDrained'],
  removals: Step[],
): boolean {
  let isWaiting = false;
  for (const [id, realServer] of existing?.realServers ?? []) {
    if (wanted.realServers.has(id)) continue;
    const step = leave(idOf(wanted), realServer, () => isDrained(key, id));
    if (step === 'waits' || step.verb !== 'delete') isWaiting = true;
    if (step !== 'waits') removals.push(step);
  }
  return isWaiting;
}

/** True if nothing of it stays. */
function removeOne(key: string, existing: VirtualServer, isDrained: Judgement['isDrained'], removals: Step[]): boolean {
  const server = idOf(existing);
  const steps: Step[] = [];
  let isGone = true;
  for (const [id, realServer] of existing.realServers) {
    const step = leave(server, realServer, () => isDrained(key, id));
    if (step === 'waits' || step.verb !== 'delete') isGone = false;
    if (step !== 'waits') steps.push(step);
  }
  if (isGone) removals.push({ kind: 'virtual-server', verb: 'delete', server });
  else removals.push(...steps);
  return isGone;
}

function leave(
  server: VirtualServerId,
  realServer: RealServer,
  isDrained: () => boolean,
): Extract<Step, { kind: 'real-server' }> | 'waits' {
  const remove = { kind: 'real-server', verb: 'delete', server, realServer } as const;
  if (server.protocol === 'udp') return remove;
  if (realServer.weight !== 0) return { ...remove, verb: 'edit', realServer: { ...realServer, weight: 0 } };
  return isDrained() ? remove : 'waits';
}

function idOf({ protocol, ip, port }: VirtualServerId): VirtualServerId {
  return { protocol, ip, port };
}

function schedulingOf({ scheduler, schedulerFlags, persistenceSeconds }: Scheduling): Scheduling {
  return { scheduler, schedulerFlags, ...(persistenceSeconds !== undefined && { persistenceSeconds }) };
}
