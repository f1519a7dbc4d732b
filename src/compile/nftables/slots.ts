import { concatenate, type Elements } from '../../ruleset/nftables/ruleset.ts';

/**
 * Which endpoint has which slot: for one endpoint map, the frontend's part of the key (`10.96.0.10 . 53`, `30080`) to endpoints by
 * slot (`['10.244.1.5 . 5353', '10.244.2.7 . 5353']`).
 */
export type MapSlots = ReadonlyMap<string, readonly string[]>;

/** By endpoint map. Slots are the one thing that the next ruleset takes from the last. */
export type Slots = ReadonlyMap<string, MapSlots>;

const noSlots: readonly string[] = [];
const separator = concatenate('', '');

/**
 * The wanted endpoints in slots 0 to n-1, with as few changes against the previous slots as can be: an endpoint that stays keeps its
 * slot; a new one takes the slot of one that left, or the next; a hole that is left over gets the last slot's endpoint.
 * Previous slots may have holes and doubles (someone changed the kernel's map); wanted has neither.
 */
export function assignSlots(
  previous: readonly (string | undefined)[] = noSlots,
  wanted: readonly string[],
): readonly string[] {
  if (previous.length === 0) return wanted;
  if (previous.length === wanted.length && previous.every((endpoint, slot) => endpoint === wanted[slot])) return wanted;
  const left = new Set(wanted);
  // delete() is true for the first slot of a wanted endpoint only.
  const slots = previous
    .slice(0)
    .map((endpoint) => (endpoint !== undefined && left.delete(endpoint) ? endpoint : undefined));
  const newcomers = wanted.filter((endpoint) => left.has(endpoint));
  let next = 0;
  for (let slot = 0; slot < slots.length && next < newcomers.length; slot++) slots[slot] ??= newcomers[next++];
  while (next < newcomers.length) slots.push(newcomers[next++]);
  for (let hole = slots.indexOf(undefined); hole >= 0; hole = slots.indexOf(undefined, hole)) {
    const last = slots.pop();
    if (hole < slots.length) slots[hole] = last;
  }
  return slots as string[];
}

/** The slots that a kernel's endpoint map holds, so that a restarted process goes on where the last one stopped. */
export function slotsOfElements(elements: Elements): MapSlots {
  const slots = new Map<string, string[]>();
  for (const [key, endpoint] of elements) {
    const cut = key.lastIndexOf(separator);
    const slot = Number(key.slice(cut + separator.length));
    // A slot number that we would never have given: leave it out, and the difference removes it.
    if (!Number.isInteger(slot) || slot >= elements.size) continue;
    const frontend = key.slice(0, cut);
    const bySlot = slots.get(frontend);
    if (bySlot === undefined) {
      const first: string[] = [];
      first[slot] = endpoint;
      slots.set(frontend, first);
    } else bySlot[slot] = endpoint;
  }
  for (const [frontend, bySlot] of slots)
    if (bySlot.includes(undefined as never)) slots.set(frontend, Array.from(bySlot));
  return slots;
}

/** The slots, in a kernel's endpoint map, of the frontends whose endpoints lie there otherwise than is wanted. */
export function changedSlots(wanted: Elements, actual: Elements): MapSlots {
  if (wanted === actual) return new Map();
  const frontendOf = (key: string) => key.slice(0, key.lastIndexOf(separator));
  const frontends = new Set<string>();
  wanted.forEach((endpoint, key) => {
    if (actual.get(key) !== endpoint) frontends.add(frontendOf(key));
  });
  if (frontends.size === 0) return new Map();
  return slotsOfElements(new Map([...actual].filter(([key]) => frontends.has(frontendOf(key)))));
}
