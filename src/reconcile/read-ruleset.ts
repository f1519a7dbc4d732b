import { isEndpointMap } from '../compile/nftables/names.ts';
import type { Kernel, LookedUp } from '../kernel/kernel.ts';
import { families, type Family } from '../net/ip.ts';
import {
  type Elements,
  isDynamic,
  type Ruleset,
  type SetDeclaration,
  type Table,
} from '../ruleset/nftables/ruleset.ts';

/** How many listings run at once: two cores' worth. */
const readers = 2;

/** What the kernel holds of ours, map by map. What the kernel wrote itself (session affinity) is left out. */
export async function readRuleset(kernel: Kernel): Promise<Ruleset> {
  return readRest(await readTables(kernel), (family, set) => kernel.readElements(family, set));
}

/**
 * The same, but without the maps of endpoints where the kernel can be asked for single elements: reading these, the largest ones, takes
 * seconds, and once it is known what they should hold there is a shorter way (see adopt).
 */
export async function readMost(kernel: Kernel): Promise<Ruleset> {
  const canAsk = kernel.lookUpElements !== undefined;
  return readRest(await readTables(kernel), (family, set) =>
    canAsk && isEndpointMap(set.name) ? undefined : kernel.readElements(family, set),
  );
}

/**
 * What a set holds that should hold this, by asking for it where the kernel can be asked. `isThorough`: all of it, even if that takes
 * reading the set.
 */
export async function readExpected(
  kernel: Kernel,
  family: Family,
  set: SetDeclaration,
  expected: Elements,
  isThorough: boolean,
): Promise<LookedUp> {
  const found = await kernel.lookUpElements?.(family, set, expected);
  if (found !== undefined && (found.isComplete || !isThorough)) return found;
  return { elements: await kernel.readElements(family, set), isComplete: true };
}

async function readTables(kernel: Kernel): Promise<Ruleset> {
  const tables = await Promise.all(families.map((family) => kernel.readTable(family)));
  return Object.fromEntries(tables.filter((table) => table !== undefined).map((table) => [table.family, table]));
}

/** The ruleset with the elements that are not there yet, of all sets for which read gives some. */
export async function readRest(
  ruleset: Ruleset,
  read: (family: Family, set: SetDeclaration) => Promise<Elements> | undefined,
): Promise<Ruleset> {
  const tables = await Promise.all(families.map((family) => readTable(ruleset[family], read)));
  return Object.fromEntries(tables.filter((table) => table !== undefined).map((table) => [table.family, table]));
}

async function readTable(
  table: Table | undefined,
  read: (family: Family, set: SetDeclaration) => Promise<Elements> | undefined,
): Promise<Table | undefined> {
  if (table === undefined) return undefined;
  const elements = new Map(table.elements);
  const isWaiting = (set: SetDeclaration) => !isDynamic(set) && !set.name.includes(' ') && !elements.has(set.name);
  const waiting = [...table.sets.values()].filter(isWaiting);
  await Promise.all(
    Array.from({ length: readers }, async () => {
      for (let set = waiting.shift(); set !== undefined; set = waiting.shift()) {
        const found = await read(table.family, set);
        if (found !== undefined) elements.set(set.name, found);
      }
    }),
  );
  return { ...table, elements };
}
