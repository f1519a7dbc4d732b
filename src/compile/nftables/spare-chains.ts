import type { Family } from '../../net/ip.ts';
import type { Chain } from '../../ruleset/nftables/ruleset.ts';
import { learningChain, parseLearningChainName } from './affinity.ts';
import { balancingChain, parseBalancingChainName } from './balancing.ts';

/** The chain of that name as we would make it, if it is of a kind that is made on demand; else undefined. See SpareChain in the differ. */
export function chainOnDemand(family: Family, name: string): Chain | undefined {
  const balancing = parseBalancingChainName(name);
  if (balancing !== undefined) return balancingChain(family, balancing);
  const learning = parseLearningChainName(name);
  return learning && learningChain(family, learning.protocol, learning.timeoutSeconds);
}
