import { type Endpoint, isOnNode } from './endpoint.ts';
import { isExternallyAccessible, type ServicePort } from './service-port.ts';

/** How topology hints narrow the cluster list: to endpoints meant for this node, for this zone, or not at all. */
export type TopologyMode = 'none' | 'same-node' | 'same-zone';

/** Why a list holds what it holds. `unused`: nothing of the service uses this policy. */
export type ListReason = 'unused' | 'ready' | 'terminating-fallback' | 'empty';

/** Endpoints usable under one traffic policy, in the order of ServicePort.endpoints. */
export interface EndpointList {
  readonly endpoints: readonly Endpoint[];
  readonly reason: ListReason;
}

export interface CategorizedEndpoints {
  /** What policy Cluster uses. */
  readonly cluster: EndpointList;
  /** What policy Local uses: never narrowed by hints. */
  readonly local: EndpointList;
  readonly topology: TopologyMode;
  /** True if some endpoint anywhere could serve: decides between reject (nobody) and drop (nobody here). */
  readonly hasAnyEndpoints: boolean;
}

/**
 * The endpoint lists of a service port on this node, by traffic policy.
 *
 * Each list prefers ready endpoints and falls back, on its own, to terminating ones that still serve (KEP-1669); ready and
 * terminating are never mixed. Hints (KEP-2433, KEP-4444) narrow the cluster list's ready endpoints only.
 */
export function categorizeEndpoints(servicePort: ServicePort, nodeName: string, zone?: string): CategorizedEndpoints {
  const { endpoints } = servicePort;
  const ready = endpoints.filter((endpoint) => endpoint.traits.state === 'ready');
  const topology = usesClusterEndpoints(servicePort) ? topologyMode(ready, nodeName, zone) : 'none';
  const hinted = topology === 'none' ? ready : ready.filter(isHintedFor(topology, nodeName, zone));
  return {
    cluster: usesClusterEndpoints(servicePort) ? preferReady(hinted, endpoints) : unused,
    local: usesLocalEndpoints(servicePort)
      ? preferReady(
          ready.filter((endpoint) => isOnNode(endpoint, nodeName)),
          endpoints.filter((endpoint) => isOnNode(endpoint, nodeName)),
        )
      : unused,
    topology,
    hasAnyEndpoints: endpoints.some((endpoint) => endpoint.traits.state !== 'unavailable'),
  };
}

/** True if any traffic may use every endpoint: external policy Local needs them too, for pods and the node itself (short-circuit). */
export function usesClusterEndpoints(servicePort: ServicePort): boolean {
  return servicePort.internalTrafficPolicy === 'Cluster' || isExternallyAccessible(servicePort);
}

/** True if any traffic is held to endpoints of this node. External policy Local means nothing where nothing external leads to the service. */
export function usesLocalEndpoints(servicePort: ServicePort): boolean {
  return (
    servicePort.internalTrafficPolicy === 'Local' ||
    (servicePort.externalTrafficPolicy === 'Local' && isExternallyAccessible(servicePort))
  );
}

const unused: EndpointList = { endpoints: [], reason: 'unused' };

function preferReady(ready: readonly Endpoint[], candidates: readonly Endpoint[]): EndpointList {
  if (ready.length > 0) return { endpoints: ready, reason: 'ready' };
  const terminating = candidates.filter((endpoint) => endpoint.traits.state === 'terminating');
  return { endpoints: terminating, reason: terminating.length > 0 ? 'terminating-fallback' : 'empty' };
}

/**
 * Hints count only if every ready endpoint has one of the kind and one of them names us: a single endpoint without a hint means that
 * the hints are still being written, and following the others would overload them.
 */
function topologyMode(ready: readonly Endpoint[], nodeName: string, zone: string | undefined): TopologyMode {
  if (ready.length === 0) return 'none';
  if (
    ready.every((endpoint) => endpoint.traits.nodeHints.length > 0) &&
    ready.some((endpoint) => endpoint.traits.nodeHints.includes(nodeName))
  ) {
    return 'same-node';
  }
  if (
    zone !== undefined &&
    ready.every((endpoint) => endpoint.traits.zoneHints.length > 0) &&
    ready.some((endpoint) => endpoint.traits.zoneHints.includes(zone))
  ) {
    return 'same-zone';
  }
  return 'none';
}

function isHintedFor(topology: Exclude<TopologyMode, 'none'>, nodeName: string, zone: string | undefined) {
  return (endpoint: Endpoint): boolean => {
    switch (topology) {
      case 'same-node':
        return endpoint.traits.nodeHints.includes(nodeName);
      case 'same-zone':
        return zone !== undefined && endpoint.traits.zoneHints.includes(zone);
    }
  };
}
