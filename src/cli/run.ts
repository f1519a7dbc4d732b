import { hostname } from 'node:os';
import type { Command } from 'commander';
import { holdInstance } from '../kernel/instance-lock.ts';
import { NftKernel } from '../kernel/nft.ts';
import { HttpApiServer } from '../source/kubernetes/api-server.ts';
import { loadKubeConfig } from '../source/kubernetes/kubeconfig.ts';
import { createMetrics } from '../observe/metrics.ts';
import { startHealthServer } from '../observe/health-server.ts';
import { startMetricsServer } from '../observe/metrics-server.ts';
import { ProxyHealth } from '../observe/proxy-health.ts';
import { EventRecorder } from '../source/kubernetes/events.ts';
import { Agent } from './agent.ts';
import { observeAgent } from './agent-observer.ts';
import { version } from './version.ts';
import { clusterSource, fileSource } from './agent-source.ts';
import {
  addKernelOptions,
  addLogFormat,
  addNodeOptions,
  type InputOptions,
  parseAddresses,
  readSettings,
  stateOption,
} from './inputs.ts';
import { OwnProcesses, watchKernel } from './kernel-watch.ts';
import { createReporter } from './terminal.ts';

interface RunOptions extends Omit<InputOptions, 'state'> {
  readonly state?: readonly string[];
  readonly kubeconfig?: string;
  readonly master?: string;
}

export function addRunCommand(program: Command): void {
  addKernelOptions(addNodeOptions(addLogFormat(program.command('run'))))
    .addOption(stateOption())
    .description("a node's service proxy: watches the cluster and keeps this kernel at what it asks for")
    .option('--kubeconfig <file>', '')
    .option('--master <url>', '')
    .action(async (options: RunOptions) => {
      const reporter = createReporter(options.logFormat);
      const { settings } = await readSettings({ ...options, state: [] });
      await holdInstance();
      const processes = new OwnProcesses();
      const kernel = await NftKernel.open({
        program: options.nft ?? (process.env['VIPMAP_NFT'] || 'nft'),
        onProcess: processes.note,
      });
      const nodeName = (options.node ?? (settings.hostnameOverride || hostname())).toLowerCase();
      const state = options.state ?? [];
      const apiServer =
        state.length > 0
          ? undefined
          : new HttpApiServer(
              await loadKubeConfig({ kubeconfig: options.kubeconfig ?? '', master: options.master ?? '' }),
            );
      const metrics = createMetrics({ version });
      const health = new ProxyHealth({ clock: () => Date.now(), syncPeriodMs: 30_000 });
      const onFailure = (error: Error) => reporter.warn(error.message);
      await startHealthServer({ health, onFailure, onAnswer: (page, status) => metrics.healthAnswered(page, status) });
      await startMetricsServer({ metrics, proxyMode: 'nftables', configuration: () => ({}), onFailure });
      const events = apiServer && new EventRecorder(apiServer, nodeName, (message) => reporter.warn(message));
      const agent = new Agent({
        nodeName,
        settings,
        nodeAddresses: parseAddresses(options.nodeAddresses),
        kernel,
        reporter,
        observer: observeAgent({ metrics, health, reporter, events }),
        minSyncPeriodMs: 0,
        auditPeriodMs: 300_000,
        openSource: (sourceOptions) =>
          apiServer === undefined
            ? fileSource(state, sourceOptions)
            : clusterSource(apiServer, nodeName, sourceOptions, () => undefined),
        watchKernel: (onForeignChange) => watchKernel({ processes, reporter, onForeignChange }),
      });
      await agent.start();
      void events?.record({
        regarding: { kind: 'Node', namespace: '', name: nodeName },
        type: 'Normal',
        reason: 'Starting',
        action: 'StartVipmap',
        note: '',
      });
      await new Promise<void>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
      });
      reporter.info('ending; the rules stay');
      await agent.stop();
      process.exit(0);
    });
}
