import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ip } from '../../src/net/ip.ts';
import type { Port } from '../../src/net/port.ts';
import type { Protocol } from '../../src/net/protocol.ts';
import type { FailedStep, KernelVirtualServer } from '../../src/kernel/ipvs-kernel.ts';
import type { Step } from '../../src/ruleset/ipvs/plan.ts';
import { printStep } from '../../src/ruleset/ipvs/print-step.ts';
import type { RealServer, Scheduling, VirtualServerId } from '../../src/ruleset/ipvs/virtual-server.ts';
import { runProgram } from '../kernel/vipmap.ts';

/** Short ways to write steps down. */
export const id = (ip: string, port = 80, protocol: Protocol = 'tcp'): VirtualServerId => ({
  protocol,
  ip: ip as Ip,
  port: port as Port,
});
export const rr: Scheduling = { scheduler: 'rr', schedulerFlags: [] };
export const real = (ip: string, port = 8080, weight = 1): RealServer => ({ ip: ip as Ip, port: port as Port, weight });

export const virtualServer = (verb: 'add' | 'edit', server: VirtualServerId, scheduling = rr): Step => ({
  kind: 'virtual-server',
  verb,
  server,
  scheduling,
});
export const noServer = (server: VirtualServerId): Step => ({ kind: 'virtual-server', verb: 'delete', server });
export const realServer = (verb: 'add' | 'edit' | 'delete', server: VirtualServerId, realServer: RealServer): Step => ({
  kind: 'real-server',
  verb,
  server,
  realServer,
});
export const address = (verb: 'add' | 'delete', ip: string): Step => ({ kind: 'address', verb, ip: ip as Ip });
export const theInterface = (verb: 'add' | 'delete'): Step => ({ kind: 'interface', verb });

export const ipvsadm = (args: readonly string[], input = '') => runProgram('ipvsadm', args, input);
export const ip = (...args: readonly string[]) => runProgram('ip', args);
export const saved = async () => (await ipvsadm(['--save', '-n'])).stdout;

/** In any order. */
export const lines = (text: string) => text.split('\n').sort().join('\n');
export const sorted = (servers: ReadonlyMap<string, KernelVirtualServer>) =>
  byKey([...servers].map(([key, server]) => [key, { ...server, realServers: byKey(server.realServers) }]));
const byKey = <T>(all: Iterable<readonly [string, T]>) => new Map([...all].sort(([a], [b]) => (a < b ? -1 : 1)));

export const messages = (failed: readonly FailedStep[]) =>
  failed.map(({ step, error }) => `${printStep(step)}: ${error.message}`).join('\n');

/** A program in front of another: `lines` of a shell script, which ends by running the other. */
export async function shim(name: string, lines: string): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), 'vipmap-')), name);
  await writeFile(path, `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  return path;
}

let failures = 0;

/** Runs one check on a kernel without virtual servers and our interface; undefined is good, anything else says what was wrong. */
export async function check(name: string, run: () => Promise<string | undefined>): Promise<void> {
  await ipvsadm(['-C']);
  await ip('link', 'delete', 'kube-ipvs0');
  const wrong = await run().catch((error: unknown) => (error instanceof Error ? error.stack : String(error)));
  if (wrong !== undefined) failures++;
  console.log(wrong === undefined ? `ok      ${name}` : `FAILED  ${name}\n${wrong.replace(/^/gm, '        ')}`);
}

export function expectSame(found: unknown, wanted: unknown, what = ''): string | undefined {
  const [a, b] = [plain(found), plain(wanted)];
  return a === b ? undefined : `${what} is\n${a}\nand should be\n${b}`;
}

const plain = (value: unknown) =>
  typeof value === 'string'
    ? value
    : JSON.stringify(value, (_, each: unknown) => (each instanceof Map || each instanceof Set ? [...each] : each), 1);

export const exitCode = () => (failures === 0 ? 0 : 1);
