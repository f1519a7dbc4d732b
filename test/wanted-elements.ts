import { isElementOnDemand } from '../src/compile/nftables/spare-chains.ts';
import type { Elements } from '../src/ruleset/nftables/ruleset.ts';

/** A set's elements in an order that does not depend on the past; of those that stay when nothing needs them any more, what is wanted. */
export function wantedElements(set: string, elements: Elements, wanted: Elements | undefined): [string, string][] {
  return [...elements]
    .filter(([key, value]) => wanted?.has(key) === true || !isElementOnDemand(set, key, value))
    .sort();
}
