import type { Family } from '../../net/ip.ts';
import { balancingMap, sets } from './names.ts';

/** Says whose an element is: `shop/web:http`, or undefined for what belongs to no single service. */
export type OwnerOf = (family: Family, set: string, key: string) => string | undefined;

const endpointMapName = /^(nodeport-)?(?:cluster|local)-endpoints-(tcp|udp|sctp)$/;
const unowned: readonly string[] = [
  balancingMap,
  sets.hairpin,
  sets.podCidrs,
  sets.serviceCidrs,
  sets.nodePortIps,
  sets.boundIps,
];

/** The frontend that an element speaks of, in the form of frontendKey; a cluster IP or health check port as it stands. */
export function frontendOfElement(set: string, key: string): string | undefined {
  if (unowned.includes(set)) return undefined;
  if (set === sets.firewallSources) return key.slice(0, key.lastIndexOf(' . '));
  const map = endpointMapName.exec(set);
  if (map === null) return key;
  const parts = key.split(' . ');
  return map[1] === undefined ? `${parts[0]} . ${map[2]} . ${parts[1]}` : `${map[2]} . ${parts[0]}`;
}
