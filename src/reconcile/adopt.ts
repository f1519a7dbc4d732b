import { LiveRuleset } from '../compile/nftables/live-ruleset.ts';
import { isEndpointMap } from '../compile/nftables/names.ts';
import { changedSlots } from '../compile/nftables/slots.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { NodeState } from '../model/proxy-state.ts';
import type { ServicePort } from '../model/service-port.ts';
import { families, type Family } from '../net/ip.ts';
import { type Elements, elementsOf, type Ruleset, type SetDeclaration } from '../ruleset/nftables/ruleset.ts';
import { readExpected, readMost, readRest } from './read-ruleset.ts';

/** The ruleset that is wanted, on the slots that endpoints have in the kernel, beside what that holds. */
export interface Adopted {
  readonly live: LiveRuleset;
  readonly actual: Ruleset;
  /** False if maps of endpoints may hold more than was found. No packet gets there: frontends and their counts of endpoints were read. */
  readonly isComplete: boolean;
}

export interface AdoptOptions {
  /** What readMost gave, a while ago. */
  readonly read?: Ruleset | undefined;
  /** Everything has to be known, whatever it takes. */
  readonly isThorough?: boolean;
}

/**
 * Compiles a state on what the kernel holds: endpoints keep the slots that they have there. Changes nothing.
 *
 * Large maps of endpoints are not read: the kernel is asked for the elements that they should hold. Mostly it holds just these, and says
 * how many there are, so that this is certain. Throws KernelErrors.
 */
export async function adopt(
  kernel: Kernel,
  node: NodeState,
  servicePorts: Iterable<ServicePort>,
  { read, isThorough = false }: AdoptOptions = {},
): Promise<Adopted> {
  const most = read ?? (await readMost(kernel));
  const live = new LiveRuleset(node, servicePorts, undefined, most);
  let isComplete = true;
  const readEndpoints = async (family: Family, set: SetDeclaration): Promise<Elements> => {
    const expected = elementsOf(live.ruleset[family], set.name);
    const found = await readExpected(kernel, family, set, expected, isThorough);
    isComplete &&= found.isComplete;
    return found.elements;
  };
  const actual = await readRest(most, readEndpoints);
  const slotsIn = (family: Family) =>
    new Map(
      [...(actual[family]?.elements ?? [])]
        .filter(([set]) => isEndpointMap(set))
        .map(([set, elements]) => [set, changedSlots(elementsOf(live.ruleset[family], set), elements)]),
    );
  for (const family of families) live.takeSlots(family, slotsIn(family));
  return { live, actual, isComplete };
}
