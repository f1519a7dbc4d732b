import type { Size } from './question.ts';

type Json = Record<string, unknown>;

/** The node that rules are made for; no endpoint is on it. */
export const node: Json = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node-1' },
  status: { addresses: [{ type: 'InternalIP', address: '192.168.0.2' }] },
};
export const podCidr = '10.128.0.0/9';

/** The Service of that number: one port. */
export function service(s: number): Json {
  const ip = clusterIp(s);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `svc-${s}`, namespace: 'bench' },
    spec: {
      type: 'ClusterIP',
      clusterIP: ip,
      clusterIPs: [ip],
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 8080 }],
    },
  };
}

/** The Service's EndpointSlice of that number, with the endpoints of these numbers. */
export function endpointSlice(s: number, endpoints: readonly number[], slice = 0): Json {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `svc-${s}-${slice}`, namespace: 'bench', labels: { 'kubernetes.io/service-name': `svc-${s}` } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: endpoints.map((e) => ({
      addresses: [endpointIp(e)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: 'node-2',
    })),
  };
}

/** The numbers of a service's endpoints: no two services share one. */
export function endpointsOf(s: number, { endpoints }: Size): readonly number[] {
  return Array.from({ length: endpoints }, (_, e) => s * endpoints + e);
}

/** A node, and services of one port with so many endpoints each. */
export function* clusterObjects(size: Size): Generator<Json> {
  yield node;
  for (let s = 0; s < size.services; s++) {
    yield service(s);
    yield endpointSlice(s, endpointsOf(s, size));
  }
}

/** The same as `kubectl get svc,endpointslices,nodes -A -o json` prints it. */
export function clusterState(services: number, endpoints: number): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...clusterObjects({ services, endpoints })] });
}

/** The same services in the shape that kube-proxy 1.36 gives them: a chain with an anonymous map for each. */
export function chainPerService(services: number, endpoints: number): string {
  const lines = [
    'add table ip chain-per-service',
    'add map ip chain-per-service service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }',
    'add chain ip chain-per-service services { type nat hook prerouting priority -100; }',
    'add rule ip chain-per-service services ip daddr . meta l4proto . th dport vmap @service-ips',
  ];
  for (let s = 0; s < services; s++) {
    const slots = endpointsOf(s, { services, endpoints })
      .map((endpoint, slot) => `${slot} : ${endpointIp(endpoint)} . 8080`)
      .join(', ');
    lines.push(
      `add chain ip chain-per-service service-${s}`,
      `add rule ip chain-per-service service-${s} meta l4proto tcp dnat ip addr . port to numgen random mod ${endpoints} map { ${slots} }`,
      `add element ip chain-per-service service-ips { ${clusterIp(s)} . tcp . 80 : goto service-${s} }`,
    );
  }
  return `${lines.join('\n')}\n`;
}

export const clusterIp = (s: number) => `10.${96 + (s >> 16)}.${(s >> 8) & 255}.${s & 255}`;
export const endpointIp = (e: number) => `10.${128 + (e >> 16)}.${(e >> 8) & 255}.${e & 255}`;
