import type { Frontend } from '../../model/frontend.ts';
import type { IpvsState, NodeState } from '../../model/proxy-state.ts';
import type { Ip } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import { type RealServer, virtualServerKey } from '../../ruleset/ipvs/virtual-server.ts';
import type { Contribution } from '../nftables/contribution.ts';
import { sets } from '../nftables/names.ts';

/** One virtual server for an address, and one on each address of the node for a node port; none where there is nobody to serve. */
export function contributeServers(
  contribution: Contribution,
  node: NodeState,
  ipvs: IpvsState,
  frontend: Frontend,
  endpoints: readonly string[],
): void {
  // Also where nobody serves: what is sent there must come to this node's rules, not go on to the network.
  if (frontend.ip !== undefined && !ipvs.interfaceIps.includes(frontend.ip))
    contribution.add(sets.boundIps, frontend.ip);
  if (endpoints.length === 0) return;
  const { protocol, port, servicePort } = frontend;
  const scheduler = servicePort.scheduler ?? ipvs.scheduler;
  const scheduling = {
    scheduler: scheduler.name,
    schedulerFlags: scheduler.flags,
    ...(servicePort.affinityTimeoutSeconds !== undefined && { persistenceSeconds: servicePort.affinityTimeoutSeconds }),
  };
  const realServers = new Map(endpoints.map((endpoint) => [endpoint, realServer(endpoint)]));
  const isNodePort = frontend.ip === undefined;
  const isFirst = servicePort.namespace === 'default' && servicePort.service === 'kubernetes';
  for (const ip of isNodePort ? nodePortIps(node, contribution) : [frontend.ip]) {
    const server = { protocol, ip, port, ...scheduling, realServers };
    contribution.addServer({ server, isNodePort, isFirst });
    contribution.add(sets.virtualServers, virtualServerKey(server));
  }
}

function nodePortIps(node: NodeState, { family }: Contribution): readonly Ip[] {
  const addresses = node.nodePortAddresses[family];
  return addresses.kind === 'some' ? addresses.ips : [];
}

/** From `10.244.1.5 . 8080`. Each endpoint counts the same. */
function realServer(endpoint: string): RealServer {
  const [ip, port] = endpoint.split(' . ');
  return { ip: ip as Ip, port: Number(port) as Port, weight: 1 };
}
