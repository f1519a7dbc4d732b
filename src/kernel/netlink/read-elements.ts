import { setTimeout as sleep } from 'node:timers/promises';
import type { Family } from '../../net/ip.ts';
import type { Elements, SetDeclaration } from '../../ruleset/nftables/ruleset.ts';
import { beginSetRequest, readActualSet } from './actual-set.ts';
import { dump, type OpenTransport, type Turns } from './dump.ts';
import { NetlinkError } from './errors.ts';
import { MessageWriter, NLM_F_DUMP, NLM_F_REQUEST } from './message.ts';
import * as nft from './nf-tables.ts';
import { layoutOfSet } from './set-layout.ts';
import { forEachElement, OddElement, partsOf, readData, readValue } from './read-element.ts';

/** How long to wait before a dump that was interrupted is begun anew; after that it is given up. */
const pausesMs = [0, 20, 100, 300];

/**
 * The elements of one of our sets in the form that `nft -j list` comes to; empty where there is no such set. Undefined where that cannot
 * be told this way: intervals, elements of a kind that we never write, no netlink, or a kernel that changes faster than it can be read.
 *
 * Throws a NetlinkError. Takes time in the square of the elements: the kernel begins each part of the answer by going through all parts
 * before it.
 */
export async function readSetElements(
  open: OpenTransport,
  family: Family,
  set: SetDeclaration,
  turns: Turns,
): Promise<Elements | undefined> {
  try {
    for (const pauseMs of pausesMs) {
      const elements = await tryRead(open, family, set, turns);
      if (elements !== 'interrupted') return elements;
      await sleep(pauseMs);
    }
    // nft does the same, over and over.
    return undefined;
  } catch (error) {
    if (error instanceof OddElement) return undefined;
    if (error instanceof NetlinkError && error.code === 'ENOENT') return new Map();
    throw error;
  }
}

/** An element that came a second time. */
class Repeated extends Error {}

async function tryRead(
  open: OpenTransport,
  family: Family,
  set: SetDeclaration,
  turns: Turns,
): Promise<Elements | 'interrupted' | undefined> {
  const transport = layoutOfSet(set) && open();
  if (transport === undefined) return undefined;
  try {
    const layout = await readActualSet(transport, family, set);
    if (layout === undefined) return undefined;
    const elements = new Map<string, string>();
    let count = 0;
    const request = new MessageWriter(256);
    request.endMessage(beginSetRequest(request, nft.GETSETELEM, NLM_F_REQUEST | NLM_F_DUMP, family, set));
    const end = await dump(
      transport,
      request.bytes(),
      (message) => {
        count += forEachElement(message, (element) => {
          const { key, data } = partsOf(element);
          elements.set(readValue(key, layout.key), readData(data, layout.data));
        });
        // While a hash table grows, which takes a while after many additions, its order changes between two parts of a dump. The kernel
        // does not say so, but counts on in the new order: as many elements are missing as come twice.
        if (count > elements.size) throw new Repeated();
      },
      { turns },
    );
    return end === 'complete' ? elements : 'interrupted';
  } catch (error) {
    if (error instanceof Repeated) return 'interrupted';
    throw error;
  } finally {
    transport.close();
  }
}
