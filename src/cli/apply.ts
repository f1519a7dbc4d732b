import type { Command } from 'commander';
import { describeSteps } from '../compile/ipvs/describe.ts';
import { describeTransaction } from '../compile/nftables/describe.ts';
import { readMost } from '../reconcile/read-ruleset.ts';
import { reconcile } from '../reconcile/reconcile.ts';
import {
  addInputOptions,
  addKernelOptions,
  type InputOptions,
  kernelWriterOption,
  openKernel,
  readInputs,
} from './inputs.ts';
import { type KernelWriter, openWriters } from './open-kernel.ts';
import { openLeftovers, openServers } from './open-servers.ts';
import { printDescriptions, reportConflicts, reportFailedSteps, reportSetAside } from './report.ts';
import { createReporter, plural, writeData } from './terminal.ts';

export function addApplyCommand(program: Command): void {
  addKernelOptions(addInputOptions(program.command('apply')))
    .addOption(kernelWriterOption())
    .description('make this kernel do what a state asks for, once; what is right already stays untouched')
    .addHelpText(
      'after',
      '\nExample:\n  sudo vipmap apply --state cluster.yaml --node worker-1 --config /var/lib/kube-proxy/config.conf',
    )
    .action(async (options: InputOptions & { readonly kernelWriter: KernelWriter }) => {
      const start = performance.now();
      const nft = await openKernel(options);
      const { kernel } = openWriters(nft, options.kernelWriter, createReporter(options.logFormat));
      // Beside the reading of the state; its failure is told when it is needed.
      const read = readMost(kernel);
      read.catch(() => undefined);
      const { state, settings, ipvs, reporter } = await readInputs(options, 'kernel');
      const times: string[] = [];
      const { ipvsadm, kernelWriter } = options;
      const serversOptions = { settings, ipvs, ipvsadm, kernelWriter, reporter };
      const result = await reconcile(kernel, state, {
        read,
        servers: settings.mode === 'ipvs' ? await openServers(serversOptions) : undefined,
        openLeftovers: () => openLeftovers(serversOptions),
        observe: (part, ms) => {
          times.push(`${part} ${seconds(ms)}`);
          reporter.stage(`${part} done`);
        },
      });
      reportConflicts(reporter, result.compiled.conflicts);
      const applied = { commands: result.applied.flatMap((transaction) => transaction.commands) };
      const failed = new Set(result.failedSteps.map(({ step }) => step));
      const steps = result.steps.filter((step) => !failed.has(step));
      await writeData(
        printDescriptions([...describeTransaction(applied, result.ownerOf), ...describeSteps(steps, result.ownerOf)]),
      );
      reportSetAside(reporter, result.setAside);
      reportFailedSteps(reporter, result.failedSteps, result.ownerOf);
      if (result.forgetError !== undefined)
        reporter.warn(`remembered session affinity could not be cleaned up: ${result.forgetError.message}`);
      if (result.forgotten > 0)
        reporter.info(`${plural(result.forgotten, 'remembered client')} of endpoints that left forgotten`);
      const done = [
        ...(applied.commands.length === 0
          ? []
          : [`${plural(applied.commands.length, 'command')} in ${plural(result.applied.length, 'transaction')}`]),
        ...(steps.length === 0 ? [] : [`${plural(steps.length, 'step')} of IPVS and addresses`]),
      ];
      const changed = done.length === 0 ? 'nothing to change' : done.join(', ');
      reporter.info(`${changed}, ${seconds(performance.now() - start)} in all (${times.join(', ')})`);
      if (result.setAside.length + result.failedSteps.length > 0) process.exitCode = 1;
    });
}

const seconds = (ms: number) => (ms < 100 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`);
