import type { Family } from '../../net/ip.ts';
import type { Chain } from '../../ruleset/nftables/ruleset.ts';
import { learningChain, learningHook, parseLearningChainName } from './affinity.ts';
import { balancingChain, balancingNumber, parseBalancingChainName } from './balancing.ts';
import { balancingMap } from './names.ts';

/** The chain of that name as we would make it, if it is of a kind that is made on demand; else undefined. See OnDemand in the differ. */
export function chainOnDemand(family: Family, name: string): Chain | undefined {
  const balancing = parseBalancingChainName(name);
  if (balancing !== undefined) return balancingChain(family, balancing);
  if (name === learningHook.name) return learningHook;
  const learning = parseLearningChainName(name);
  return learning && learningChain(family, learning.protocol, learning.timeoutSeconds);
}

/** Is that the element that leads to a balancing chain? It is there as long as the chain. */
export function isElementOnDemand(set: string, key: string, value: string): boolean {
  const balancing = set === balancingMap ? parseBalancingChainName(value.replace(/^goto /, '')) : undefined;
  return balancing !== undefined && balancingNumber(balancing) === key;
}

/** What may be left in the kernel though nothing needs it. */
export const onDemand = { chain: chainOnDemand, isElement: isElementOnDemand };
