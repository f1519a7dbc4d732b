import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import type { ProxyState } from '../src/model/proxy-state.ts';
import { type Ip, parseIp } from '../src/net/ip.ts';
import { mergeSettings, readConfig } from '../src/source/config.ts';
import type { RunningMode } from '../src/source/mode.ts';
import { readManifests } from '../src/source/manifests.ts';
import { buildProxyState } from '../src/source/proxy-state.ts';
import type { PacketsFile, PacketSpec } from './packets/packets-file.ts';

const root = join(import.meta.dirname, '..', 'fixtures');

export const fixtureNames: readonly string[] = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

/** A behaviour: cluster states over time, and packets with what must become of them. */
export interface Fixture {
  readonly name: string;
  readonly about: string;
  readonly nodeName: string;
  /** Files that the command line takes, for tests that start it as a user would. */
  readonly stateFiles: readonly string[];
  readonly configFile: string;
  readonly states: readonly ProxyState[];
  readonly nodeAddresses: readonly Ip[];
  readonly packets: readonly PacketSpec[];
}

/** In mode ipvs too node ports answer on the primary address unless the fixture says otherwise, so that packets mean the same. */
export async function readFixture(name: string, mode: RunningMode = 'nftables'): Promise<Fixture> {
  const folder = join(root, name);
  const packetsFile = load(readFileSync(join(folder, 'packets.yaml'), 'utf8')) as PacketsFile;
  const stateFiles = [join(folder, 'cluster.yaml')];
  for (let step = 2; existsSync(join(folder, `step-${step}.yaml`)); step++)
    stateFiles.push(join(folder, `step-${step}.yaml`));
  const ownConfig = join(folder, 'config.yaml');
  const configFile = existsSync(ownConfig) ? ownConfig : join(root, 'config.yaml');
  const file = (await readConfig(configFile)).settings;
  const nodePortAddresses = file.nodePortAddresses ?? [];
  const settings = mergeSettings(file, {
    mode,
    nodePortAddresses: nodePortAddresses.length > 0 ? nodePortAddresses : ['primary'],
  });
  const nodeName = packetsFile.node ?? 'node-1';
  const given = packetsFile.nodeAddresses?.map((text) => parseIp(text) as Ip);
  const states: ProxyState[] = [];
  let nodeAddresses: readonly Ip[] = given ?? [];
  for (const file of stateFiles) {
    const { objects } = await readManifests([file]);
    const built = buildProxyState(objects, { nodeName, settings, ...(given && { nodeAddresses: given }) });
    states.push(built.state);
    nodeAddresses = given ?? built.nodeAddresses;
  }
  return {
    name,
    about: packetsFile.about,
    nodeName,
    stateFiles,
    configFile,
    states,
    nodeAddresses,
    packets: packetsFile.packets,
  };
}

/** Where a packet comes in, as packets-file.ts says. */
export function viaOf(spec: PacketSpec, nodeAddresses: readonly string[]): 'pods' | 'outside' | 'node' {
  if (spec.via !== undefined) return spec.via;
  if (nodeAddresses.includes(spec.from)) return 'node';
  return spec.from.startsWith('10.244.1.') || spec.from.startsWith('fd00:10:244:1:') ? 'pods' : 'outside';
}
