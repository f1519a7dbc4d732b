import type { Command } from 'commander';
import { describeTransaction } from '../compile/nftables/describe.ts';
import { reconcile } from '../reconcile/reconcile.ts';
import { addInputOptions, addKernelOptions, type InputOptions, openKernel, readInputs } from './inputs.ts';
import { printDescriptions, reportConflicts, reportSetAside } from './report.ts';
import { plural, writeData } from './terminal.ts';

export function addApplyCommand(program: Command): void {
  addKernelOptions(addInputOptions(program.command('apply')))
    .description('make this kernel do what a state asks for, once; what is right already stays untouched')
    .addHelpText(
      'after',
      '\nExample:\n  sudo vipmap apply --state cluster.yaml --node worker-1 --config /var/lib/kube-proxy/config.conf',
    )
    .action(async (options: InputOptions) => {
      const start = performance.now();
      const kernel = await openKernel(options);
      const { state, reporter } = await readInputs(options, 'kernel');
      const times: string[] = [];
      const result = await reconcile(kernel, state, (part, ms) => {
        times.push(`${part} ${seconds(ms)}`);
        reporter.stage(`${part} done`);
      });
      reportConflicts(reporter, result.compiled.conflicts);
      const applied = { commands: result.applied.flatMap((transaction) => transaction.commands) };
      await writeData(printDescriptions(describeTransaction(applied, result.ownerOf)));
      reportSetAside(reporter, result.setAside);
      if (result.forgetError !== undefined)
        reporter.warn(`remembered session affinity could not be cleaned up: ${result.forgetError.message}`);
      if (result.forgotten > 0)
        reporter.info(`${plural(result.forgotten, 'remembered client')} of endpoints that left forgotten`);
      const changed =
        applied.commands.length === 0
          ? 'nothing to change'
          : `${plural(applied.commands.length, 'command')} in ${plural(result.applied.length, 'transaction')}`;
      reporter.info(`${changed}, ${seconds(performance.now() - start)} in all (${times.join(', ')})`);
      if (result.setAside.length > 0) process.exitCode = 1;
    });
}

const seconds = (ms: number) => (ms < 100 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`);
