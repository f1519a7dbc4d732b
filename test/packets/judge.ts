import type { Outcome } from './outcome.ts';
import { formatEndpoint, parseEndpoint } from './craft.ts';
import type { PacketSpec } from './packets-file.ts';
import type { Playground } from './playground.ts';

const leastCopiesPerRound = 4;
// With a copy an endpoint in each round, the chance to miss one of 40 endpoints in all rounds is 1 in 10^16.
const maxRounds = 40;
const copiesOfCertain = 2;
const stickyConnections = 8;

/** Undefined if this is what the spec expects; else a sentence that tells what was expected and what was seen. */
export function judge(spec: PacketSpec, outcomes: readonly Outcome[]): string | undefined {
  const fault = findFault(spec, outcomes);
  return fault === undefined ? undefined : `${spec.name}: ${spec.from} to ${spec.to}: ${fault}`;
}

function findFault(spec: PacketSpec, outcomes: readonly Outcome[]): string | undefined {
  if (outcomes.length === 0) return `expected ${describeExpected(spec)}, but no packet was sent`;
  for (const outcome of outcomes) {
    if (!isExpected(spec, outcome)) return `expected ${describeExpected(spec)}, but it was ${describe(outcome)}`;
  }
  if (typeof spec.expect === 'string') return undefined;
  const reached = reachedBy(outcomes);
  if (spec.sticky) {
    return reached.size === 1
      ? undefined
      : `expected one endpoint for all connections, but they reached ${list(reached)}`;
  }
  const missed = expectedEndpoints(spec.expect).filter((endpoint) => !reached.has(endpoint));
  return missed.length === 0
    ? undefined
    : `never reached ${list(missed)} in ${outcomes.length} packets, only ${list(reached)}`;
}

/** Sends each packet until every endpoint that it may reach was reached, or something went wrong. Judge what each got. */
export async function sendUntilCovered(playground: Playground, specs: readonly PacketSpec[]): Promise<Outcome[][]> {
  const outcomes = specs.map((): Outcome[] => []);
  for (let round = 0; round < maxRounds; round++) {
    const due = specs.flatMap((spec, i) => Array<number>(copiesDue(spec, outcomes[i] ?? [])).fill(i));
    if (due.length === 0) break;
    const results = await playground.send(due.map((i) => specs[i]).filter((spec) => spec !== undefined));
    results.forEach((outcome, n) => outcomes[due[n] ?? -1]?.push(outcome));
  }
  return outcomes;
}

// How many packets of a spec the next round must send, after those that were sent.
function copiesDue(spec: PacketSpec, sent: readonly Outcome[]): number {
  if (sent.some((outcome) => !isExpected(spec, outcome))) return 0;
  if (typeof spec.expect === 'string') return sent.length === 0 ? copiesOfCertain : 0;
  // One at a time: a client sticks to an endpoint from the end of its first connection's first packet on.
  if (spec.sticky) return sent.length < stickyConnections ? 1 : 0;
  const reached = reachedBy(sent);
  const isCovered = sent.length > 0 && expectedEndpoints(spec.expect).every((endpoint) => reached.has(endpoint));
  return isCovered ? 0 : Math.max(leastCopiesPerRound, spec.expect.length);
}

function isExpected(spec: PacketSpec, outcome: Outcome): boolean {
  if (spec.expect === 'drop') return outcome.kind === 'silent';
  if (spec.expect === 'reject') return outcome.kind === 'rejected';
  if (outcome.kind === 'silent' || outcome.kind === 'rejected') return false;
  const allowed = expectedEndpoints(spec.expect === 'untouched' ? [spec.to] : spec.expect);
  return allowed.includes(outcome.destination) && isSourceExpected(spec, outcome);
}

function isSourceExpected(spec: PacketSpec, outcome: Extract<Outcome, { source: string }>): boolean {
  const unchanged = outcome.source === addressOf(spec.from);
  if (!spec.masquerade) return unchanged;
  // What is delivered to the node never gets to postrouting, or comes through lo, where masquerading may change nothing.
  return outcome.kind === 'delivered' || outcome.looksMasqueraded;
}

function addressOf(text: string): string {
  return parseEndpoint(text.includes(':') ? `[${text}]:0` : `${text}:0`).address;
}

function expectedEndpoints(endpoints: readonly string[]): string[] {
  return endpoints.map((text) => {
    const { address, port } = parseEndpoint(text);
    return formatEndpoint(address, port);
  });
}

function reachedBy(outcomes: readonly Outcome[]): Set<string> {
  return new Set(outcomes.flatMap((outcome) => ('destination' in outcome ? [outcome.destination] : [])));
}

function describeExpected({ expect, masquerade, from }: PacketSpec): string {
  if (expect === 'drop') return 'to be dropped';
  if (expect === 'reject') return 'to be rejected';
  const place = expect === 'untouched' ? 'to go on untouched' : `to reach ${list(expect)}`;
  return `${place} ${masquerade ? 'masqueraded' : `from ${from}`}`;
}

function describe(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'silent':
      return 'dropped';
    case 'rejected':
      return outcome.by === 'icmp' ? 'rejected by an ICMP error' : 'rejected by a TCP reset';
    case 'sent-on':
      return `sent on to ${outcome.destination} through ${outcome.device} from ${outcome.source}`;
    case 'delivered':
      return `delivered to the node at ${outcome.destination} from ${outcome.source}`;
  }
}

function list(items: Iterable<string>): string {
  return [...items].join(', ');
}
