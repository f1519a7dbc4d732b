import type { ObjectSink, WatchedKind } from '../cluster-store.ts';
import type { ApiServer } from './api-server.ts';
import { Reflector, type ReflectorOptions, type Resource } from './reflector.ts';

/** kube-proxy's selectors: Services of other proxies and headless ones never reach the node. */
export const servicesResource: Resource = {
  kind: 'Service',
  paths: ['/api/v1/services'],
  labelSelector: '!service.kubernetes.io/service-proxy-name',
  fieldSelector: 'spec.clusterIP!=None',
  isOptional: false,
};

const endpointSlicesResource: Resource = {
  kind: 'EndpointSlice',
  paths: ['/apis/discovery.k8s.io/v1/endpointslices'],
  labelSelector: '!service.kubernetes.io/headless',
  isOptional: false,
};

/** Served from 1.33 on, as a beta from 1.31 where that was enabled. */
const serviceCidrsResource: Resource = {
  kind: 'ServiceCIDR',
  paths: ['/apis/networking.k8s.io/v1/servicecidrs', '/apis/networking.k8s.io/v1beta1/servicecidrs'],
  isOptional: true,
};

const nodeResource = (nodeName: string): Resource => ({
  kind: 'Node',
  paths: ['/api/v1/nodes'],
  fieldSelector: `metadata.name=${nodeName}`,
  isOptional: true,
});

export interface ClusterWatchOptions extends Pick<ReflectorOptions, 'warn' | 'info' | 'onRestart' | 'onSynced'> {
  readonly apiServer: ApiServer;
  readonly nodeName: string;
  readonly sink: ObjectSink;
}

/** Everything in a cluster that decides one node's rules, kept up to date from its API server. */
export class ClusterWatch {
  readonly #reflectors: readonly Reflector[];

  constructor({ nodeName, ...options }: ClusterWatchOptions) {
    const resources = [servicesResource, endpointSlicesResource, nodeResource(nodeName), serviceCidrsResource];
    this.#reflectors = resources.map((resource) => new Reflector(resource, options));
  }

  start(): void {
    for (const reflector of this.#reflectors) void reflector.run();
  }

  stop(): void {
    for (const reflector of this.#reflectors) reflector.stop();
  }

  /** True once every list was read, or is known not to be there for us. */
  get hasSynced(): boolean {
    return this.#reflectors.every((reflector) => reflector.hasSynced);
  }

  /** What has not been read yet. */
  get missing(): readonly WatchedKind[] {
    return this.#reflectors.filter((reflector) => !reflector.hasSynced).map(({ resource }) => resource.kind);
  }
}
