import type { Command } from 'commander';
import { families } from '../net/ip.ts';
import { tableName } from '../ruleset/nftables/ruleset.ts';
import { addKernelOptions, addLogFormat, openKernel } from './inputs.ts';
import { createReporter, type LogFormat, writeData } from './terminal.ts';

export function addCleanupCommand(program: Command): void {
  addKernelOptions(addLogFormat(program.command('cleanup')))
    .description('remove our tables from this kernel, and nothing else')
    .addHelpText('after', '\nExample:\n  sudo vipmap cleanup')
    .action(async (options: { readonly nft?: string; readonly logFormat: LogFormat }) => {
      const reporter = createReporter(options.logFormat);
      const kernel = await openKernel(options);
      let removed = 0;
      for (const family of families) {
        const table = await kernel.readTable(family);
        if (table === undefined) continue;
        await kernel.apply({ commands: [{ kind: 'table', verb: 'delete', family }] });
        await writeData(
          `removed table ${family} ${tableName} (${table.chains.size} chains, ${table.sets.size} sets and maps)\n`,
        );
        removed++;
      }
      if (removed === 0) reporter.info(`nothing to remove: there is no table ip ${tableName} or ip6 ${tableName}`);
    });
}
