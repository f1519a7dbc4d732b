import type { ServersAccess, TimeoutSeconds } from './ipvs-kernel.ts';

/** How long IPVS keeps idle connections; 0 leaves the kernel's as it is. */
export interface IpvsTimeouts {
  readonly tcpMs: number;
  /** After a FIN. */
  readonly tcpFinMs: number;
  readonly udpMs: number;
}

export interface TimeoutsOutcome {
  readonly found: TimeoutSeconds;
  /** Equal to `found` where nothing had to be changed. */
  readonly now: TimeoutSeconds;
}

/** Brings them there; writes only if one differs. Throws a KernelError. */
export async function ensureTimeouts(servers: ServersAccess, timeouts: IpvsTimeouts): Promise<TimeoutsOutcome> {
  const found = await servers.readTimeouts();
  const [tcp, tcpFin, udp] = found;
  const now: TimeoutSeconds = [
    toSeconds(timeouts.tcpMs, tcp),
    toSeconds(timeouts.tcpFinMs, tcpFin),
    toSeconds(timeouts.udpMs, udp),
  ];
  if (now.some((value, i) => value !== found[i])) await servers.writeTimeouts(now);
  return { found, now };
}

/** Whole seconds, as kube-proxy cuts them; but never 0, which the kernel takes for "as it is". */
function toSeconds(ms: number, found: number): number {
  return ms > 0 ? Math.max(1, Math.floor(ms / 1000)) : found;
}

/** `timeouts of IPVS are 900 s (TCP), 5 s (TCP after a FIN), 300 s (UDP) now (were 900, 120, 300)` */
export function printTimeouts({ found, now }: TimeoutsOutcome): string {
  const [tcp, tcpFin, udp] = now;
  const isChanged = now.some((value, i) => value !== found[i]);
  return `timeouts of IPVS are ${tcp} s (TCP), ${tcpFin} s (TCP after a FIN), ${udp} s (UDP) ${isChanged ? `now (were ${found.join(', ')})` : 'already'}`;
}
