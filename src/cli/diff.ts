import { type Command, Option } from 'commander';
import { describeTransaction } from '../compile/nftables/describe.ts';
import { compareWithKernel } from '../reconcile/reconcile.ts';
import { printTransactionJson } from '../ruleset/nftables/print-json.ts';
import { printTransaction } from '../ruleset/nftables/print-text.ts';
import { addInputOptions, addKernelOptions, type InputOptions, openKernel, readInputs } from './inputs.ts';
import { printDescriptions, reportConflicts } from './report.ts';
import { writeData } from './terminal.ts';

/** diff's exit code where the kernel differs from the state. */
export const differsExitCode = 3;

export function addDiffCommand(program: Command): void {
  addKernelOptions(addInputOptions(program.command('diff')))
    .description(
      'say what applying a state would change in this kernel, and change nothing; exit code 0: nothing, 3: something',
    )
    .addOption(
      new Option('-o, --output <form>', 'words; or the transaction as nft text or JSON')
        .choices(['words', 'nft', 'json'])
        .default('words'),
    )
    .addHelpText(
      'after',
      '\nExample:\n  vipmap diff --state cluster.yaml --node worker-1 && echo "the kernel is as it should be"',
    )
    .action(async (options: InputOptions & { output: 'words' | 'nft' | 'json' }) => {
      const kernel = await openKernel(options);
      const { state, reporter } = await readInputs(options, 'kernel');
      const { compiled, transaction, ownerOf } = await compareWithKernel(kernel, state, (part) =>
        reporter.stage(`${part} done`),
      );
      reportConflicts(reporter, compiled.conflicts);
      if (transaction.commands.length === 0) {
        reporter.info('no difference');
        return;
      }
      process.exitCode = differsExitCode;
      if (options.output === 'nft') await writeData(printTransaction(transaction));
      else if (options.output === 'json') await writeData(`${printTransactionJson(transaction)}\n`);
      else await writeData(printDescriptions(describeTransaction(transaction, ownerOf)));
    });
}
