import { onDemand } from '../compile/nftables/spare-chains.ts';
import { diffElements, diffTable } from '../diff/nftables.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { families, type Family, familyOf } from '../net/ip.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { nameStep } from '../ruleset/ipvs/print-step.ts';
import { type Elements, elementsOf, type SetDeclaration, type Table } from '../ruleset/nftables/ruleset.ts';
import { type Command, elementId } from '../ruleset/nftables/transaction.ts';

/** Something in the kernel that was not as it should be. */
export interface Wrong {
  readonly family: Family;
  /** The map or set, or `chains`, or `table` if that was missing or of another shape; `IPVS` for virtual servers and their addresses. */
  readonly place: string;
  /** How many elements or chains. */
  readonly count: number;
  /** One of them, for a message: `10.96.0.10 . tcp . 80 was missing`. */
  readonly example: string;
}

export interface Findings {
  /** What mends it. */
  readonly commands: readonly Command[];
  readonly wrong: readonly Wrong[];
}

/** Looks at a table's chains, rules and declarations; at its elements only if the table has to be made anew. */
export async function auditStructure(kernel: Kernel, desired: Table): Promise<Findings> {
  const { family } = desired;
  const actual = await kernel.readTable(family);
  const empty = { ...desired, elements: new Map() };
  const { commands } = diffTable(empty, actual && { ...actual, elements: new Map() }, onDemand);
  const isRemade = commands.some((command) => command.kind === 'table');
  if (isRemade) {
    const example = actual === undefined ? 'it was missing' : 'its sets or chains were not ours';
    return {
      commands: diffTable(desired, actual, onDemand).commands,
      wrong: [{ family, place: 'table', count: 1, example }],
    };
  }
  const chains = new Map<string, string>();
  for (const command of commands) {
    if (command.kind !== 'chain') continue;
    chains.set(command.name, command.verb === 'flush' ? 'had other rules' : 'was missing');
  }
  const [first] = chains;
  if (first === undefined) return { commands, wrong: [] };
  return { commands, wrong: [{ family, place: 'chains', count: chains.size, example: first.join(' ') }] };
}

/** Compares a map's elements with what was read, leaving out those that were changed meanwhile (by elementId). */
export function auditMap(
  desired: Table,
  set: SetDeclaration,
  actual: Elements,
  changedMeanwhile: ReadonlySet<string>,
): Findings {
  const { family } = desired;
  const commands = diffElements(family, set, elementsOf(desired, set.name), actual).filter(
    (command) => !changedMeanwhile.has(elementId(command)),
  );
  const [first] = commands;
  if (first === undefined) return { commands, wrong: [] };
  const keys = new Set(commands.map(({ key }) => key));
  const wanted = elementsOf(desired, set.name).get(first.key);
  const words = wanted === undefined ? 'was there' : first.verb === 'add' ? 'was missing' : `was "${first.value}"`;
  return {
    commands,
    wrong: [{ family, place: set.name, count: keys.size, example: `${first.key} ${words}` }],
  };
}

/** What the steps say that would mend it. */
export function wrongServers(steps: readonly Step[]): readonly Wrong[] {
  const servers = steps.filter((step) => step.kind !== 'interface');
  return families.flatMap((family) => {
    const own = servers.filter((step) => familyOf(step.kind === 'address' ? step.ip : step.server.ip) === family);
    const [first] = own;
    if (first === undefined) return [];
    const words = { add: 'was missing', delete: 'was there', edit: 'was otherwise' }[first.verb];
    return [{ family, place: 'IPVS', count: own.length, example: `${nameStep(first)} ${words}` }];
  });
}
