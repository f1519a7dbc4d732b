import { detailsOf, type Program, runChecked } from './ipvs-programs.ts';
import { KernelError } from './kernel.ts';

/** How long IPVS keeps idle connections; 0 leaves the kernel's as it is. */
export interface IpvsTimeouts {
  readonly tcpMs: number;
  /** After a FIN. */
  readonly tcpFinMs: number;
  readonly udpMs: number;
}

/** Seconds: of established TCP, after a FIN, of UDP. `[900, 120, 300]` is the kernel's default. */
type Seconds = readonly [tcp: number, tcpFin: number, udp: number];

export interface TimeoutsOutcome {
  readonly found: Seconds;
  /** Equal to `found` where nothing had to be changed. */
  readonly now: Seconds;
}

/** Brings them there; writes only if one differs. Throws a KernelError. */
export async function ensureTimeouts(program: Program, timeouts: IpvsTimeouts): Promise<TimeoutsOutcome> {
  const found = await readTimeouts(program);
  const [tcp, tcpFin, udp] = found;
  const now: Seconds = [
    toSeconds(timeouts.tcpMs, tcp),
    toSeconds(timeouts.tcpFinMs, tcpFin),
    toSeconds(timeouts.udpMs, udp),
  ];
  if (now.some((value, i) => value !== found[i])) await runChecked(program, ['--set', ...now.map(String)]);
  return { found, now };
}

async function readTimeouts(program: Program): Promise<Seconds> {
  const result = await runChecked(program, ['-L', '--timeout']);
  const [, tcp, tcpFin, udp] = /: (\d+) (\d+) (\d+)\s*$/.exec(result.stdout) ?? [];
  if (udp !== undefined) return [Number(tcp), Number(tcpFin), Number(udp)];
  const found = JSON.stringify(result.stdout.slice(0, 80));
  throw new KernelError(
    'refused',
    `"${program.path} -L --timeout" prints ${found}, in which no timeouts are found`,
    detailsOf(`${program.path} -L --timeout`, result),
  );
}

/** Whole seconds, as kube-proxy cuts them; but never 0, which ipvsadm takes for "as it is". */
function toSeconds(ms: number, found: number): number {
  return ms > 0 ? Math.max(1, Math.floor(ms / 1000)) : found;
}

/** `timeouts of IPVS are 900 s (TCP), 5 s (TCP after a FIN), 300 s (UDP) now (were 900, 120, 300)` */
export function printTimeouts({ found, now }: TimeoutsOutcome): string {
  const [tcp, tcpFin, udp] = now;
  const isChanged = now.some((value, i) => value !== found[i]);
  return `timeouts of IPVS are ${tcp} s (TCP), ${tcpFin} s (TCP after a FIN), ${udp} s (UDP) ${isChanged ? `now (were ${found.join(', ')})` : 'already'}`;
}
