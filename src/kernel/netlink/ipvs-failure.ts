import type { IpvsStep } from '../../ruleset/ipvs/print-step.ts';
import { KernelError } from '../kernel.ts';
import { NetlinkError } from './errors.ts';
import type { Answer } from './message.ts';

/** What IPVS means by its answers, in ipvsadm's words (libipvs.c), which people may know. */
const words: Readonly<Record<IpvsStep['kind'], Readonly<Record<string, string>>>> = {
  'virtual-server': {
    EEXIST: 'Service already exists',
    ESRCH: 'No such service',
    ENOENT: 'Scheduler or persistence engine not found',
  },
  'real-server': {
    EEXIST: 'Destination already exists',
    ESRCH: 'Service not defined',
    ENOENT: 'No such destination',
  },
};
const commonWords: Readonly<Record<string, string>> = {
  EINVAL: 'Invalid operation',
  ENOMEM: 'Memory allocation problem',
};

/** Why a step was refused: `No such service`; an error that has no words, by its name. */
export function wordsOf(step: IpvsStep, { code = '', words: own }: Answer): string {
  const reason = words[step.kind][code] ?? commonWords[code] ?? code;
  return own === undefined ? reason : `${reason}: ${own}`;
}

export function noIpvs(): KernelError {
  const message =
    "this kernel has no IPVS; load its module on the host (modprobe ip_vs), or use a kernel that has it (CONFIG_IP_VS; Debian's linux-image-amd64 does)";
  return new KernelError('unsupported', message, { command: 'netlink' });
}

/** As a KernelError where it is netlink's; anything else as it is. */
export function ipvsFailure(error: unknown): unknown {
  if (!(error instanceof NetlinkError)) return error;
  const details = { command: 'netlink', stderr: error.message };
  switch (error.code) {
    case 'EPERM':
      return new KernelError(
        'not-permitted',
        "this process may not change the kernel's virtual servers (Operation not permitted); run as root or with CAP_NET_ADMIN",
        details,
      );
    case 'EPROTONOSUPPORT':
    case 'EAFNOSUPPORT':
      return new KernelError('missing', `netlink cannot be used: ${error.message}`, details);
    case 'ETIMEDOUT':
      return new KernelError('timeout', `IPVS: ${error.message}; a part of the work may have been done`, details);
    default:
      return new KernelError('crashed', `IPVS: ${error.message}; a part of the work may have been done`, details);
  }
}
