import { readFile } from 'node:fs/promises';
import get from 'lodash-es/get.js';
import type { Problem } from '../model/proxy-state.ts';
import { type ConfigFile, configSchema } from './config-schema.ts';
import { type DaemonOverrides, daemonSettingsOf } from './daemon-settings.ts';
import { isRecord, type Json, quote, reasonOf } from './fields.ts';
import { looksLikeJson, parseJson } from './json.ts';
import { countingMode, modeBlock, type ProxyMode, runningMode, type RunningMode } from './mode.ts';
import { aHostname, type Settings } from './settings.ts';
import { yamlDocuments } from './yaml.ts';

export {
  type ConntrackSettings,
  type DaemonOverrides,
  type DaemonSettings,
  defaultDaemonSettings,
  type IpvsSettings,
  mergeDaemonSettings,
} from './daemon-settings.ts';
export {
  defaultSettings,
  type DetectLocalMode,
  FlagError,
  mergeSettings,
  type NodePortAddress,
  parseSettingsFlags,
  type Settings,
} from './settings.ts';
export type { ProxyMode, RunningMode } from './mode.ts';

/** The configuration file cannot be used. The message names file, field, value and what is accepted, a line for each fault. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly file: string;
  constructor(file: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.file = file;
  }
}

export interface Config {
  readonly settings: Partial<Settings>;
  readonly daemon: DaemonOverrides;
  /** The whole configuration as it stands in the file, nulls and unknown fields left out: what decides no rules is carried, not used. */
  readonly carried: Json;
  readonly problems: readonly Problem[];
}

/** The configuration in the file, as parseConfig gives it. Throws ConfigError as that does, or if the file cannot be read. */
export async function readConfig(path: string, requested?: RunningMode): Promise<Config> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ConfigError(
      path,
      `cannot read the configuration "${path}": ${reasonOf(error)}; give a KubeProxyConfiguration file`,
      { cause: error },
    );
  }
  return parseConfig(text, path, requested);
}

/**
 * The settings in a KubeProxyConfiguration v1alpha1, YAML or JSON, alone, among other documents, or in the ConfigMap that kubeadm
 * writes. `requested` is the mode that a flag asks for: a file that names none is read by it. Fields that nobody knows are problems;
 * throws ConfigError on values that kube-proxy too would refuse to start with.
 */
export function parseConfig(text: string, file: string, requested?: RunningMode): Config {
  const { config: raw, place } = findConfig(text, file);
  const carried = withoutNulls(raw) as Json;
  const { known, unknown } = withoutUnknown(carried);
  const problems = unknown.map((field) => ({
    object: `Configuration ${place}`,
    message: `field ${quote(field)} is not known to KubeProxyConfiguration v1alpha1; it is ignored`,
  }));
  const result = configSchema.safeParse(known);
  if (!result.success) {
    const faults = result.error.issues.map((issue) => fault(known, issue.path, issue.message));
    throw new ConfigError(file, faults.map((message) => `${place}: ${message}`).join('\n'));
  }
  const { mode = '' } = result.data;
  const counting = countingMode(mode, requested ?? runningMode(mode));
  const periods = syncPeriodFault(result.data, known, counting);
  if (periods !== undefined) throw new ConfigError(file, `${place}: ${periods}`);
  const daemon = daemonSettingsOf(result.data, counting);
  return { settings: settingsOf(result.data, counting, place), daemon, carried: known, problems };
}

interface Found {
  readonly config: Json;
  /** The file, and where in it. */
  readonly place: string;
}

function findConfig(text: string, file: string): Found {
  const found = configsIn(text, file);
  const [first, ...others] = found;
  if (first === undefined) {
    throw new ConfigError(
      file,
      `${file}: holds no KubeProxyConfiguration; its kind and apiVersion (${apiVersion}) must be given`,
    );
  }
  if (others.length > 0)
    throw new ConfigError(file, `${file}: holds ${found.length} KubeProxyConfigurations; leave one`);
  const version = first.config['apiVersion'];
  if (version !== apiVersion) {
    throw new ConfigError(file, `${first.place}: apiVersion ${quote(version ?? '')} is not ${apiVersion}`);
  }
  return first;
}

const apiVersion = 'kubeproxy.config.k8s.io/v1alpha1';

function configsIn(text: string, file: string): readonly Found[] {
  return documentsOf(text, file).flatMap((value) => {
    if (!isRecord(value)) return [];
    if (value['kind'] === 'KubeProxyConfiguration') return [{ config: value, place: file }];
    if (value['kind'] !== 'ConfigMap' || !isRecord(value['data'])) return [];
    const inner = value['data']['config.conf'];
    if (typeof inner !== 'string') return [];
    const place = `${file}: data["config.conf"]`;
    return configsIn(inner, place).map(({ config }) => ({ config, place }));
  });
}

function documentsOf(text: string, file: string): readonly unknown[] {
  if (looksLikeJson(text)) {
    const json = parseJson(text);
    if (json.kind === 'value') return [json.value];
    throw new ConfigError(file, `${file}: is not valid JSON: ${json.reason}`);
  }
  return [...yamlDocuments(text)].map((document) => {
    if (document.kind === 'value') return document.value;
    throw new ConfigError(file, `${file}: line ${document.line}: ${document.reason}`);
  });
}

/** Go takes null for "not set", and kubeadm writes it so. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => item !== null).map(withoutNulls);
  if (!isRecord(value)) return value;
  const kept = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(kept.map(([key, field]) => [key, withoutNulls(field)]));
}

/** kube-proxy reads strictly first, and on unknown fields again without minding them: a newer release's file must still work. */
function withoutUnknown(config: Json): { known: Json; unknown: readonly string[] } {
  const unknown: string[] = [];
  const result = configSchema.safeParse(config);
  let known = config;
  for (const issue of result.error?.issues ?? []) {
    if (issue.code !== 'unrecognized_keys') continue;
    for (const key of issue.keys) {
      unknown.push([...issue.path, key].join('.'));
      known = without(known, [...issue.path, key]);
    }
  }
  return { known, unknown };
}

function without(parent: Json, path: readonly PropertyKey[]): Json {
  const [first, ...rest] = path;
  const entries = Object.entries(parent).flatMap(([key, value]): (readonly [string, unknown])[] => {
    if (key !== first) return [[key, value]];
    return rest.length === 0 ? [] : [[key, isRecord(value) ? without(value, rest) : value]];
  });
  return Object.fromEntries(entries);
}

function fault(config: Json, path: readonly PropertyKey[], expected: string): string {
  const name = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${name.slice(1)} ${quote(get(config, path))} is not ${expected}`;
}

/** Only one mode's block counts, with 0 for the default, as kube-proxy has it. */
function syncPeriodFault(config: ConfigFile, raw: Json, counting: ProxyMode): string | undefined {
  const name = modeBlock(counting);
  const syncMs = config[name]?.syncPeriod || 30_000;
  const minMs = config[name]?.minSyncPeriod || (name === 'ipvs' ? 0 : 1000);
  if (minMs <= syncMs) return undefined;
  const given = (field: string, fallback: string) => quote(get(raw, [name, field]) ?? fallback);
  return `${name}.minSyncPeriod ${given('minSyncPeriod', '1s')} is not at most syncPeriod (${given('syncPeriod', '30s')})`;
}

function settingsOf(config: ConfigFile, counting: ProxyMode, place: string): Partial<Settings> {
  const hostname = config.hostnameOverride ?? '';
  const hostnameOverride = hostname === '' ? '' : aHostname.parse(hostname);
  if (hostnameOverride === undefined) {
    throw new ConfigError(place, `${place}: hostnameOverride ${quote(hostname)} is not ${aHostname.expected}`);
  }
  const { bindAddress, detectLocalMode, detectLocal, clusterCIDR, nodePortAddresses, ipvs } = config;
  // Every mode but nftables has its masqueradeAll in the iptables block.
  const masqueradeAll = counting === 'nftables' ? config.nftables?.masqueradeAll : config.iptables?.masqueradeAll;
  return {
    fileMode: config.mode ?? '',
    ...(hostnameOverride === '' ? {} : { hostnameOverride }),
    ...(bindAddress ? { bindAddress } : {}),
    ...(detectLocalMode ? { detectLocalMode } : {}),
    ...(detectLocal?.bridgeInterface ? { bridgeInterface: detectLocal.bridgeInterface } : {}),
    ...(detectLocal?.interfaceNamePrefix ? { interfaceNamePrefix: detectLocal.interfaceNamePrefix } : {}),
    ...(clusterCIDR ? { clusterCidrs: clusterCIDR } : {}),
    ...(nodePortAddresses ? { nodePortAddresses } : {}),
    ...(masqueradeAll === undefined ? {} : { masqueradeAll }),
    ...(ipvs?.scheduler ? { ipvsScheduler: ipvs.scheduler } : {}),
    ...(ipvs?.excludeCIDRs ? { ipvsExcludeCidrs: ipvs.excludeCIDRs } : {}),
    ...(config.featureGates ? { featureGates: gatesOf(config.featureGates) } : {}),
  };
}

function gatesOf(gates: Readonly<Record<string, boolean | undefined>>): Readonly<Record<string, boolean>> {
  return Object.fromEntries(Object.entries(gates).filter((gate): gate is [string, boolean] => gate[1] !== undefined));
}
