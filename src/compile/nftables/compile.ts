import type { ProxyState } from '../../model/proxy-state.ts';
import type { Ruleset, Table } from '../../ruleset/nftables/ruleset.ts';
import { compareServicePorts } from './claims.ts';
import { type FamilySlots, LiveRuleset, noSlots } from './live-ruleset.ts';
import { isEndpointMap } from './names.ts';
import { slotsOfElements, type Slots } from './slots.ts';

/** What compile gives; in mode ipvs with virtual servers, whose companions the tables are. */
export type Compiled = LiveRuleset;

/**
 * The ruleset that makes the kernel do what the state asks: both tables with all their chains, sets and elements.
 *
 * Pure. The order of service ports and endpoints in the state carries no meaning: the same state gives the same bytes. Only slots
 * depend on the past (see slots.ts). Cost grows with services and endpoints linearly.
 */
export function compile(state: ProxyState, previous: FamilySlots = noSlots): Compiled {
  return new LiveRuleset(state, [...state.servicePorts].sort(compareServicePorts), previous);
}

/** The slots that the kernel's tables hold. */
export function slotsOfRuleset(ruleset: Ruleset): FamilySlots {
  const ofTable = (table: Table | undefined): Slots =>
    new Map(
      [...(table?.elements ?? [])]
        .filter(([set]) => isEndpointMap(set))
        .map(([set, elements]) => [set, slotsOfElements(elements)]),
    );
  return { ip: ofTable(ruleset.ip), ip6: ofTable(ruleset.ip6) };
}
