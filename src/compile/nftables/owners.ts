import { frontendsOf } from '../../model/frontend.ts';
import { servicePortName, type ServicePort } from '../../model/service-port.ts';
import type { Family } from '../../net/ip.ts';
import { frontendKey } from './claims.ts';
import { balancingMap, sets } from './names.ts';

/** Says whose an element is: `shop/web:http`, or undefined for what belongs to no single service. */
export type OwnerOf = (family: Family, set: string, key: string) => string | undefined;

/**
 * Finds the service port behind an element, for messages and for setting one service aside. Ask with all the states that the elements
 * may stem from, the newest first (what leaves belongs to a service of the older one).
 */
export function indexOwners(...states: readonly (readonly ServicePort[])[]): OwnerOf {
  const owners = new Map<string, string>();
  const claim = (family: Family, key: string, owner: string) => {
    const full = `${family} ${key}`;
    if (!owners.has(full)) owners.set(full, owner);
  };
  for (const servicePorts of states) {
    for (const servicePort of servicePorts) {
      const { family } = servicePort;
      const name = servicePortName(servicePort);
      for (const frontend of frontendsOf(servicePort)) claim(family, frontendKey(frontend), name);
      claim(family, servicePort.clusterIp, name);
      if (servicePort.healthCheckNodePort !== undefined) claim(family, String(servicePort.healthCheckNodePort), name);
    }
  }
  return (family, set, key) => {
    const frontend = frontendOfElement(set, key);
    return frontend === undefined ? undefined : owners.get(`${family} ${frontend}`);
  };
}

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
