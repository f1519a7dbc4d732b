import { reasons } from './daemon-settings-meaningless.ts';
import type { RunningMode } from './mode.ts';

/** How a flag's text is read; a boolean may stand without a value, and a list may be given several times. */
export type FlagKind = 'text' | 'boolean' | 'integer' | 'number' | 'duration' | 'list';

/** A flag of kube-proxy's, or one of ours beside them. */
export interface ProxyFlag {
  /** `conntrack-min` */
  readonly name: string;
  readonly kind: FlagKind;
  /** As commander takes it: `--conntrack-min <count>`, `--masquerade-all [value]`, `-v, --v <level>`. */
  readonly syntax: string;
  readonly description: string;
  /** Why it has no meaning here. */
  readonly meaningless?: string;
  /** The one mode that it counts with. */
  readonly onlyWith?: RunningMode;
  /** Deprecated or without meaning: taken, but no help to anybody who reads the list. */
  readonly isHidden: boolean;
}

function flag(name: string, kind: FlagKind, value: string, description: string): ProxyFlag {
  const prefix = name === 'v' ? '-v, ' : '';
  const placeholder = kind === 'boolean' ? '[value]' : `<${value}>`;
  return { name, kind, syntax: `${prefix}--${name} ${placeholder}`, description, isHidden: false };
}

function meaningless(kind: FlagKind, reason: string, ...names: readonly string[]): readonly ProxyFlag[] {
  return names.map((name) => ({
    ...flag(name, kind, kind, `no meaning here: ${reason}`),
    meaningless: reason,
    isHidden: true,
  }));
}

/** Taken for what it says, though nothing follows from it. */
const withoutMeaning = (meaningless: string, flag: ProxyFlag): ProxyFlag => ({ ...flag, meaningless, isHidden: true });

const ipvsOnly = (flag: ProxyFlag): ProxyFlag => ({ ...flag, onlyWith: 'ipvs' });
const nftablesOnly = (flag: ProxyFlag): ProxyFlag => ({ ...flag, onlyWith: 'nftables' });

const hidden = (flag: ProxyFlag): ProxyFlag => ({ ...flag, isHidden: true });

/** What is to be done, and how the API server is reached. */
const process: readonly ProxyFlag[] = [
  flag('config', 'text', 'file', "kube-proxy's configuration file (KubeProxyConfiguration v1alpha1)"),
  flag('write-config-to', 'text', 'file', 'write the configuration that the flags make to this file, and end'),
  flag('cleanup', 'boolean', '', "remove our tables and kube-proxy's leftovers, and end"),
  flag('init-only', 'boolean', '', 'set what needs all of root’s rights, and end'),
  hidden(flag('version', 'boolean', '', 'say the version, and end')),
  flag('kubeconfig', 'text', 'file', 'how to reach the API server'),
  flag('master', 'text', 'url', "the API server, before the kubeconfig's"),
  withoutMeaning(
    reasons.requests,
    flag('kube-api-qps', 'number', 'count', 'requests to the API server a second; negative: no limit'),
  ),
  withoutMeaning(reasons.requests, flag('kube-api-burst', 'integer', 'count', 'requests to the API server at once')),
  withoutMeaning(
    reasons.resync,
    flag('config-sync-period', 'duration', 'time', 'how often objects are fetched from the API server again'),
  ),
  ...meaningless('text', reasons.contentType, 'kube-api-content-type'),
  ...meaningless('text', reasons.identity, 'boot-id-file', 'machine-id-file'),
];

/** Which rules are made. */
const rules: readonly ProxyFlag[] = [
  flag('proxy-mode', 'text', 'mode', 'the proxy mode: nftables or ipvs; in place of iptables, nftables runs'),
  flag('hostname-override', 'text', 'name', "the node's name (default: this host's)"),
  flag('bind-address', 'text', 'ip', "the node's primary address (default: the Node object's)"),
  flag('cluster-cidr', 'text', 'cidrs', 'where pods have their addresses, by commas'),
  flag(
    'detect-local-mode',
    'text',
    'mode',
    'how pods are told: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix',
  ),
  flag('pod-bridge-interface', 'text', 'name', 'the bridge that pods are behind (BridgeInterface)'),
  flag('pod-interface-name-prefix', 'text', 'prefix', "how pods' interfaces begin (InterfaceNamePrefix)"),
  flag('masquerade-all', 'boolean', '', 'masquerade all traffic to cluster IPs'),
  flag(
    'nodeport-addresses',
    'list',
    'cidrs',
    "which of the node's addresses answer on node ports, by commas, or primary",
  ),
  flag('feature-gates', 'list', 'gates', 'AllowServiceExternalIPs=true|false'),
  ...meaningless('integer', reasons.marks, 'iptables-masquerade-bit'),
  ...meaningless('boolean', reasons.loopback, 'iptables-localhost-nodeports'),
];

/** What mode ipvs asks for beside. */
const ipvs: readonly ProxyFlag[] = [
  flag('ipvs-scheduler', 'text', 'name', 'how endpoints are chosen: rr, lc, sh, mh or another, with flags by commas'),
  flag('ipvs-exclude-cidrs', 'list', 'cidrs', 'virtual servers and addresses in these blocks are left alone'),
  flag('ipvs-strict-arp', 'boolean', '', 'answer ARP on the interface alone that has the address'),
  flag('ipvs-tcp-timeout', 'duration', 'time', 'of idle TCP connections; 0: as the kernel has it'),
  flag('ipvs-tcpfin-timeout', 'duration', 'time', 'of TCP connections after a FIN; 0: as the kernel has it'),
  flag('ipvs-udp-timeout', 'duration', 'time', 'of idle UDP flows; 0: as the kernel has it'),
  flag('ipvs-sync-period', 'duration', 'time', '--iptables-sync-period of mode ipvs'),
  flag('ipvs-min-sync-period', 'duration', 'time', '--iptables-min-sync-period of mode ipvs'),
].map(ipvsOnly);

/** How the daemon works. */
const daemon: readonly ProxyFlag[] = [
  flag('healthz-bind-address', 'text', 'address', 'where /healthz and /livez are served (default: 0.0.0.0:10256)'),
  flag(
    'metrics-bind-address',
    'text',
    'address',
    'where /metrics is served (default: 127.0.0.1:10249; empty: nowhere)',
  ),
  hidden(flag('healthz-port', 'integer', 'port', 'deprecated: the port of --healthz-bind-address; 0: no server')),
  hidden(flag('metrics-port', 'integer', 'port', 'deprecated: the port of --metrics-bind-address; 0: no server')),
  flag('bind-address-hard-fail', 'boolean', '', 'end if a server cannot listen'),
  nftablesOnly(
    flag('iptables-sync-period', 'duration', 'time', 'how long after a failed sync it is tried again (default: 30s)'),
  ),
  nftablesOnly(flag('iptables-min-sync-period', 'duration', 'time', 'the least time between two syncs (default: 0s)')),
  flag('oom-score-adj', 'integer', 'score', "the process's oom_score_adj (default: -999)"),
  flag('conntrack-max-per-core', 'integer', 'count', 'connections tracked for each CPU; 0: as the kernel has it'),
  flag('conntrack-min', 'integer', 'count', 'the least number of connections tracked (default: 131072)'),
  flag('conntrack-tcp-timeout-established', 'duration', 'time', 'of idle TCP connections (default: 24h)'),
  flag('conntrack-tcp-timeout-close-wait', 'duration', 'time', 'of TCP connections in CLOSE_WAIT (default: 1h)'),
  flag('conntrack-tcp-be-liberal', 'boolean', '', 'TCP packets outside of the window are not INVALID'),
  flag('conntrack-udp-timeout', 'duration', 'time', 'of UDP flows without an answer; 0: as the kernel has it'),
  flag('conntrack-udp-timeout-stream', 'duration', 'time', 'of UDP flows with answers; 0: as the kernel has it'),
  withoutMeaning(reasons.profiling, flag('profiling', 'boolean', '', 'serve profiles')),
  ...meaningless('text', reasons.hiddenMetrics, 'show-hidden-metrics-for-version'),
  flag('v', 'integer', 'level', 'how much is said'),
  flag('logging-format', 'text', 'format', 'messages as text or as json lines'),
  ...meaningless('list', reasons.verbosity, 'vmodule'),
  ...meaningless('duration', reasons.flush, 'log-flush-frequency'),
  ...meaningless('text', reasons.flush, 'log-text-info-buffer-size', 'log-json-info-buffer-size'),
  ...meaningless('boolean', reasons.streams, 'log-text-split-stream', 'log-json-split-stream'),
];

const windows: readonly ProxyFlag[] = [
  ...meaningless('boolean', reasons.windows, 'windows-service', 'enable-dsr', 'forward-healthcheck-vip'),
  ...meaningless('text', reasons.windows, 'source-vip', 'network-name', 'root-hnsendpoint-name'),
];

/** Every flag of kube-proxy 1.36, on Linux and on Windows; `--help` is not among them. */
export const proxyFlags: readonly ProxyFlag[] = [...process, ...rules, ...ipvs, ...daemon, ...windows];

/** Settings of ours that kube-proxy has no flag for; --mode is the command line's own. */
export const ownFlags: readonly ProxyFlag[] = [
  ipvsOnly(
    flag(
      'ipvs-termination-limit',
      'duration',
      'time',
      'so long an endpoint that leaves keeps the connections that it has (default: 15m; 0: until they end)',
    ),
  ),
];
