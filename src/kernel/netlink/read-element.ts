import type { DataLayout } from './actual-set.ts';
import type { Attributes } from './attributes.ts';
import { attributesOf, type Message } from './message.ts';
import * as nft from './nf-tables.ts';
import { type Layout, readText } from './set-layout.ts';

/** An element of a kind that none of our sets has. */
export class OddElement extends Error {}

/** Shows each element that the message has; gives how many. What visit gets is good for that call alone. */
export function forEachElement(message: Message, visit: (element: Attributes) => void): number {
  let count = 0;
  if (message.type !== nft.NEWSETELEM) return count;
  for (const attribute = attributesOf(message); attribute.next();) {
    if (attribute.type !== nft.LIST_ELEMENTS) continue;
    for (const element = attribute.nested(); element.next(); count++) visit(element.nested());
  }
  return count;
}

/** What an element consists of, each as the attribute that holds it. */
export interface ElementParts {
  readonly key: Attributes;
  /** Undefined in a set. */
  readonly data: Attributes | undefined;
}

export function partsOf(element: Attributes): ElementParts {
  let key: Attributes | undefined;
  let data: Attributes | undefined;
  while (element.next()) {
    // Without a key: what stands for all other keys.
    if (element.type === nft.ELEM_FLAGS && element.u32be() !== 0) throw new OddElement();
    if (element.type === nft.ELEM_KEY) key = element.nested();
    else if (element.type === nft.ELEM_DATA) data = element.nested();
  }
  if (key === undefined) throw new OddElement();
  return { key, data };
}

/** The data's text; `''` in a set. */
export function readData(data: Attributes | undefined, layout: DataLayout): string {
  if (layout === 'none') return '';
  if (data === undefined) throw new OddElement();
  return layout === 'verdict' ? readVerdict(data) : readValue(data, layout);
}

export function readValue(value: Attributes, layout: Layout): string {
  goToValue(value, layout);
  return readText(value.buffer, value.start, layout);
}

/** Goes to the bytes of a key, or of data that is no verdict: from start on. */
export function goToValue(value: Attributes, layout: Layout): void {
  if (!value.next() || value.type !== nft.DATA_VALUE || value.end - value.start !== layout.length)
    throw new OddElement();
}

function readVerdict(data: Attributes): string {
  if (!data.next() || data.type !== nft.DATA_VERDICT_ATTRIBUTE) throw new OddElement();
  let code: number | undefined;
  let chain = '';
  for (const part = data.nested(); part.next();) {
    if (part.type === nft.VERDICT_CODE) code = part.u32be() | 0;
    else if (part.type === nft.VERDICT_CHAIN) chain = part.text();
  }
  if (code === nft.verdictCodes.goto) return `goto ${chain}`;
  for (const verdict of ['drop', 'return', 'accept'] as const) if (code === nft.verdictCodes[verdict]) return verdict;
  throw new OddElement();
}
