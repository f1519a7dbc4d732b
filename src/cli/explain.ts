import type { Command } from 'commander';
import { compile } from '../compile/nftables/compile.ts';
import { type Ip, parseIp } from '../net/ip.ts';
import { parsePort } from '../net/port.ts';
import { parseProtocol, type Protocol } from '../net/protocol.ts';
import type { Packet } from '../ruleset/nftables/trace.ts';
import { explainPacket } from './explain-packet.ts';
import { addInputOptions, type InputOptions, readInputs } from './inputs.ts';
import { reportConflicts } from './report.ts';
import { paint, UsageError, writeData } from './terminal.ts';

interface ExplainOptions extends InputOptions {
  readonly from: string;
  readonly device?: string;
}

export function addExplainCommand(program: Command): void {
  addInputOptions(
    program.command('explain').argument('<address:port[/protocol]>', 'where the packet is sent; tcp unless said'),
  )
    .description("tell a packet's way: frontend, service, policy, endpoints, masquerade, verdict")
    .requiredOption('--from <ip>', 'who sends it; an address of the node means the node itself')
    .option('--device <name>', 'the interface that it comes in by, where pods are told by interface')
    .addHelpText(
      'after',
      `
Example:
  vipmap explain 10.96.0.10:53/udp --from 10.244.1.7 --state cluster.yaml --node worker-1
  vipmap explain '[fd00:10:96::a]:53/udp' --from fd00:10:244:1::7 --state cluster.yaml --node worker-1`,
    )
    .action(async (target: string, options: ExplainOptions) => {
      const { destination, port, protocol } = parseTarget(target);
      const source = parseIp(options.from);
      if (source === undefined) throw new UsageError(`--from: "${options.from}" is not an IP address`);
      if (source.includes(':') !== destination.includes(':')) {
        throw new UsageError(
          `--from: ${source} and ${destination} are of different address families; a connection has one`,
        );
      }
      const { state, nodeAddresses, reporter } = await readInputs(options, 'node-object');
      const compiled = compile(state);
      reportConflicts(reporter, compiled.conflicts);
      const isNode = nodeAddresses.includes(source) || Object.values(state.nodeIps).includes(source);
      if (state.detectLocal.kind === 'interface' && !isNode && options.device === undefined) {
        reporter.info(
          `pods are told by their interface here: add --device ${state.detectLocal.name} if a pod sends it`,
        );
      }
      const packet: Packet = {
        source,
        destination,
        port,
        protocol,
        ...(isNode ? {} : { device: options.device ?? 'eth0' }),
      };
      const lines = explainPacket(state, compiled, packet, nodeAddresses).map(
        ([label, text]) => `${paint(process.stdout, 'bold', label.padEnd(14))} ${text}\n`,
      );
      await writeData(lines.join(''));
    });
}

function parseTarget(target: string): { destination: Ip; port: number; protocol: Protocol } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)(?:\/(\w+))?$/.exec(target);
  const destination = parseIp(match?.[1] ?? match?.[2] ?? '');
  const port = parsePort(Number(match?.[3]));
  const protocol = parseProtocol((match?.[4] ?? 'tcp').toUpperCase());
  if (destination === undefined || port === undefined || protocol === undefined) {
    throw new UsageError(
      `"${target}" is not an address, port and protocol; give e.g. 10.96.0.10:53/udp or [fd00::a]:443/tcp`,
    );
  }
  return { destination, port, protocol };
}
