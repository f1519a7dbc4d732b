import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { type Command, Option } from 'commander';
import { dump } from 'js-yaml';
import { holdInstance } from '../kernel/instance-lock.ts';
import { loadConntrack } from '../kernel/load-conntrack.ts';
import { NftKernel } from '../kernel/nft.ts';
import { startHealthServer } from '../observe/health-server.ts';
import { startMetricsServer } from '../observe/metrics-server.ts';
import { createMetrics, type Metrics } from '../observe/metrics.ts';
import { ProxyHealth } from '../observe/proxy-health.ts';
import { families } from '../net/ip.ts';
import {
  type DaemonSettings,
  mergeDaemonSettings,
  mergeSettings,
  readConfig,
  type Settings,
} from '../source/config.ts';
import { configurationOf } from '../source/daemon-settings-configuration.ts';
import { meaninglessFields } from '../source/daemon-settings-meaningless.ts';
import { HttpApiServer } from '../source/kubernetes/api-server.ts';
import { EventRecorder } from '../source/kubernetes/events.ts';
import { loadKubeConfig } from '../source/kubernetes/kubeconfig.ts';
import { parseProxyFlags, proxyFlags } from '../source/proxy-flags.ts';
import { Agent } from './agent.ts';
import { observeAgent } from './agent-observer.ts';
import { clusterSource, fileSource } from './agent-source.ts';
import { runCleanup } from './cleanup.ts';
import { runInitOnly, tuneConntrack } from './init-only.ts';
import { addKernelOptions, parseAddresses, requireNftables, stateOption } from './inputs.ts';
import { preferLittleMemory, setOomScore } from './memory.ts';
import { type KernelWriter, openWriters, OwnProcesses, watchKernel } from './open-kernel.ts';
import { createReporter, type LogFormat, type Reporter, UsageError } from './terminal.ts';
import { version } from './version.ts';

interface RunOptions extends Readonly<Record<string, unknown>> {
  readonly state?: readonly string[];
  readonly node?: string;
  readonly mode?: string;
  readonly config?: string;
  readonly nodeAddresses?: string;
  readonly nft?: string;
  readonly kernelWriter: KernelWriter;
  readonly auditPeriod: string;
  readonly logFormat?: LogFormat;
}

export function addRunCommand(program: Command): void {
  const command = addKernelOptions(program.command('run'))
    .description("a node's service proxy: watches the cluster and keeps this kernel at what it asks for")
    .addOption(stateOption())
    .option('--node <name>', "the node's name (default: --hostname-override, else this host's)")
    .option('--mode <mode>', 'the proxy mode: nftables')
    .option(
      '--node-addresses <ips>',
      "the addresses of the node's interfaces, by commas (default: the kernel is asked)",
    )
    .addOption(
      new Option('--kernel-writer <way>', 'how elements are written: netlink, nft, or netlink where it can be used')
        .choices(['auto', 'netlink', 'nft'])
        .default('auto'),
    )
    .option(
      '--audit-period <seconds>',
      'how often the kernel is compared as a whole; 0: only when it was changed',
      '300',
    )
    .addOption(new Option('--log-format <format>', 'messages as text or as JSON lines').choices(['text', 'json']));
  // Ours says its version by the program's own option.
  for (const { name, kind, syntax, description, isHidden } of proxyFlags.filter((flag) => flag.name !== 'version')) {
    const option = new Option(syntax, description).hideHelp(isHidden || name === 'proxy-mode');
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

interface Resolved {
  readonly settings: Settings;
  readonly daemon: DaemonSettings;
  readonly reporter: Reporter;
  readonly actions: ReturnType<typeof parseProxyFlags>['actions'];
}

async function run(options: RunOptions): Promise<void> {
  const resolved = await resolve(options);
  const { settings, daemon, reporter, actions } = resolved;
  const nft = options.nft === undefined ? {} : { nft: options.nft };
  if (actions.cleanup) return runCleanup({ kubeProxy: true, ...nft }, reporter);
  if (actions.initOnly) {
    await loadConntrack(nftProgram(options));
    return runInitOnly(daemon, reporter);
  }
  if (actions.writeConfigTo !== '') return writeFile(actions.writeConfigTo, dump(configurationOf(settings, daemon)));
  await serve(options, resolved);
}

async function resolve(options: RunOptions): Promise<Resolved> {
  const flags = parseProxyFlags(options as Parameters<typeof parseProxyFlags>[0]);
  const file =
    options.config === undefined || options.config === ''
      ? { settings: {}, daemon: {}, carried: {}, problems: [] }
      : await readConfig(options.config);
  const settings = mergeSettings(file.settings, flags.settings);
  const daemon = mergeDaemonSettings(file.daemon, flags.daemon);
  const reporter = createReporter(options.logFormat ?? daemon.logFormat, { hasTime: true });
  requireNftables(options.mode ?? 'nftables');
  if (options.mode === undefined && daemon.mode !== 'nftables' && daemon.mode !== '')
    reporter.warn(`mode "${daemon.mode}" is configured, and mode nftables is what runs; --mode nftables says so`);
  for (const { object, message } of file.problems) reporter.warn(`${object}: ${message}`);
  const meaningless = [...meaninglessFields(file), ...flags.meaningless];
  if (meaningless.length > 0) reporter.info(`settings without meaning here: ${meaningless.join('; ')}`);
  return { settings, daemon, reporter, actions: flags.actions };
}

/** The daemon itself: until a signal ends it. */
async function serve(options: RunOptions, { settings, daemon, reporter }: Resolved): Promise<void> {
  const auditPeriodMs = parseSeconds(options.auditPeriod) * 1000;
  preferLittleMemory();
  await holdInstance();
  await setOomScore(daemon.oomScoreAdj);
  const processes = new OwnProcesses();
  const metrics = createMetrics({ version });
  const nft = await NftKernel.open({ program: nftProgram(options), onProcess: processes.note });
  const writers = openWriters(nft, options.kernelWriter, reporter, (...args) => metrics.transactionApplied(...args));
  const nodeName = (options.node ?? (settings.hostnameOverride || hostname())).trim().toLowerCase();
  const state = options.state ?? [];
  const apiServer =
    state.length > 0
      ? undefined
      : new HttpApiServer(await loadKubeConfig({ kubeconfig: daemon.kubeconfig, master: daemon.apiServer }));
  await loadConntrack(nftProgram(options));
  await tuneConntrack(daemon.conntrack, reporter);

  const health = new ProxyHealth({ clock: () => Date.now(), syncPeriodMs: daemon.syncPeriodMs });
  // So that there is a time to show, as kube-proxy has it.
  for (const family of families) health.updated(family);
  const events = apiServer && new EventRecorder(apiServer, nodeName, (message) => reporter.warn(message));
  await startServers(settings, daemon, metrics, health, reporter);

  const agent = new Agent({
    nodeName,
    settings,
    nodeAddresses: parseAddresses(options.nodeAddresses),
    kernel: writers.kernel,
    reporter,
    observer: observeAgent({ metrics, health, reporter, events }),
    minSyncPeriodMs: daemon.minSyncPeriodMs,
    syncPeriodMs: daemon.syncPeriodMs,
    auditPeriodMs,
    openSource: (sourceOptions) =>
      apiServer === undefined
        ? fileSource(state, sourceOptions)
        : clusterSource(apiServer, nodeName, sourceOptions, (kind, reason) => metrics.watchRestarted(kind, reason)),
    watchKernel: (onForeignChange) =>
      watchKernel({
        processes,
        reporter,
        onForeignChange,
        ...(writers.ownPortId === undefined ? {} : { ownPortId: writers.ownPortId }),
      }),
  });
  await agent.start();
  void events?.record({
    regarding: { kind: 'Node', namespace: '', name: nodeName },
    type: 'Normal',
    reason: 'Starting',
    action: 'StartVipmap',
    note: `vipmap ${version} in mode nftables`,
  });
  const signal = await new Promise<string>((resolve) => {
    for (const each of ['SIGTERM', 'SIGINT'] as const) process.once(each, resolve);
  });
  reporter.info(`${signal}: ending; the rules stay in place`);
  await agent.stop();
  process.exit(0);
}

const nftProgram = (options: RunOptions) => options.nft ?? (process.env['VIPMAP_NFT'] || 'nft');

function parseSeconds(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new UsageError(`--audit-period "${text}" is not a whole number of seconds (0-999999)`);
}

async function startServers(
  settings: Settings,
  daemon: DaemonSettings,
  metrics: Metrics,
  health: ProxyHealth,
  reporter: Reporter,
): Promise<void> {
  const common = {
    isFailureFatal: daemon.bindAddressHardFail,
    onFailure: (error: Error) => reporter.warn(`${error.message}; it is tried again every 5 s`),
  };
  await startHealthServer({
    ...common,
    address: daemon.healthzBindAddress,
    health,
    onAnswer: (page, status) => metrics.healthAnswered(page, status),
  });
  await startMetricsServer({
    ...common,
    address: daemon.metricsBindAddress,
    metrics,
    proxyMode: 'nftables',
    configuration: () => ({ kind: 'KubeProxyConfiguration', ...configurationOf(settings, daemon) }),
  });
}
