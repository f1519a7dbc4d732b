import type { Family } from '../../net/ip.ts';
import { AF_INET, AF_INET6 } from './message.ts';

/* Generic netlink's family IPVS, as linux/ip_vs.h has it. Numbers are in the host's byte order, but for addresses, ports and IPv4 masks. */
export const ipvsFamilyName = 'IPVS';

export const IPVS_CMD_NEW_SERVICE = 1;
export const IPVS_CMD_SET_SERVICE = 2;
export const IPVS_CMD_DEL_SERVICE = 3;
export const IPVS_CMD_GET_SERVICE = 4;
export const IPVS_CMD_NEW_DEST = 5;
export const IPVS_CMD_SET_DEST = 6;
export const IPVS_CMD_DEL_DEST = 7;
export const IPVS_CMD_GET_DEST = 8;
export const IPVS_CMD_SET_CONFIG = 12;
export const IPVS_CMD_GET_CONFIG = 13;

export const IPVS_CMD_ATTR_SERVICE = 1;
export const IPVS_CMD_ATTR_DEST = 2;
export const IPVS_CMD_ATTR_TIMEOUT_TCP = 4;
export const IPVS_CMD_ATTR_TIMEOUT_TCP_FIN = 5;
export const IPVS_CMD_ATTR_TIMEOUT_UDP = 6;

export const IPVS_SVC_ATTR_AF = 1;
export const IPVS_SVC_ATTR_PROTOCOL = 2;
export const IPVS_SVC_ATTR_ADDR = 3;
export const IPVS_SVC_ATTR_PORT = 4;
export const IPVS_SVC_ATTR_SCHED_NAME = 6;
/** Two numbers: flags, and which of them count. */
export const IPVS_SVC_ATTR_FLAGS = 7;
export const IPVS_SVC_ATTR_TIMEOUT = 8;
export const IPVS_SVC_ATTR_NETMASK = 9;
export const IPVS_SVC_ATTR_PE_NAME = 11;

export const IPVS_DEST_ATTR_ADDR = 1;
export const IPVS_DEST_ATTR_PORT = 2;
export const IPVS_DEST_ATTR_FWD_METHOD = 3;
export const IPVS_DEST_ATTR_WEIGHT = 4;
export const IPVS_DEST_ATTR_U_THRESH = 5;
export const IPVS_DEST_ATTR_L_THRESH = 6;
export const IPVS_DEST_ATTR_ACTIVE_CONNS = 7;
export const IPVS_DEST_ATTR_INACT_CONNS = 8;
export const IPVS_DEST_ATTR_ADDR_FAMILY = 11;
export const IPVS_DEST_ATTR_TUN_TYPE = 13;

export const IP_VS_SVC_F_PERSISTENT = 0x1;
export const IP_VS_SVC_F_ONEPACKET = 0x4;
/** The first of three flags that each scheduler has its own meaning for. */
export const IP_VS_SVC_F_SCHED1 = 0x8;
export const IP_VS_CONN_F_FWD_MASK = 0x7;
export const IP_VS_CONN_F_MASQ = 0;
export const IP_VS_CONN_F_TUNNEL = 2;

export const familyNumber: Readonly<Record<Family, number>> = { ip: AF_INET, ip6: AF_INET6 };

/** An address takes this much in messages, an IPv4 address the first four bytes of it (union nf_inet_addr). */
export const addressBytes = 16;

/** Each client by itself. The kernel takes IPv6's for a number, IPv4's for an address. */
export const wholeNetmask: Readonly<Record<Family, number>> = { ip: 0xffff_ffff, ip6: 128 };

/** What ipvsadm calls the three flags of a scheduler, from the first one on. */
export function schedulerFlagNames(scheduler: string): readonly string[] {
  const isNamed = scheduler === 'sh' || scheduler === 'mh';
  return isNamed ? [`${scheduler}-fallback`, `${scheduler}-port`, 'flag-3'] : ['flag-1', 'flag-2', 'flag-3'];
}
