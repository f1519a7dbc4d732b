import type { ProxyState } from '../../model/proxy-state.ts';
import type { Family } from '../../net/ip.ts';
import type { Ruleset, Table } from '../../ruleset/nftables/ruleset.ts';
import { compareServicePorts, type Conflict } from './claims.ts';
import { type FamilySlots, LiveRuleset, noSlots } from './live-ruleset.ts';
import { slotsOfElements, type Slots } from './slots.ts';

export interface Compiled {
  readonly ruleset: Readonly<Record<Family, Table>>;
  /** What the next compile takes, so that endpoints keep their slots. */
  readonly slots: FamilySlots;
  /** Frontends that two services claim: the loser is left out. */
  readonly conflicts: readonly Conflict[];
}

/**
 * The ruleset that makes the kernel do what the state asks: both tables with all their chains, sets and elements.
 *
 * Pure. The order of service ports and endpoints in the state carries no meaning: the same state gives the same bytes. Only slots
 * depend on the past (see slots.ts). Cost grows with services and endpoints linearly.
 */
export function compile(state: ProxyState, previous: FamilySlots = noSlots): Compiled {
  const { ruleset, slots, conflicts } = new LiveRuleset(
    state,
    [...state.servicePorts].sort(compareServicePorts),
    previous,
  );
  return { ruleset, slots, conflicts };
}

/** The slots that the kernel's tables hold. */
export function slotsOfRuleset(ruleset: Ruleset): FamilySlots {
  const ofTable = (table: Table | undefined): Slots =>
    new Map(
      [...(table?.elements ?? [])]
        .filter(([set]) => set.includes('-endpoints-'))
        .map(([set, elements]) => [set, slotsOfElements(elements)]),
    );
  return { ip: ofTable(ruleset.ip), ip6: ofTable(ruleset.ip6) };
}
