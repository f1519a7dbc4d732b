import { Command, CommanderError } from 'commander';
import { KernelError } from '../kernel/kernel.ts';
import { addApplyCommand } from './apply.ts';
import { addCleanupCommand } from './cleanup.ts';
import { addCompileCommand } from './compile.ts';
import { addDiffCommand } from './diff.ts';
import { addExplainCommand } from './explain.ts';
import { addRunCommand } from './run.ts';
import { createReporter, UsageError } from './terminal.ts';
import { version } from './version.ts';

const exitCodes = { failed: 1, usage: 2 } as const;

async function main(args: readonly string[]): Promise<void> {
  const program = new Command('vipmap')
    .description('A Kubernetes service proxy: Services and EndpointSlices compiled into one flat nftables ruleset')
    .version(version)
    .showHelpAfterError('(vipmap --help, or vipmap COMMAND --help, says more)')
    .exitOverride();
  addCompileCommand(program);
  addDiffCommand(program);
  addApplyCommand(program);
  addExplainCommand(program);
  addRunCommand(program);
  addCleanupCommand(program);
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError(`(vipmap ${command.name()} --help says more)`);
  await program.parseAsync([...args], { from: 'user' });
}

function exitCodeOf(error: unknown): number {
  // Commander has said already what was wrong with the call.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
  const reporter = createReporter(/--log-format[= ]json/.test(process.argv.join(' ')) ? 'json' : 'text');
  if (error instanceof KernelError) {
    reporter.error(error.message, { failure: error.failure, ...error.details });
    return exitCodes.failed;
  }
  if (error instanceof Error && isUsageError(error)) {
    reporter.error(error.message);
    return exitCodes.usage;
  }
  // Errors that we threw say all there is to say; of others, the way that led there is needed.
  const isOurs =
    error instanceof Error && error.name !== 'Error' && !(error instanceof TypeError) && !(error instanceof RangeError);
  reporter.error(error instanceof Error ? (isOurs ? error.message : (error.stack ?? error.message)) : String(error));
  return exitCodes.failed;
}

/** Flags are parsed in source/ too, which has its own class for a flag's bad value. */
function isUsageError(error: Error): boolean {
  return error instanceof UsageError || ['FlagError', 'BindAddressError', 'KubeconfigError'].includes(error.name);
}

// A reader that went away (`vipmap compile | head`) has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = exitCodeOf(error);
}
