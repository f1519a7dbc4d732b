import { hostname } from 'node:os';
import { type Command, Option } from 'commander';
import { readNodeAddresses } from '../kernel/node-addresses.ts';
import { NftKernel } from '../kernel/nft.ts';
import type { Problem, ProxyState } from '../model/proxy-state.ts';
import { type Ip, parseIp } from '../net/ip.ts';
import { mergeSettings, parseSettingsFlags, readConfig, type Settings } from '../source/config.ts';
import { type DaemonSettings, mergeDaemonSettings } from '../source/daemon-settings.ts';
import { requestedMode } from '../source/proxy-flags.ts';
import { readManifests, SourceError } from '../source/manifests.ts';
import { buildProxyState, chooseNodeName } from '../source/proxy-state.ts';
import { createReporter, type LogFormat, plural, type Reporter, UsageError } from './terminal.ts';

/** Options that every command has which works on a cluster's state. */
export interface InputOptions extends SettingsOptions {
  readonly state: readonly string[];
  readonly node?: string;
  readonly mode?: string;
  readonly config?: string;
  readonly nodeAddresses?: string;
  readonly nft?: string;
  readonly ipvsadm?: string;
  readonly logFormat: LogFormat;
}

/** kube-proxy's flags, by the names that commander gives them. */
interface SettingsOptions {
  readonly hostnameOverride?: string;
  readonly bindAddress?: string;
  readonly detectLocalMode?: string;
  readonly podBridgeInterface?: string;
  readonly podInterfaceNamePrefix?: string;
  readonly clusterCidr?: string;
  readonly nodeportAddresses?: string;
  readonly masqueradeAll?: boolean | string;
  readonly featureGates?: string;
  readonly ipvsScheduler?: string;
  readonly ipvsExcludeCidrs?: string;
}

const collect = (value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value];

export function addInputOptions(command: Command): Command {
  return addNodeOptions(addLogFormat(command).addOption(stateOption().makeOptionMandatory()));
}

export function stateOption(): Option {
  return new Option(
    '--state <path>',
    'cluster objects as kubectl prints them (YAML or JSON): a file, a folder, or - for standard input; repeatable',
  ).argParser(collect);
}

export function kernelWriterOption(): Option {
  const ways = 'netlink; nft (in mode ipvs nft and ipvsadm); auto: netlink where it can be used';
  return new Option('--kernel-writer <way>', `how elements and virtual servers are written: ${ways}`)
    .choices(['auto', 'netlink', 'nft'])
    .default('auto');
}

export function addNodeOptions(command: Command): Command {
  return command
    .option('--node <name>', "the node to compile for (default: the state's only node, else this host's name)")
    .option('--mode <mode>', "the proxy mode: nftables or ipvs (default: the configuration's, else nftables)")
    .option(
      '--config <file>',
      "kube-proxy's configuration file (KubeProxyConfiguration v1alpha1, or kubeadm's ConfigMap)",
    )
    .option('--node-addresses <ips>', "the addresses of the node's interfaces, by commas")
    .option('--cluster-cidr <cidrs>', 'where pods have their addresses, by commas; overrides clusterCIDR')
    .option(
      '--detect-local-mode <mode>',
      'how pods are told: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix',
    )
    .option('--pod-bridge-interface <name>', 'the bridge that pods are behind (BridgeInterface)')
    .option('--pod-interface-name-prefix <prefix>', "how pods' interfaces begin (InterfaceNamePrefix)")
    .option('--masquerade-all [value]', 'masquerade all traffic to cluster IPs')
    .option('--nodeport-addresses <cidrs>', 'which of the node’s addresses answer on node ports, by commas, or primary')
    .option('--hostname-override <name>', "the node's name, as kube-proxy takes it")
    .option('--bind-address <ip>', "overrides the node's primary address")
    .option('--feature-gates <gates>', 'AllowServiceExternalIPs=true|false')
    .option('--ipvs-scheduler <name>', "mode ipvs: IPVS's scheduler, e.g. rr, lc or mh,mh-port")
    .option('--ipvs-exclude-cidrs <cidrs>', 'mode ipvs: virtual servers in these blocks are never removed, by commas');
}

export function addLogFormat(command: Command): Command {
  return command.addOption(
    new Option('--log-format <format>', 'messages as text or as JSON lines').choices(['text', 'json']).default('text'),
  );
}

export function addKernelOptions(command: Command): Command {
  return command
    .option('--nft <program>', 'the nft program, 1.1.3 or newer (default: $VIPMAP_NFT, else nft)')
    .option(
      '--ipvsadm <program>',
      'mode ipvs where netlink is not used: the ipvsadm program (default: $VIPMAP_IPVSADM, else ipvsadm)',
    );
}

export function openKernel(options: { readonly nft?: string }): Promise<NftKernel> {
  return NftKernel.open({ program: options.nft ?? (process.env['VIPMAP_NFT'] || 'nft') });
}

export interface Inputs {
  readonly state: ProxyState;
  readonly settings: Settings;
  readonly ipvs: DaemonSettings['ipvs'];
  readonly problems: readonly Problem[];
  readonly nodeAddresses: readonly Ip[];
  readonly reporter: Reporter;
}

/** Where node addresses come from if none are given: the Node object in a dry run, the kernel where rules are applied. */
export type DefaultAddresses = 'node-object' | 'kernel';

/** Reads everything that decides the rules, and says what is wrong with it. Throws UsageError and SourceError. */
export async function readInputs(options: InputOptions, defaultAddresses: DefaultAddresses): Promise<Inputs> {
  const reporter = createReporter(options.logFormat);
  const { settings, ipvs, problems: configProblems } = await readSettings(options);
  const { objects, problems: manifestProblems, passedOver, lost } = await readManifests(options.state);
  reporter.stage('read the objects, building the state');
  const nodeName = chooseNodeName(objects, options.node ?? settings.hostnameOverride, hostname());
  const named = parseAddresses(options.nodeAddresses);
  const nodeAddresses = named ?? (defaultAddresses === 'kernel' ? readNodeAddresses() : undefined);
  const built = buildProxyState(objects, {
    nodeName,
    settings,
    ...(nodeAddresses && { nodeAddresses }),
    ...(named && { namedAddresses: named }),
  });
  const problems = [...configProblems, ...manifestProblems, ...built.problems];
  reportProblems(reporter, problems);
  const isEmpty = Object.values(objects).every((list: readonly unknown[]) => list.length === 0);
  if (lost.length > 0 && (isEmpty || defaultAddresses === 'kernel')) {
    // An empty state is not what such a file means, and applying it would take every service away.
    throw new SourceError(
      lost[0] as string,
      `nothing could be read of ${lost.join(', ')}, so the state is not known; mend it or leave it out (an empty cluster is a List without items)`,
    );
  }
  if (passedOver.size > 0) {
    reporter.info(`passed over: ${[...passedOver].map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
  }
  return { state: built.state, settings, ipvs, problems, nodeAddresses: built.nodeAddresses, reporter };
}

async function readSettings(
  options: InputOptions,
): Promise<Pick<Inputs, 'settings' | 'ipvs'> & { problems: readonly Problem[] }> {
  const { state: _state, logFormat: _logFormat, ...flags } = options;
  const file =
    options.config === undefined
      ? { settings: {}, daemon: {}, problems: [] }
      : await readConfig(options.config, requestedMode(flags));
  return {
    settings: mergeSettings(file.settings, parseSettingsFlags(flags)),
    ipvs: mergeDaemonSettings(file.daemon, {}).ipvs,
    problems: file.problems,
  };
}

export function parseAddresses(text: string | undefined): readonly Ip[] | undefined {
  const parts = text?.split(',').filter((part) => part.trim() !== '') ?? [];
  if (parts.length === 0) return undefined;
  return parts.map((part) => {
    const ip = parseIp(part.trim());
    if (ip === undefined)
      throw new UsageError(
        `--node-addresses: "${part.trim()}" is not an IP address; give addresses by commas, e.g. 192.168.0.2,fd00::2`,
      );
    return ip;
  });
}

/** How many problems are listed one by one; a broken dump can have one for each of its objects. */
const listedProblems = 50;

function reportProblems(reporter: Reporter, problems: readonly Problem[]): void {
  for (const { object, message } of problems.slice(0, listedProblems))
    reporter.warn(`${object}: ${message}`, { object });
  if (problems.length > listedProblems)
    reporter.warn(`${plural(problems.length - listedProblems, 'more problem')} of this kind`);
}
