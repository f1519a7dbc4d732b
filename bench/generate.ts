/** Services of one port with so many endpoints each, as `kubectl get svc,endpointslices,nodes -A -o json` prints them. */
export function clusterState(services: number, endpoints: number): string {
  const items: unknown[] = [
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node-1' },
      status: { addresses: [{ type: 'InternalIP', address: '192.168.0.2' }] },
    },
  ];
  for (let s = 0; s < services; s++) {
    const ip = clusterIp(s);
    const name = `svc-${s}`;
    items.push({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'bench' },
      spec: {
        type: 'ClusterIP',
        clusterIP: ip,
        clusterIPs: [ip],
        ipFamilies: ['IPv4'],
        ports: [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 8080 }],
      },
    });
    items.push({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-abcde`, namespace: 'bench', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: Array.from({ length: endpoints }, (_, e) => ({
        addresses: [endpointIp(s * endpoints + e)],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: 'node-2',
      })),
    });
  }
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
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
    const slots = Array.from({ length: endpoints }, (_, e) => `${e} : ${endpointIp(s * endpoints + e)} . 8080`).join(
      ', ',
    );
    lines.push(
      `add chain ip chain-per-service service-${s}`,
      `add rule ip chain-per-service service-${s} meta l4proto tcp dnat ip addr . port to numgen random mod ${endpoints} map { ${slots} }`,
      `add element ip chain-per-service service-ips { ${clusterIp(s)} . tcp . 80 : goto service-${s} }`,
    );
  }
  return `${lines.join('\n')}\n`;
}

const clusterIp = (n: number) => `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
const endpointIp = (n: number) => `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
