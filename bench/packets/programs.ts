import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../test/cluster/command.ts';
import { findBinaries } from '../kube-proxy/binaries.ts';
import { leaveKubeProxyRules } from '../kube-proxy/rules.ts';
import { nftProgram } from '../node-rig.ts';
import { vipmap as vipmapCommand } from '../programs/commands.ts';
import type { Size } from '../question.ts';
import type { Targets } from './client.ts';
import type { Path } from './path.ts';
import { clusterIps, endpoints, objects, type Protocol, rules } from './services.ts';

/** Somebody's rules for the services. */
export interface Program {
  readonly name: string;
  /** Where the node's namespace has to be: kube-proxy runs in that of this process. */
  readonly node: 'isolated' | 'here';
  /** Where the client connects to. */
  readonly targets: (protocol: Protocol, size: Size) => Targets;
  /** Puts the rules into the node, which has none. */
  readonly load: (path: Path, size: Size, folder: string) => Promise<unknown>;
}

const noRules: Program = {
  name: 'no rules',
  node: 'isolated',
  targets: (_, size) => endpoints(size),
  load: () => Promise.resolve(),
};

/** What rules for services cost at the least: the kernel keeps connections and asks their NAT. A rule that no packet meets is enough. */
const conntrackOnly: Program = {
  name: 'conntrack only',
  node: 'isolated',
  targets: (_, size) => endpoints(size),
  load: (path) =>
    inNode(
      path,
      [nftProgram, '-f', '-'],
      `add table ip empty
      add chain ip empty prerouting { type nat hook prerouting priority -100; }
      add chain ip empty postrouting { type nat hook postrouting priority 100; }
      add chain ip empty nobody
      add rule ip empty nobody masquerade`,
    ),
};

const chainPerService: Program = {
  name: 'a chain per service',
  node: 'isolated',
  targets: clusterIps,
  load: (path, size) => inNode(path, [nftProgram, '-f', '-'], rules(size)),
};

const vipmap: Program = {
  name: 'vipmap',
  node: 'isolated',
  targets: clusterIps,
  load(path, size, folder) {
    const state = join(folder, 'state.json');
    writeFileSync(state, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...objects(size)] }));
    return inNode(path, vipmapCommand('apply', '--state', state));
  },
};

/** In the order of the report. Without kube-proxy's binaries its rules are only alike in shape. */
export async function findPrograms(say: (text: string) => void): Promise<readonly Program[]> {
  const binaries = await findBinaries();
  if (typeof binaries === 'string') {
    say(`no kube-proxy: ${binaries}`);
    return [noRules, conntrackOnly, chainPerService, vipmap];
  }
  const kubeProxy: Program = {
    name: 'kube-proxy',
    node: 'here',
    targets: clusterIps,
    load: (_, size, folder) => leaveKubeProxyRules(binaries, objects(size), mkdtempSync(join(folder, 'kube-proxy-'))),
  };
  return [noRules, conntrackOnly, kubeProxy, vipmap];
}

/** Takes the last size's rules away. */
export const clear = (path: Path) => inNode(path, [nftProgram, 'flush', 'ruleset']);

function inNode(path: Path, command: readonly string[], input?: string): Promise<string> {
  const [program = '', ...words] = [...path.enterNode, ...command];
  return run(program, words, { timeoutMs: 600_000, ...(input !== undefined && { input }) });
}
