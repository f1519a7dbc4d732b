import type { Protocol } from '../../net/protocol.ts';
import { parseHostPort } from './parse-save.ts';
import { realServerKey, virtualServerKey } from './virtual-server.ts';

/**
 * Active and inactive connections together of each real server that has some, from what `ipvsadm -L -n` prints: by virtualServerKey, then
 * realServerKey. Virtual servers by firewall mark are left out.
 *
 *     TCP  10.96.0.10:80 rr persistent 10800
 *       -> 10.244.1.5:8080              Masq    1      3          12
 */
export function parseConnections(text: string): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const servers = new Map<string, Map<string, number>>();
  let current: string | undefined;
  for (const line of text.split('\n')) {
    const [first = '', ...words] = line.trim().split(/\s+/);
    if (first !== '->') {
      const protocol = protocolOf[first];
      const address = protocol && parseHostPort(words[0]);
      current = address && virtualServerKey({ protocol, ...address });
      continue;
    }
    const address = parseHostPort(words[0]);
    const count = Number(words.at(-2)) + Number(words.at(-1));
    if (current === undefined || address === undefined || !(count > 0)) continue;
    const counts = servers.get(current) ?? new Map<string, number>();
    servers.set(current, counts.set(realServerKey(address), count));
  }
  return servers;
}

const protocolOf: Readonly<Record<string, Protocol>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };
