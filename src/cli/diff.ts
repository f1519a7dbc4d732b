import { type Command, Option } from 'commander';
import { describeSteps } from '../compile/ipvs/describe.ts';
import { describeTransaction } from '../compile/nftables/describe.ts';
import { compareWithKernel } from '../reconcile/reconcile.ts';
import { printTransactionJson } from '../ruleset/nftables/print-json.ts';
import { printTransaction } from '../ruleset/nftables/print-text.ts';
import { printStep } from '../ruleset/ipvs/print-step.ts';
import { addInputOptions, addKernelOptions, type InputOptions, openKernel, readInputs } from './inputs.ts';
import { openWriters } from './open-kernel.ts';
import { openLeftovers, openServersAsTheyAre } from './open-servers.ts';
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
      new Option(
        '-o, --output <form>',
        'words; or the transaction as nft text or JSON; or the steps for IPVS and addresses',
      )
        .choices(['words', 'nft', 'json', 'ipvs'])
        .default('words'),
    )
    .addHelpText(
      'after',
      '\nExample:\n  vipmap diff --state cluster.yaml --node worker-1 && echo "the kernel is as it should be"',
    )
    .action(async (options: InputOptions & { output: 'words' | 'nft' | 'json' | 'ipvs' }) => {
      const nft = await openKernel(options);
      const { state, settings, ipvs, reporter } = await readInputs(options, 'kernel');
      const { kernel } = openWriters(nft, 'auto', reporter);
      const serversOptions = { ipvs, ipvsadm: options.ipvsadm, reporter };
      const { compiled, transaction, steps, ownerOf } = await compareWithKernel(kernel, state, {
        servers: settings.mode === 'ipvs' ? await openServersAsTheyAre(serversOptions) : undefined,
        openLeftovers: () => openLeftovers(serversOptions),
        observe: (part) => reporter.stage(`${part} done`),
      });
      reportConflicts(reporter, compiled.conflicts);
      if (transaction.commands.length + steps.length === 0) {
        reporter.info('no difference');
        return;
      }
      process.exitCode = differsExitCode;
      if (options.output === 'nft') await writeData(printTransaction(transaction));
      else if (options.output === 'json') await writeData(`${printTransactionJson(transaction)}\n`);
      else if (options.output === 'ipvs') await writeData(steps.map((step) => `${printStep(step)}\n`).join(''));
      else {
        const descriptions = [...describeTransaction(transaction, ownerOf), ...describeSteps(steps, ownerOf)];
        await writeData(printDescriptions(descriptions));
      }
    });
}
