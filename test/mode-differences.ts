import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import type { Fixture } from './fixtures.ts';
import type { PacketSpec } from './packets/packets-file.ts';

export const modes = ['nftables', 'ipvs'] as const;
export type Mode = (typeof modes)[number];

/** An exception from what packets.yaml says, as mode-differences.yaml has it. */
export interface ModeDifference {
  readonly name: string;
  readonly mode: Mode;
  readonly reason: string;
  /** Not where packets are traced, each by itself. */
  readonly onlyWithConnections?: boolean;
  readonly packets: readonly DifferentPacket[];
}

/** A packet by its fixture and name, and what is expected of it instead. */
export interface DifferentPacket extends Partial<Pick<PacketSpec, 'expect' | 'masquerade' | 'sticky'>> {
  readonly fixture: string;
  readonly packet: string;
  /** Where the same name stands in several steps; default: all of them. */
  readonly step?: number;
}

export const modeDifferences = load(
  readFileSync(join(import.meta.dirname, 'mode-differences.yaml'), 'utf8'),
) as readonly ModeDifference[];

/** A fixture's packets with what is expected of them in a mode: packets.yaml, but for the exceptions. */
export function packetsIn(
  mode: Mode,
  { name, packets }: Pick<Fixture, 'name' | 'packets'>,
  differences: readonly ModeDifference[] = modeDifferences,
): PacketSpec[] {
  const different = differences
    .filter((difference) => difference.mode === mode)
    .flatMap((difference) => difference.packets.filter(({ fixture }) => fixture === name));
  return packets.map((spec) => {
    const found = different.find((each) => isThat(each, spec));
    if (found === undefined) return spec;
    const { fixture: _fixture, packet: _packet, step: _step, ...instead } = found;
    return { ...spec, ...instead };
  });
}

/** What is wrong with a fixture's exceptions: packets that are not there, and exceptions that are none. */
export function faultsOf(
  differences: readonly ModeDifference[],
  fixtures: readonly Pick<Fixture, 'name' | 'packets'>[],
): string[] {
  const faults: string[] = [];
  for (const { name, mode, reason, packets } of differences) {
    const what = `mode difference "${name}"`;
    if (!modes.includes(mode)) faults.push(`${what}: mode "${mode}" is none of ${modes.join(', ')}`);
    if ((reason ?? '').trim() === '') faults.push(`${what}: no reason is given`);
    for (const each of packets) {
      const specs = fixtures
        .find((fixture) => fixture.name === each.fixture)
        ?.packets.filter((spec) => isThat(each, spec));
      if (specs === undefined) faults.push(`${what}: there is no fixture "${each.fixture}"`);
      else if (specs.length === 0) faults.push(`${what}: ${each.fixture} has no packet "${each.packet}"`);
      else if (specs.every((spec) => isSame(each, spec)))
        faults.push(`${what}: ${each.fixture}: "${each.packet}" is expected to do just what packets.yaml says`);
    }
  }
  return faults;
}

const isThat = ({ packet, step }: DifferentPacket, spec: PacketSpec) =>
  packet === spec.name && (step === undefined || step === (spec.step ?? 1));

const isSame = (different: DifferentPacket, spec: PacketSpec) =>
  (different.expect === undefined || JSON.stringify(different.expect) === JSON.stringify(spec.expect)) &&
  (different.masquerade ?? spec.masquerade ?? false) === (spec.masquerade ?? false) &&
  (different.sticky ?? spec.sticky ?? false) === (spec.sticky ?? false);
