import { familyOf } from '../../net/ip.ts';
import type { Step } from './plan.ts';
import { hostPort, interfaceName, type RealServer, type Scheduling, type VirtualServerId } from './virtual-server.ts';

export type IpvsStep = Extract<Step, { readonly kind: 'virtual-server' | 'real-server' }>;
export type AddressStep = Extract<Step, { readonly kind: 'interface' | 'address' }>;

/** The step as somebody could do it by hand: `ipvsadm -D -t 10.96.0.10:80`, `ip link add kube-ipvs0 type dummy`. */
export function printStep(step: Step): string {
  return isIpvsStep(step) ? `ipvsadm ${printRestoreLine(step)}` : `ip ${printIpLine(step)}`;
}

export function isIpvsStep(step: Step): step is IpvsStep {
  return step.kind === 'virtual-server' || step.kind === 'real-server';
}

/** The step as a line for `ipvsadm --restore`, which takes all of ipvsadm's commands: `-E -t 10.96.0.10:80 -s rr -p 10800`. */
export function printRestoreLine(step: IpvsStep): string {
  const server = printServer(step.server);
  if (step.kind === 'virtual-server') {
    if (step.verb === 'delete') return `-D ${server}`;
    return `${step.verb === 'add' ? '-A' : '-E'} ${server} ${printScheduling(step.scheduling)}`;
  }
  switch (step.verb) {
    case 'add':
      return `-a ${server} ${printRealServer(step.realServer)}`;
    case 'edit':
      return `-e ${server} ${printRealServer(step.realServer)}`;
    case 'delete':
      return `-d ${server} -r ${hostPort(step.realServer)}`;
  }
}

/** The step as a line for `ip -batch`: `address add 10.96.0.10/32 dev kube-ipvs0`. */
export function printIpLine(step: AddressStep): string {
  if (step.kind === 'interface') {
    return step.verb === 'add' ? `link add ${interfaceName} type dummy` : `link delete ${interfaceName}`;
  }
  const isIpv6 = familyOf(step.ip) === 'ip6';
  // Every node of the cluster has the same addresses, so looking for duplicates would find them.
  const flags = isIpv6 && step.verb === 'add' ? ' nodad' : '';
  return `address ${step.verb} ${step.ip}/${isIpv6 ? 128 : 32} dev ${interfaceName}${flags}`;
}

const protocolOption = { tcp: '-t', udp: '-u', sctp: '--sctp-service' } as const;

/** `-t 10.96.0.10:80` */
export function printServer(server: VirtualServerId): string {
  return `${protocolOption[server.protocol]} ${hostPort(server)}`;
}

/** `-s mh -p 10800 -b mh-port` */
export function printScheduling({ scheduler, schedulerFlags, persistenceSeconds }: Scheduling): string {
  const persistence = persistenceSeconds === undefined ? '' : ` -p ${persistenceSeconds}`;
  const flags = schedulerFlags.length === 0 ? '' : ` -b ${schedulerFlags.join(',')}`;
  return `-s ${scheduler}${persistence}${flags}`;
}

/** `-r 10.244.1.5:8080 -m -w 1` */
export function printRealServer(realServer: RealServer): string {
  return `-r ${hostPort(realServer)} -m -w ${realServer.weight}`;
}

/** `virtual server 10.96.0.10:80/tcp`, for messages. */
export function nameStep(step: Step): string {
  switch (step.kind) {
    case 'interface':
      return `interface ${interfaceName}`;
    case 'address':
      return `address ${step.ip} of ${interfaceName}`;
    case 'virtual-server':
      return `virtual server ${hostPort(step.server)}/${step.server.protocol}`;
    case 'real-server':
      return `real server ${hostPort(step.realServer)} of ${hostPort(step.server)}/${step.server.protocol}`;
  }
}
