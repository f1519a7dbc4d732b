import { families, type Family } from '../net/ip.ts';
import { type Elements, isDynamic, type Ruleset, type Table } from '../ruleset/nftables/ruleset.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** How many listings run at once: two cores' worth. */
const readers = 2;

/** What the kernel holds of ours, map by map. What the kernel wrote itself (session affinity) is left out. */
export async function readRuleset(kernel: Kernel): Promise<Ruleset> {
  const tables = await Promise.all(families.map((family) => readTable(kernel, family)));
  return Object.fromEntries(tables.filter((table) => table !== undefined).map((table) => [table.family, table]));
}

async function readTable(kernel: Kernel, family: Family): Promise<Table | undefined> {
  const table = await kernel.readTable(family);
  if (table === undefined) return undefined;
  const elements = new Map<string, Elements>();
  const waiting = [...table.sets.values()].filter((set) => !isDynamic(set) && !set.name.includes(' '));
  await Promise.all(
    Array.from({ length: readers }, async () => {
      for (let set = waiting.shift(); set !== undefined; set = waiting.shift()) {
        elements.set(set.name, await kernel.readElements(family, set));
      }
    }),
  );
  return { ...table, elements };
}
