import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PodCommand, Reply } from './pod.ts';

/** Somebody with an address of their own: a pod, or a client outside. */
export interface Host {
  readonly address: string;
  command(command: PodCommand): Promise<readonly Reply[]>;
  stop(): void;
}

const nodeAddress = '192.168.0.2';

/** Runs one ip command in this namespace. */
export function ip(line: string): void {
  execFileSync('ip', line.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Makes this process's network namespace a node that forwards. */
export function becomeNode(): void {
  ip('link set lo up');
  // The node's own address; its cables have none.
  ip(`addr add ${nodeAddress}/32 dev lo`);
  for (const [name, value] of [
    ['net/ipv4/ip_forward', '1'],
    ['net/ipv4/conf/all/rp_filter', '0'],
    ['net/ipv4/conf/default/rp_filter', '0'],
  ]) {
    writeFileSync(`/proc/sys/${name}`, value as string);
  }
}

/** Starts a host in a namespace of its own, with a cable to the node. */
export async function plugIn(name: string, address: string): Promise<Host> {
  const process_ = spawn('unshare', ['--net', process.execPath, join(import.meta.dirname, 'pod.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const command = commander(process_);
  ip(`link add ${name} type veth peer name ${name}-peer`);
  // unshare has made the new namespace once it has become node, which then answers.
  await command({ do: 'connect', host: '127.0.0.1', port: 1, times: 0 });
  ip(`link set ${name}-peer netns ${process_.pid}`);
  ip(`link set ${name} up`);
  ip(`route add ${address}/32 dev ${name} src ${nodeAddress}`);
  await command({ do: 'configure', device: `${name}-peer`, address, gateway: nodeAddress });
  return { address, command, stop: () => process_.kill('SIGKILL') };
}

function commander(child: ChildProcess): Host['command'] {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  return (command) =>
    new Promise((resolve, reject) => {
      const gone = () => reject(new Error('the host is gone'));
      lines.once('line', (line) => {
        child.off('exit', gone);
        resolve(JSON.parse(line) as Reply[]);
      });
      child.once('exit', gone);
      child.stdin?.write(`${JSON.stringify(command)}\n`);
    });
}
