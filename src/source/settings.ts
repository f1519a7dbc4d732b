import type { SchedulerChoice } from '../model/service-port.ts';
import { type Cidr, parseCidr } from '../net/cidr.ts';
import { type Ip, parseIp } from '../net/ip.ts';
import { aBoolean, aCidr, type Accepts, anIp, oneOf, quote } from './fields.ts';
import { aScheduler, defaultScheduler } from './ipvs-scheduler.ts';
import { aProxyMode, aRunningMode, type ProxyMode, runningMode, type RunningMode } from './mode.ts';

export type DetectLocalMode = 'ClusterCIDR' | 'NodeCIDR' | 'BridgeInterface' | 'InterfaceNamePrefix';
/** `primary`: the node's own address. `all`: every address. `localhost`: known, but never offered. */
export type NodePortAddress = Cidr | 'primary' | 'all' | 'localhost';

/** The part of kube-proxy's configuration that decides rules, virtual servers among them. */
export interface Settings {
  /** What runs: as a flag has it, else as the file has it. */
  readonly mode: RunningMode;
  /** The file's mode as it stands there; `''` if it has none. */
  readonly fileMode: ProxyMode;
  /** The node's name; `''`: it is not given. */
  readonly hostnameOverride: string;
  /** Not bound to: if specified, it is the node's own address in its family. */
  readonly bindAddress: Ip;
  readonly detectLocalMode: DetectLocalMode;
  readonly bridgeInterface: string;
  readonly interfaceNamePrefix: string;
  readonly clusterCidrs: readonly Cidr[];
  readonly nodePortAddresses: readonly NodePortAddress[];
  readonly masqueradeAll: boolean;
  /** Mode ipvs: the scheduler of services that choose none. */
  readonly ipvsScheduler: SchedulerChoice;
  /** Mode ipvs: virtual servers and addresses in these blocks are never removed. */
  readonly ipvsExcludeCidrs: readonly Cidr[];
  readonly featureGates: Readonly<Record<string, boolean>>;
}

/** kube-proxy's defaults of nodePortAddresses. In mode ipvs an empty list says the same, and is how kube-proxy writes it. */
export const defaultNodePortAddresses: Readonly<Record<RunningMode, readonly NodePortAddress[]>> = {
  nftables: ['primary'],
  ipvs: ['all'],
};

/** kube-proxy's defaults in nftables mode. */
export const defaultSettings: Settings = {
  mode: 'nftables',
  fileMode: '',
  hostnameOverride: '',
  bindAddress: parseIp('0.0.0.0') as Ip,
  detectLocalMode: 'ClusterCIDR',
  bridgeInterface: '',
  interfaceNamePrefix: '',
  clusterCidrs: [],
  nodePortAddresses: defaultNodePortAddresses.nftables,
  masqueradeAll: false,
  ipvsScheduler: defaultScheduler,
  ipvsExcludeCidrs: [],
  featureGates: {},
};

/** The one feature gate of kube-proxy's that decides anything here. */
export const externalIpsGate = 'AllowServiceExternalIPs';

/** The settings, a flag's before the file's before the default, which may go by the mode. Feature gates are taken one by one. */
export function mergeSettings(file: Partial<Settings>, flags: Partial<Settings>): Settings {
  const featureGates = { ...file.featureGates, ...flags.featureGates };
  const given = { ...file, ...flags, featureGates };
  const mode = given.mode ?? runningMode(given.fileMode ?? '');
  const { nodePortAddresses = [] } = given;
  return {
    ...defaultSettings,
    ...given,
    mode,
    // An empty list is as good as none to kube-proxy.
    nodePortAddresses: nodePortAddresses.length > 0 ? nodePortAddresses : defaultNodePortAddresses[mode],
  };
}

/** A flag with a value that is not accepted. The message names flag, value and what is accepted. */
export class FlagError extends Error {
  override readonly name = 'FlagError';
  readonly flag: string;
  constructor(flag: string, value: unknown, expected: string) {
    super(`--${flag} ${quote(value)} is not ${expected}`);
    this.flag = flag;
  }
}

export const aHostname: Accepts<string> = {
  expected: 'a node name',
  parse: (value) => {
    const name = typeof value === 'string' ? value.trim().toLowerCase() : '';
    return /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/.test(name) ? name : undefined;
  },
};

export const aDetectLocalMode: Accepts<DetectLocalMode> = oneOf(
  'ClusterCIDR',
  'NodeCIDR',
  'BridgeInterface',
  'InterfaceNamePrefix',
);

/** The kernel's limit is 15; a longer name can match nothing, and nft refuses the whole ruleset for it. */
export const anInterface: Accepts<string> = {
  expected: 'an interface name (at most 15 characters, no space, "/", "*" or quotes)',
  parse: (value) => (typeof value === 'string' && /^[^\s/*"'\\\p{C}]{1,15}$/u.test(value) ? value : undefined),
};

export const someClusterCidrs: Accepts<readonly Cidr[]> = {
  expected: 'a CIDR block such as 10.244.0.0/16, or one of each family separated by a comma',
  parse: (value) => {
    const cidrs = typeof value === 'string' ? value.split(',').map(parseCidr) : [];
    const known = cidrs.filter((cidr) => cidr !== undefined);
    const isPair = known.length === 2 && known[0]?.family !== known[1]?.family;
    return known.length === cidrs.length && (known.length === 1 || isPair) ? known : undefined;
  },
};

export const aNodePortAddress: Accepts<NodePortAddress> = {
  expected: 'a CIDR block such as 192.168.0.0/16, primary, all or localhost',
  parse: (value) => {
    if (value === 'primary' || value === 'all' || value === 'localhost') return value;
    return typeof value === 'string' ? parseCidr(value) : undefined;
  },
};

const nodePortAddressList: Accepts<readonly NodePortAddress[]> = {
  expected: 'a list of CIDR blocks such as 192.168.0.0/16, primary, all or localhost, separated by commas',
  parse: (value) => {
    if (typeof value !== 'string') return undefined;
    const entries = value.split(',').map((entry) => aNodePortAddress.parse(entry.trim()));
    const known = entries.filter((entry) => entry !== undefined);
    return known.length === entries.length ? known : undefined;
  },
};

const cidrList: Accepts<readonly Cidr[]> = {
  expected: 'a list of CIDR blocks such as 10.0.0.0/8, separated by commas',
  parse: (value) => {
    const blocks = typeof value === 'string' ? value.split(',').map((block) => aCidr.parse(block)) : [undefined];
    const known = blocks.filter((block) => block !== undefined);
    return known.length === blocks.length ? known : undefined;
  },
};

const featureGateList: Accepts<Readonly<Record<string, boolean>>> = {
  expected: 'a list such as AllowServiceExternalIPs=false,NFTablesProxyMode=true',
  parse: (value) => {
    const pairs = typeof value === 'string' ? value.split(',').map((pair) => pair.trim()) : [''];
    const gates = new Map<string, boolean>();
    for (const pair of pairs) {
      const match = /^(\w+)\s*=\s*(?:(true|t|1)|false|f|0)$/i.exec(pair);
      if (match?.[1] === undefined) return undefined;
      gates.set(match[1], match[2] !== undefined);
    }
    return Object.fromEntries(gates);
  },
};

/** A flag without a value is true, as pflag and commander have it; with one it is what Go's strconv.ParseBool takes. */
export const aFlag: Accepts<boolean> = {
  expected: aBoolean.expected,
  parse: (value) => {
    if (typeof value !== 'string') return aBoolean.parse(value);
    if (/^(?:1|t|T|true|True|TRUE)$/.test(value)) return true;
    return /^(?:0|f|F|false|False|FALSE)$/.test(value) ? false : undefined;
  },
};

interface Flag {
  readonly setting: keyof Settings;
  readonly accepts: Accepts<unknown>;
  /** kube-proxy's spelling, where the flag is kube-proxy's. */
  readonly name: string;
}

const flags: Readonly<Record<string, Flag>> = {
  proxyMode: { setting: 'mode', accepts: aProxyMode, name: 'proxy-mode' },
  // Ours, and so before kube-proxy's.
  mode: { setting: 'mode', accepts: aRunningMode, name: 'mode' },
  hostnameOverride: { setting: 'hostnameOverride', accepts: aHostname, name: 'hostname-override' },
  bindAddress: { setting: 'bindAddress', accepts: anIp, name: 'bind-address' },
  detectLocalMode: { setting: 'detectLocalMode', accepts: aDetectLocalMode, name: 'detect-local-mode' },
  podBridgeInterface: { setting: 'bridgeInterface', accepts: anInterface, name: 'pod-bridge-interface' },
  podInterfaceNamePrefix: { setting: 'interfaceNamePrefix', accepts: anInterface, name: 'pod-interface-name-prefix' },
  clusterCidr: { setting: 'clusterCidrs', accepts: someClusterCidrs, name: 'cluster-cidr' },
  nodeportAddresses: { setting: 'nodePortAddresses', accepts: nodePortAddressList, name: 'nodeport-addresses' },
  masqueradeAll: { setting: 'masqueradeAll', accepts: aFlag, name: 'masquerade-all' },
  ipvsScheduler: { setting: 'ipvsScheduler', accepts: aScheduler, name: 'ipvs-scheduler' },
  ipvsExcludeCidrs: { setting: 'ipvsExcludeCidrs', accepts: cidrList, name: 'ipvs-exclude-cidrs' },
  featureGates: { setting: 'featureGates', accepts: featureGateList, name: 'feature-gates' },
};

/** Options as the command line has them, by their names in camelCase: `{ clusterCidr: '10.244.0.0/16', masqueradeAll: true }`. */
export type RawFlags = Readonly<Record<string, string | boolean | undefined>>;

/**
 * The settings in kube-proxy's flags, by their names in camelCase, e.g. `{ clusterCidr: '10.244.0.0/16' }`. Flags that are not
 * settings, and those without a value, are left alone. Throws FlagError on a value that is not accepted.
 */
export function parseSettingsFlags(raw: RawFlags): Partial<Settings> {
  const settings: Record<string, unknown> = {};
  for (const [key, { setting, accepts, name }] of Object.entries(flags)) {
    const value = raw[key];
    // An empty text means "not set" in kube-proxy's flags, which templates make use of.
    if (value === undefined || value === '') continue;
    const parsed = accepts.parse(value);
    if (parsed === undefined) throw new FlagError(name, value, accepts.expected);
    settings[setting] = parsed;
  }
  return settings;
}
