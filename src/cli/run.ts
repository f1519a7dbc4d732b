import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { dump } from 'js-yaml';
import { loadConntrack } from '../kernel/load-conntrack.ts';
import { mergeDaemonSettings, mergeSettings, readConfig, type Settings } from '../source/config.ts';
import { configurationOf } from '../source/daemon-settings-configuration.ts';
import { meaninglessFields } from '../source/daemon-settings-meaningless.ts';
import { ownFlags, parseProxyFlags, proxyFlags, requestedMode } from '../source/proxy-flags.ts';
import { runCleanup } from './cleanup.ts';
import { runInitOnly } from './init-only.ts';
import { addKernelOptions, kernelWriterOption, parseAddresses, stateOption } from './inputs.ts';
import type { KernelWriter } from './open-kernel.ts';
import type { Resolved } from './serve.ts';
import { createReporter, type LogFormat, UsageError } from './terminal.ts';

interface RunOptions extends Readonly<Record<string, unknown>> {
  readonly state?: readonly string[];
  readonly node?: string;
  readonly mode?: string;
  readonly config?: string;
  readonly nodeAddresses?: string;
  readonly nft?: string;
  readonly ipvsadm?: string;
  readonly kernelWriter: KernelWriter;
  readonly auditPeriod: string;
  readonly logFormat?: LogFormat;
}

export function addRunCommand(program: Command): void {
  const command = addKernelOptions(program.command('run'))
    .description("a node's service proxy: watches the cluster and keeps this kernel at what it asks for")
    .addOption(stateOption())
    .option('--node <name>', "the node's name (default: --hostname-override, else this host's)")
    .option('--mode <mode>', "the proxy mode: nftables or ipvs (default: the configuration's, else nftables)")
    .option(
      '--node-addresses <ips>',
      "the addresses of the node's interfaces, by commas (default: the kernel is asked)",
    )
    .addOption(kernelWriterOption())
    .option(
      '--audit-period <seconds>',
      'how often the kernel is compared as a whole; 0: only when it was changed',
      '300',
    )
    .addOption(new Option('--log-format <format>', 'messages as text or as JSON lines').choices(['text', 'json']));
  // Ours says its version by the program's own option.
  for (const { kind, syntax, description, isHidden } of [...proxyFlags, ...ownFlags].filter(
    (flag) => flag.name !== 'version',
  )) {
    const option = new Option(syntax, description).hideHelp(isHidden);
    // Lists may be given in several pieces, as pflag has it.
    if (kind === 'list')
      option.argParser((value: string, before: string | undefined) =>
        before === undefined ? value : `${before},${value}`,
      );
    command.addOption(option);
  }
  command
    .addHelpText(
      'after',
      '\nkube-proxy’s flags and configuration are taken as they are.\n\nExample:\n  sudo vipmap run --config /var/lib/kube-proxy/config.conf --hostname-override worker-1',
    )
    .action(run);
}

async function run(options: RunOptions): Promise<void> {
  const auditPeriodMs = parseSeconds(options.auditPeriod) * 1000;
  const resolved = await resolve(options);
  const { settings, daemon, reporter, actions } = resolved;
  const nft = options.nft === undefined ? {} : { nft: options.nft };
  if (actions.cleanup)
    return runCleanup(
      { kubeProxy: true, ...nft, ...(options.ipvsadm !== undefined && { ipvsadm: options.ipvsadm }) },
      reporter,
    );
  if (actions.initOnly) {
    await loadConntrack(nftProgram(options));
    return runInitOnly(daemon, settings.mode, reporter);
  }
  if (actions.writeConfigTo !== '') return writeFile(actions.writeConfigTo, dump(configurationOf(settings, daemon)));
  // Loaded here alone: the API server's client is most of the program, and the other commands start without it.
  const { serve } = await import('./serve.ts');
  await serve(
    {
      node: options.node,
      nodeAddresses: parseAddresses(options.nodeAddresses),
      state: options.state ?? [],
      nftProgram: nftProgram(options),
      ipvsadm: options.ipvsadm,
      kernelWriter: options.kernelWriter,
      auditPeriodMs,
    },
    resolved,
  );
}

async function resolve(options: RunOptions): Promise<Resolved & Pick<ReturnType<typeof parseProxyFlags>, 'actions'>> {
  const raw = options as Parameters<typeof parseProxyFlags>[0];
  const file =
    options.config === undefined || options.config === ''
      ? { settings: {} as Partial<Settings>, daemon: {}, carried: {}, problems: [] }
      : await readConfig(options.config, requestedMode(raw));
  const flags = parseProxyFlags(raw, file.settings.fileMode);
  const settings = mergeSettings(file.settings, flags.settings);
  const daemon = mergeDaemonSettings(file.daemon, flags.daemon);
  const reporter = createReporter(options.logFormat ?? daemon.logFormat, { hasTime: true });
  if (daemon.mode === 'iptables')
    reporter.warn('mode "iptables" is configured, and mode nftables is what runs; --mode nftables says so');
  for (const { object, message } of file.problems) reporter.warn(`${object}: ${message}`);
  const meaningless = [...meaninglessFields(file, settings.mode), ...flags.meaningless];
  if (meaningless.length > 0) reporter.info(`settings without meaning here: ${meaningless.join('; ')}`);
  return { settings, daemon, reporter, actions: flags.actions };
}

const nftProgram = (options: RunOptions) => options.nft ?? (process.env['VIPMAP_NFT'] || 'nft');

function parseSeconds(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError(`--audit-period "${text}" is not a whole number of seconds (0-999999)`);
}
