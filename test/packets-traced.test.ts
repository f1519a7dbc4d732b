import { compile, type Compiled, slotsOfRuleset } from '../src/compile/nftables/compile.ts';
import { staleAffinity } from '../src/compile/nftables/affinity.ts';
import { affinityMap } from '../src/compile/nftables/names.ts';
import { type Ip, parseIp } from '../src/net/ip.ts';
import { protocols } from '../src/net/protocol.ts';
import type { Ruleset } from '../src/ruleset/nftables/ruleset.ts';
import { type Packet, tracePacket, type TraceOutcome } from '../src/ruleset/nftables/trace.ts';
import { type Fixture, fixtureNames, readFixture, viaOf } from './fixtures.ts';
import { modeDifferences, packetsIn } from './mode-differences.ts';
import { formatEndpoint, parseEndpoint } from './packets/craft.ts';
import type { PacketSpec } from './packets/packets-file.ts';

const differences = modeDifferences.filter(({ onlyWithConnections }) => onlyWithConnections !== true);

/** Every fixture's packets through the ruleset value. The same packets go through a real kernel in packets-kernel.test.ts. */
describe.each(['nftables', 'ipvs'] as const)('packets, traced in mode %s', (mode) => {
  it.each(fixtureNames)('%s', async (name) => {
    const fixture = await readFixture(name, mode);
    const memory = new Map<string, Map<string, string>>();
    let actual: Ruleset = {};
    for (const [i, state] of fixture.states.entries()) {
      const compiled = compile(state, slotsOfRuleset(actual));
      actual = compiled.ruleset;
      forget(actual, memory);
      for (const spec of packetsIn(mode, fixture, differences).filter(({ step = 1 }) => step === i + 1)) {
        expect([spec.name, describeOutcome(fixture, compiled, spec, memory)]).toEqual([spec.name, expected(spec)]);
      }
    }
  });
});

function expected({ expect: what, masquerade = false, sticky = false }: PacketSpec) {
  if (typeof what === 'string') return { verdict: what };
  return { endpoints: sticky ? 'one of them' : [...what].sort(), masquerade };
}

function describeOutcome(
  fixture: Fixture,
  { ruleset, servers, boundIps }: Compiled,
  spec: PacketSpec,
  memory: Map<string, Map<string, string>>,
) {
  const packet = packetOf(spec, fixture.nodeAddresses);
  const localAddresses = new Set([...fixture.nodeAddresses, ...boundIps]);
  const trace = () => tracePacket(ruleset, packet, { localAddresses, servers, memory });
  const outcomes = trace();
  const [first] = outcomes as [TraceOutcome];
  if (first.verdict !== 'passed') return { verdict: first.verdict === 'dropped' ? 'drop' : 'reject' };
  if (first.destination === packet.destination && first.port === packet.port && typeof spec.expect === 'string')
    return { verdict: 'untouched' };
  const reached = (all: readonly TraceOutcome[]) =>
    [...new Set(all.map(({ destination, port }) => formatEndpoint(destination, port)))].sort();
  const masquerade = first.isMasqueraded;
  if (spec.sticky !== true) return { endpoints: reached(outcomes), masquerade };
  // The first connection was just remembered: the next ones must all follow it.
  const next = [...reached(trace()), ...reached(trace())];
  const isOne = new Set(next).size === 1 && Array.isArray(spec.expect) && spec.expect.includes(next[0]);
  return { endpoints: isOne ? 'one of them' : next, masquerade };
}

/** What the reconciler removes after a change. */
function forget(ruleset: Ruleset, memory: Map<string, Map<string, string>>): void {
  for (const table of Object.values(ruleset)) {
    for (const protocol of protocols) {
      const remembered = memory.get(`${table.family} ${affinityMap(protocol)}`) ?? new Map<string, string>();
      for (const key of staleAffinity(table, protocol, remembered).keys()) remembered.delete(key);
    }
  }
}

function packetOf(spec: PacketSpec, nodeAddresses: readonly string[]): Packet {
  const { address, port, protocol } = parseEndpoint(spec.to);
  const via = viaOf(spec, nodeAddresses);
  return {
    source: parseIp(spec.from) as Ip,
    destination: address,
    port,
    protocol,
    ...(via === 'node' ? {} : { device: via === 'pods' ? 'cni0' : 'eth0' }),
  };
}
