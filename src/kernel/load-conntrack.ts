import { run } from './run.ts';

/**
 * Makes the kernel load its connection tracking, where that is a module which nothing has needed yet: until then its sysctls do not
 * exist. A rule that asks for a connection's state does it; it is made in a table of its own that goes in the same transaction.
 * Whether it worked shows in the sysctls.
 */
export async function loadConntrack(nftProgram: string): Promise<void> {
  const table = { family: 'ip', table: 'vipmap-init' };
  const own = { family: 'ip', name: 'vipmap-init' };
  const isNew = { match: { op: 'in', left: { ct: { key: 'state' } }, right: 'new' } };
  const commands = [
    { add: { table: own } },
    { add: { chain: { ...table, name: 'probe' } } },
    { add: { rule: { ...table, chain: 'probe', expr: [isNew] } } },
    { delete: { table: own } },
  ];
  await run(nftProgram, ['-j', '-f', '-'], JSON.stringify({ nftables: commands }), 10_000).catch(() => undefined);
}
