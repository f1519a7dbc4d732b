import { parseIp } from '../net/ip.ts';
import { count, failureOf, type Leftovers, nothing, runIfInstalled, some } from './kube-proxy-leftovers-report.ts';

const suffixes = [
  ...['LOOP-BACK', 'CLUSTER-IP', 'EXTERNAL-IP', 'EXTERNAL-IP-LOCAL', 'IPVS-IPS', 'HEALTH-CHECK-NODE-PORT'],
  ...['LOAD-BALANCER', 'LOAD-BALANCER-LOCAL', 'LOAD-BALANCER-FW'],
  ...['LOAD-BALANCER-SOURCE-IP', 'LOAD-BALANCER-SOURCE-CIDR'],
  ...['NODE-PORT-TCP', 'NODE-PORT-LOCAL-TCP', 'NODE-PORT-UDP', 'NODE-PORT-LOCAL-UDP'],
  ...['NODE-PORT-SCTP-HASH', 'NODE-PORT-LOCAL-SCTP-HASH'],
  // Up to 1.13.
  ...['NODE-PORT-SCTP', 'NODE-PORT-LOCAL-SCTP'],
];

/** The kernel's limit, at which kube-proxy cuts its names for IPv6. */
const longestName = 31;

/** kube-proxy's names for both families; other programs have sets that begin with KUBE- too. */
export const ipsetNames: ReadonlySet<string> = new Set(
  suffixes.flatMap((suffix) => [`KUBE-${suffix}`, `KUBE-6-${suffix}`.slice(0, longestName)]),
);

/** Which virtual servers are kube-proxy's, by its sets: `10.96.0.1 tcp 443`, and of node ports `tcp 30080` on any address. */
export interface KnownServers {
  readonly servers: ReadonlySet<string>;
  readonly nodePorts: ReadonlySet<string>;
}

const serverSets = /^KUBE-(?:6-)?(?:CLUSTER-IP|EXTERNAL-IP(?:-LOCAL)?|LOAD-BALANCER|NODE-PORT-SCTP-HASH)$/;
const nodePortSets = /^KUBE-(?:6-)?NODE-PORT-(TCP|UDP)$/;

/** Nothing if ipset is not installed or has no such sets. */
export async function readKnownServers(): Promise<KnownServers> {
  const servers = new Set<string>();
  const nodePorts = new Set<string>();
  for (const name of (await ourSets()).names) {
    const protocol = nodePortSets.exec(name)?.[1]?.toLowerCase();
    if (protocol === undefined && !serverSets.test(name)) continue;
    const saved = await runIfInstalled('ipset', ['save', name]);
    // add KUBE-CLUSTER-IP 10.96.0.1,tcp:443 and add KUBE-NODE-PORT-TCP 30080
    for (const [, member = ''] of (saved?.stdout ?? '').matchAll(/^add \S+ (\S+)/gm)) {
      const [, address, own, port] = /^(?:([^,]+),(\w+):)?(\d+)$/.exec(member) ?? [];
      const ip = address === undefined ? undefined : parseIp(address);
      if (ip !== undefined) servers.add(`${ip} ${own} ${port}`);
      else if (protocol !== undefined) nodePorts.add(`${protocol} ${port}`);
    }
  }
  return { servers, nodePorts };
}

/** Removes kube-proxy's sets; after the rules that name them, for the kernel keeps those that are in use. */
export async function removeSets(): Promise<Leftovers> {
  const { names, failure, isMissing } = await ourSets();
  if (isMissing) return { ...nothing, notLookedFor: ['sets of ipset: ipset is not installed'] };
  const removed: string[] = [];
  const failed = failure === undefined ? [] : [`sets of ipset: ${failure}`];
  for (const name of names) {
    const result = await runIfInstalled('ipset', ['destroy', name]);
    const reason = result && failureOf(result);
    if (reason === undefined) removed.push(name);
    else failed.push(`set ${name} of ipset: ${reason}`);
  }
  const what = `${count(removed.length, 'set')} of ipset: ${some(removed, removed.length)}`;
  return { ...nothing, removed: removed.length > 0 ? [what] : [], failed };
}

interface OurSets {
  readonly names: readonly string[];
  readonly failure?: string;
  readonly isMissing: boolean;
}

async function ourSets(): Promise<OurSets> {
  const listed = await runIfInstalled('ipset', ['list', '-name']);
  if (listed === undefined) return { names: [], isMissing: true };
  const failure = failureOf(listed);
  // A kernel without sets has none of kube-proxy's.
  const isUnsupported = failure !== undefined && /Protocol not supported|Cannot open session to kernel/.test(failure);
  if (isUnsupported) return { names: [], isMissing: false };
  const names = listed.stdout.split('\n').filter((name) => ipsetNames.has(name));
  return { names, isMissing: false, ...(failure === undefined ? {} : { failure }) };
}
