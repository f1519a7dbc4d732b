import ipaddr from 'ipaddr.js';
import { compareText, type Ip } from '../../net/ip.ts';
import { protocolNumber } from '../../net/protocol.ts';
import { printRealServer, printScheduling, printServer } from './print-step.ts';
import { type RealServer, serverFamily, type VirtualServer, type VirtualServers } from './virtual-server.ts';

/**
 * What `ipvsadm --save -n` prints where these virtual servers are, and `ipvsadm --restore` takes: by family, protocol, address and port,
 * real servers below their virtual server.
 *
 *     -A -t 10.96.0.10:80 -s rr
 *     -a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1
 */
export function printSave(servers: VirtualServers): string {
  let text = '';
  for (const server of sortServers(servers.values())) {
    const name = printServer(server);
    text += `-A ${name} ${printScheduling(server)}\n`;
    for (const realServer of sortRealServers(server.realServers.values())) {
      text += `-a ${name} ${printRealServer(realServer)}\n`;
    }
  }
  return text;
}

function sortServers(servers: Iterable<VirtualServer>): readonly VirtualServer[] {
  return sortBy(servers, (server) => {
    const first = `${serverFamily(server)} ${String(protocolNumber[server.protocol]).padStart(3)}`;
    return `${first} ${addressKey(server)}`;
  });
}

function sortRealServers(realServers: Iterable<RealServer>): readonly RealServer[] {
  return sortBy(realServers, addressKey);
}

/** By value: `10.96.0.9` comes before `10.96.0.10`. */
function addressKey({ ip, port }: { readonly ip: Ip; readonly port: number }): string {
  return `${Buffer.from(ipaddr.parse(ip).toByteArray()).toString('hex')} ${String(port).padStart(5)}`;
}

function sortBy<T>(values: Iterable<T>, key: (value: T) => string): readonly T[] {
  return [...values]
    .map((value) => ({ value, key: key(value) }))
    .sort((a, b) => compareText(a.key, b.key))
    .map(({ value }) => value);
}
