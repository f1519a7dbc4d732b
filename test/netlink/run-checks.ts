import { nft } from '../kernel/vipmap.ts';
import type { Checks } from './check.ts';
import { applyChecks } from './apply-checks.ts';
import { conntrackChecks } from './conntrack-checks.ts';
import { elementChecks } from './element-checks.ts';
import { lookUpChecks } from './look-up-checks.ts';
import { monitorChecks } from './monitor-checks.ts';
import { socketChecks } from './socket-checks.ts';

/*
 * Runs inside a fresh network namespace: what the netlink edge promises of a real kernel. Prints one JSON object: check to what was
 * wrong, or to nothing.
 */
const checks: Checks = {
  ...socketChecks,
  ...monitorChecks,
  ...conntrackChecks,
  ...elementChecks,
  ...lookUpChecks,
  ...applyChecks,
};
const only = process.argv[2] ?? '';
const results: Record<string, string> = {};
for (const [name, run] of Object.entries(checks)) {
  if (!name.includes(only)) continue;
  await nft(['flush', 'ruleset']);
  results[name] =
    (await run().catch((error: unknown) =>
      error instanceof Error ? (error.stack ?? error.message) : String(error),
    )) ?? '';
}
process.stdout.write(`${JSON.stringify(results)}\n`);
