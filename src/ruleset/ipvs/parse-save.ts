import { parseIp } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import type { Protocol } from '../../net/protocol.ts';
import {
  type RealServer,
  realServerKey,
  hostPort,
  type VirtualServer,
  type VirtualServerId,
  virtualServerKey,
} from './virtual-server.ts';

/** A virtual server as it was printed, with the options that none of ours has: see KernelVirtualServer. */
export interface SavedServer extends VirtualServer {
  /** Its own, e.g. `-o` or `-M 255.255.0.0`; then those of its real servers, e.g. `-r 10.244.1.5:8080 -g`. */
  readonly otherOptions: readonly string[];
}

export interface ParsedSave {
  /** By virtualServerKey, in the order of the text. */
  readonly servers: ReadonlyMap<string, SavedServer>;
  /** Lines that could not be read, e.g. `"-A -t nonsense": no virtual server is named`. */
  readonly problems: readonly string[];
}

/**
 * The virtual servers that have an address, from what `ipvsadm --save -n` prints; virtual servers by firewall mark are left out. A line
 * that cannot be read is a problem and costs nothing but itself.
 *
 *     -A -t 10.96.0.10:80 -s rr -p 10800
 *     -a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1
 *
 * Port 0 is a virtual server for all ports of its address: never ours, but there. Source: print_service_entry in ipvsadm.c (1.31).
 */
export function parseSave(text: string): ParsedSave {
  const servers = new Map<string, Draft>();
  const problems: string[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const problem = readLine(line, servers);
    if (problem !== undefined) problems.push(`${JSON.stringify(line)}: ${problem}`);
  }
  return { servers, problems };
}

/** What is read so far. */
interface Draft extends SavedServer {
  readonly realServers: Map<string, RealServer>;
  readonly otherOptions: string[];
}

/** `['-w', '1']`; undefined: without a value. */
type Option = readonly [name: string, value: string | undefined];

/** What is wrong with the line, if something is. */
function readLine(line: string, servers: Map<string, Draft>): string | undefined {
  const [command, ...options] = splitOptions(line);
  const id = findServer(options);
  if (id === 'fwmark') return undefined;
  if (id === undefined) return 'no virtual server is named';
  const key = virtualServerKey(id);
  switch (command?.[0]) {
    case '-A':
      servers.set(key, readServer(id, options));
      return undefined;
    case '-a': {
      const server = servers.get(key);
      return server === undefined ? 'its virtual server does not stand before it' : readRealServer(server, options);
    }
    default:
      return 'neither -A nor -a';
  }
}

/** No value begins with a hyphen, so an option's value is the word after it, unless that is an option itself. */
function splitOptions(line: string): readonly Option[] {
  const words = line.trim().split(/\s+/);
  const options: Option[] = [];
  for (let i = 0; i < words.length; i++) {
    const name = words[i] ?? '';
    const next = words[i + 1];
    const value = name.startsWith('-') && next !== undefined && !next.startsWith('-') ? next : undefined;
    if (value !== undefined) i++;
    options.push([name, value]);
  }
  return options;
}

const protocolOf: Readonly<Record<string, Protocol>> = { '-t': 'tcp', '-u': 'udp', '--sctp-service': 'sctp' };

function findServer(options: readonly Option[]): VirtualServerId | 'fwmark' | undefined {
  for (const [name, value] of options) {
    if (name === '-f') return 'fwmark';
    const protocol = protocolOf[name];
    const address = parseHostPort(value);
    if (protocol !== undefined && address !== undefined) return { protocol, ...address };
  }
  return undefined;
}

/** From `10.96.0.10:80` or `[fd00::a]:80`. */
export function parseHostPort(text: string | undefined): Pick<RealServer, 'ip' | 'port'> | undefined {
  const [, six, four = '', digits = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text ?? '') ?? [];
  const ip = parseIp(six ?? four);
  const port = Number(digits);
  // An IPv4-mapped IPv6 address is read as the IPv4 address that it maps, but to the kernel it is another one.
  if (ip === undefined || ip.includes(':') !== (six !== undefined) || port > 65535) return undefined;
  return { ip, port: port as Port };
}

/** What ipvsadm takes where -s, -p or -w is not given. */
const defaults = { scheduler: 'wlc', persistenceSeconds: 360, weight: 1 };

/** Each client by itself, which is what is meant without -M. */
const wholeMasks = new Set(['255.255.255.255', '128']);

function readServer(id: VirtualServerId, options: readonly Option[]): Draft {
  let scheduler = defaults.scheduler;
  let flags: readonly string[] = [];
  let persistenceSeconds: number | undefined;
  const otherOptions: string[] = [];
  for (const option of options) {
    const [name, value] = option;
    if (protocolOf[name] !== undefined) continue;
    if (name === '-s' && value !== undefined) scheduler = value;
    else if (name === '-p') persistenceSeconds = Number(value ?? defaults.persistenceSeconds);
    else if (name === '-b' && value !== undefined) flags = value.split(',');
    else if (name !== '-M' || !wholeMasks.has(value ?? '')) otherOptions.push(printOption(option));
  }
  return {
    ...id,
    scheduler,
    schedulerFlags: flags.map((flag) => flagNames[`${scheduler} ${flag}`] ?? flag).sort(),
    ...(persistenceSeconds !== undefined && { persistenceSeconds }),
    realServers: new Map(),
    otherOptions,
  };
}

/** These schedulers have names of their own for the kernel's flags, which ipvsadm prints but takes by number also. */
const flagNames: Readonly<Record<string, string>> = {
  'sh flag-1': 'sh-fallback',
  'sh flag-2': 'sh-port',
  'mh flag-1': 'mh-fallback',
  'mh flag-2': 'mh-port',
};

function readRealServer(server: Draft, options: readonly Option[]): string | undefined {
  const address = parseHostPort(options.find(([name]) => name === '-r')?.[1]);
  if (address === undefined) return 'no real server is named';
  let weight = defaults.weight;
  let isMasquerading = false;
  const others: string[] = [];
  for (const option of options) {
    const [name, value] = option;
    if (name === '-r' || protocolOf[name] !== undefined) continue;
    if (name === '-m') isMasquerading = true;
    else if (name === '-w' && isNumber(value)) weight = Number(value);
    else others.push(printOption(option));
  }
  server.realServers.set(realServerKey(address), { ...address, weight });
  if (!isMasquerading && others.length === 0) others.push('-g');
  if (others.length > 0) server.otherOptions.push(`${realServerPrefix(address)}${others.join(' ')}`);
  return undefined;
}

/** With what the option of a real server begins among the other options of its virtual server: `-r 10.244.1.5:8080 `. */
export function realServerPrefix(realServer: Pick<RealServer, 'ip' | 'port'>): string {
  return `-r ${hostPort(realServer)} `;
}

function isNumber(text: string | undefined): text is string {
  return text !== undefined && /^\d+$/.test(text);
}

function printOption([name, value]: Option): string {
  return value === undefined ? name : `${name} ${value}`;
}
