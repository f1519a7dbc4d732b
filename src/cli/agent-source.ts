import type { Problem } from '../model/proxy-state.ts';
import { type ClusterStore, type ObjectSink } from '../source/cluster-store.ts';
import type { ApiServer } from '../source/kubernetes/api-server.ts';
import { ClusterWatch } from '../source/kubernetes/cluster-watch.ts';
import { StateFiles } from '../source/state-files.ts';
import type { Reporter } from './terminal.ts';

/** Where the daemon's state comes from: a cluster's API server, or files. */
export interface AgentSource {
  start(): Promise<void>;
  stop(): void;
  readonly hasSynced: boolean;
}

export interface AgentSourceOptions {
  readonly store: ClusterStore;
  readonly reporter: Reporter;
  readonly onSynced: () => void;
}

/** How long before it is said what the node waits for. */
const waitingMs = 10_000;

export function clusterSource(
  apiServer: ApiServer,
  nodeName: string,
  { store, reporter, onSynced }: AgentSourceOptions,
  onRestart: (kind: string, reason: string) => void,
): AgentSource {
  let timer: NodeJS.Timeout | undefined;
  const watch = new ClusterWatch({
    apiServer,
    nodeName,
    sink: store satisfies ObjectSink,
    warn: (message) => reporter.warn(message),
    info: (message) => reporter.info(message),
    onRestart,
    onSynced: (kind) => {
      reporter.info(`${kind}: known`);
      if (!watch.hasSynced) return;
      clearInterval(timer);
      onSynced();
    },
  });
  return {
    start: () => {
      reporter.info(`watching ${apiServer.url} for node ${nodeName}`);
      timer = setInterval(
        () => reporter.info(`nothing is programmed yet: waiting for ${watch.missing.join(', ')}`),
        waitingMs,
      ).unref();
      watch.start();
      return Promise.resolve();
    },
    stop: () => {
      clearInterval(timer);
      watch.stop();
    },
    get hasSynced() {
      return watch.hasSynced;
    },
  };
}

export function fileSource(paths: readonly string[], { store, reporter, onSynced }: AgentSourceOptions): AgentSource {
  let hasSynced = false;
  const warn = ({ object, message }: Problem) => reporter.warn(`${object}: ${message}`, { object });
  const files = new StateFiles({ paths, sink: store, warn });
  return {
    start: async () => {
      await files.start();
      hasSynced = true;
      onSynced();
    },
    stop: () => files.stop(),
    get hasSynced() {
      return hasSynced;
    },
  };
}
