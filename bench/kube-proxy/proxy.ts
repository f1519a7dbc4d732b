import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'undici';
import { repository } from '../../test/cluster/command.ts';
import { podCidr } from '../generate.ts';
import { pathWith } from './binaries.ts';
import { nodeName, type Place } from './cluster.ts';
import { daemonNode } from '../programs/commands.ts';
import { BackgroundProcess } from './process.ts';

/** One of the two programs, as a user runs it. */
export interface Proxy {
  readonly name: 'kube-proxy' | 'vipmap';
  /** Its table of family ip, and the map in that with an element for each service. */
  readonly table: string;
  readonly map: string;
  command(place: Place, config: string): readonly [string, ...string[]];
}

export const kubeProxy: Proxy = {
  name: 'kube-proxy',
  table: 'kube-proxy',
  map: 'service-ips',
  command: ({ binaries }, config) => [binaries.kubeProxy, '--config', config],
};

const bundle = join(repository, 'dist', 'vipmap.mjs');

export const vipmap: Proxy = {
  name: 'vipmap',
  table: 'vipmap',
  map: 'service-ips',
  command(_, config) {
    if (!existsSync(bundle)) throw new Error(`${bundle} is missing; npm run build makes it`);
    return [...daemonNode, bundle, 'run', '--config', config];
  },
};

const metricsAddress = '127.0.0.1:10249';
/** What kube-proxy may take with 20,000 services, several times over. */
export const patienceMs = 10 * 60_000;

/** One file for both: vipmap takes kube-proxy's configuration. What is not named has its default, so minSyncPeriod is a second. */
function writeConfig({ folder, kubeconfig }: Place): string {
  const file = join(folder, 'proxy-config.json');
  const config = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    hostnameOverride: nodeName,
    clientConnection: { kubeconfig },
    detectLocalMode: 'ClusterCIDR',
    clusterCIDR: podCidr,
    metricsBindAddress: metricsAddress,
    healthzBindAddress: '127.0.0.1:10256',
    // The size of conntrack's table belongs to the machine: from a network namespace it cannot be set.
    conntrack: { maxPerCore: 0, min: 0 },
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

/** Syncs of IPv4 that have ended, and how long they took, as the program's metrics tell it. */
export interface Syncs {
  readonly count: number;
  readonly ms: number;
}

/** A proxy at work. Its rules stay when it is stopped. */
export class RunningProxy {
  readonly #name: string;
  readonly #process: BackgroundProcess;

  constructor(place: Place, proxy: Proxy) {
    this.#name = proxy.name;
    const { nft } = place.binaries;
    const command = proxy.command(place, writeConfig(place));
    const env = { PATH: pathWith(nft), VIPMAP_NFT: nft };
    this.#process = new BackgroundProcess(command, join(place.folder, `${proxy.name}.log`), env);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Milliseconds from its start to the end of its first sync, at the time that it names itself: how often it is asked does not matter. */
  async firstSync(): Promise<number> {
    const seconds = await this.#ask('end of the first sync', (metric) => metric('last_timestamp_seconds'));
    return seconds * 1000 - this.#process.startedMs;
  }

  /** All syncs so far, as soon as there are more than in `before`. */
  syncs(before?: Syncs): Promise<Syncs> {
    return this.#ask('end of a sync', (metric) => {
      const count = metric('duration_seconds_count') ?? 0;
      return count > (before?.count ?? 0) ? { count, ms: (metric('duration_seconds_sum') ?? 0) * 1000 } : undefined;
    });
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  /** Answers with what can be found in its metrics, whose names are the same in both programs. */
  #ask<T>(what: string, find: (metric: (name: string) => number | undefined) => T | undefined): Promise<T> {
    const look = async () => {
      const { body } = await request(`http://${metricsAddress}/metrics`);
      const text = await body.text();
      return find((name) => {
        const [, value] =
          new RegExp(`^kubeproxy_sync_proxy_rules_${name}{ip_family="IPv4"} (\\S+)$`, 'm').exec(text) ?? [];
        return value === undefined ? undefined : Number(value);
      });
    };
    return this.#process.waitFor(`${this.#name}: ${what}`, patienceMs, look, 100);
  }
}
