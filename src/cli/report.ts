import type { Conflict } from '../compile/nftables/claims.ts';
import { type Description } from '../compile/nftables/describe.ts';
import { printFrontend } from '../model/frontend.ts';
import { servicePortName } from '../model/service-port.ts';
import type { SetAside } from '../reconcile/apply-transaction.ts';
import { serverOwner } from '../compile/ipvs/describe.ts';
import type { OwnerOf } from '../compile/nftables/owners.ts';
import type { FailedStep } from '../kernel/ipvs-kernel.ts';
import { printStep } from '../ruleset/ipvs/print-step.ts';
import { interfaceName } from '../ruleset/ipvs/virtual-server.ts';
import { printTransaction } from '../ruleset/nftables/print-text.ts';
import { paint, plural, type Reporter } from './terminal.ts';

export function reportConflicts(reporter: Reporter, conflicts: readonly Conflict[]): void {
  for (const { frontend, owner } of conflicts.slice(0, 50)) {
    reporter.warn(
      `Service ${servicePortName(frontend.servicePort)}: ${printFrontend(frontend)} belongs to ${servicePortName(owner)} already; it is left to that one, change one of the two`,
    );
  }
  if (conflicts.length > 50) reporter.warn(`${plural(conflicts.length - 50, 'more frontend')} claimed twice`);
}

/** Lines shown in words at most; -o nft shows everything. */
const shownLines = 400;

/** A transaction's description, as people read it. */
export function printDescriptions(descriptions: readonly Description[]): string {
  const lines: string[] = [];
  let left = shownLines;
  for (const { heading, lines: changes } of descriptions) {
    if (left <= 0) break;
    lines.push(paint(process.stdout, 'bold', heading));
    for (const line of changes.slice(0, left)) lines.push(`  ${paintChange(line)}`);
    left -= changes.length;
  }
  const all = descriptions.reduce((sum, description) => sum + description.lines.length, 0);
  if (all > shownLines) lines.push(`... and ${plural(all - shownLines, 'more change')}; -o nft shows them all`);
  return lines.map((line) => `${line}\n`).join('');
}

function paintChange(line: string): string {
  const style = line.startsWith('+') ? 'green' : line.startsWith('-') ? 'red' : 'yellow';
  return paint(process.stdout, style, line);
}

/** Steps that IPVS or ip refused, by service. */
export function reportFailedSteps(reporter: Reporter, failed: readonly FailedStep[], ownerOf: OwnerOf): void {
  for (const { step, error } of failed.slice(0, 50)) {
    const owner = 'server' in step ? serverOwner(step.server, ownerOf) : undefined;
    reporter.error(
      `${owner ?? `interface ${interfaceName}`}: ${printStep(step)}: ${error.message}; everything else is done, and this is tried again`,
      { owner },
    );
  }
  if (failed.length > 50) reporter.error(`${plural(failed.length - 50, 'more step')} failed`);
}

/** What the kernel did not take, service by service. */
export function reportSetAside(reporter: Reporter, setAside: readonly SetAside[]): void {
  for (const { owner, transaction, error } of setAside) {
    reporter.error(
      `${owner ?? 'an element that no single service owns'}: the kernel refused it (${error.message}); it is left out, everything else is applied. Refused:\n${printTransaction(transaction).trimEnd()}`,
      { owner, stderr: error.details.stderr },
    );
  }
}
