import { hostname } from 'node:os';
import { holdInstance } from '../kernel/instance-lock.ts';
import { loadConntrack } from '../kernel/load-conntrack.ts';
import { NftKernel } from '../kernel/nft.ts';
import { families, type Ip } from '../net/ip.ts';
import { startHealthServer } from '../observe/health-server.ts';
import { startMetricsServer } from '../observe/metrics-server.ts';
import { createMetrics, type Metrics } from '../observe/metrics.ts';
import { ProxyHealth } from '../observe/proxy-health.ts';
import type { DaemonSettings, Settings } from '../source/config.ts';
import { configurationOf } from '../source/daemon-settings-configuration.ts';
import { HttpApiServer } from '../source/kubernetes/api-server.ts';
import { EventRecorder } from '../source/kubernetes/events.ts';
import { loadKubeConfig } from '../source/kubernetes/kubeconfig.ts';
import { Agent } from './agent.ts';
import { observeAgent } from './agent-observer.ts';
import { clusterSource, fileSource } from './agent-source.ts';
import { tuneConntrack } from './init-only.ts';
import { setOomScore } from './memory.ts';
import { type KernelWriter, openWriters, OwnProcesses, watchKernel } from './open-kernel.ts';
import { openLeftovers, openServers, type ServersOptions } from './open-servers.ts';
import type { Reporter } from './terminal.ts';
import { version } from './version.ts';

/** What flags and configuration come to. */
export interface Resolved {
  readonly settings: Settings;
  readonly daemon: DaemonSettings;
  readonly reporter: Reporter;
}

export interface ServeOptions {
  readonly node: string | undefined;
  readonly nodeAddresses: readonly Ip[] | undefined;
  /** Files in place of an API server; empty: there is one. */
  readonly state: readonly string[];
  readonly nftProgram: string;
  readonly ipvsadm: string | undefined;
  readonly kernelWriter: KernelWriter;
  readonly auditPeriodMs: number;
}

/** The daemon itself: until a signal ends it. */
export async function serve(options: ServeOptions, { settings, daemon, reporter }: Resolved): Promise<void> {
  await holdInstance();
  await setOomScore(daemon.oomScoreAdj);
  const processes = new OwnProcesses();
  const metrics = createMetrics({ version });
  const nft = await NftKernel.open({ program: options.nftProgram, onProcess: processes.note });
  const writers = openWriters(nft, options.kernelWriter, reporter, (...args) => metrics.transactionApplied(...args));
  const nodeName = (options.node ?? (settings.hostnameOverride || hostname())).trim().toLowerCase();
  const { state } = options;
  const apiServer =
    state.length > 0
      ? undefined
      : new HttpApiServer(await loadKubeConfig({ kubeconfig: daemon.kubeconfig, master: daemon.apiServer }));
  await loadConntrack(options.nftProgram);
  await tuneConntrack(daemon.conntrack, reporter);

  const health = new ProxyHealth({ clock: () => Date.now(), syncPeriodMs: daemon.syncPeriodMs });
  // So that there is a time to show, as kube-proxy has it.
  for (const family of families) health.updated(family);
  const events = apiServer && new EventRecorder(apiServer, nodeName, (message) => reporter.warn(message));
  await startServers(settings, daemon, metrics, health, reporter);
  const serversOptions: ServersOptions = {
    settings,
    ipvs: daemon.ipvs,
    ipvsadm: options.ipvsadm,
    kernelWriter: options.kernelWriter,
    reporter,
    onApplied: (...args) => metrics.ipvsApplied(...args),
  };
  const servers = settings.mode === 'ipvs' ? await openServers(serversOptions) : undefined;

  const agent = new Agent({
    nodeName,
    settings,
    nodeAddresses: options.nodeAddresses,
    kernel: writers.kernel,
    servers,
    openLeftovers: () => openLeftovers(serversOptions),
    reporter,
    observer: observeAgent({ metrics, health, reporter, events }),
    minSyncPeriodMs: daemon.minSyncPeriodMs,
    syncPeriodMs: daemon.syncPeriodMs,
    auditPeriodMs: options.auditPeriodMs,
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
    note: `vipmap ${version} in mode ${settings.mode}`,
  });
  const signal = await new Promise<string>((resolve) => {
    for (const each of ['SIGTERM', 'SIGINT'] as const) process.once(each, resolve);
  });
  reporter.info(`${signal}: ending; the rules stay in place`);
  await agent.stop();
  process.exit(0);
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
    proxyMode: settings.mode,
    configuration: () => ({ kind: 'KubeProxyConfiguration', ...configurationOf(settings, daemon) }),
  });
}
