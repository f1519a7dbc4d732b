import { type Command as CliCommand, Option } from 'commander';
import { compile, type Compiled } from '../compile/nftables/compile.ts';
import { planTransaction } from '../reconcile/plan-transactions.ts';
import { families, familyName } from '../net/ip.ts';
import type { ProxyState } from '../model/proxy-state.ts';
import { printIpLine } from '../ruleset/ipvs/print-step.ts';
import { printSave } from '../ruleset/ipvs/print-save.ts';
import { interfaceName } from '../ruleset/ipvs/virtual-server.ts';
import { printTransactionJson } from '../ruleset/nftables/print-json.ts';
import { printTransaction } from '../ruleset/nftables/print-text.ts';
import { countElements, tableName } from '../ruleset/nftables/ruleset.ts';
import type { Command, Transaction } from '../ruleset/nftables/transaction.ts';
import { addInputOptions, type InputOptions, readInputs } from './inputs.ts';
import { reportConflicts } from './report.ts';
import { plural, UsageError, writeData } from './terminal.ts';

type Output = 'nft' | 'json' | 'summary' | 'ipvs' | 'ipvsadm' | 'ip';

export function addCompileCommand(program: CliCommand): void {
  addInputOptions(program.command('compile'))
    .description('print the rules that a state asks for, without touching a kernel')
    .addOption(
      new Option(
        '-o, --output <form>',
        'nft: a script for nft -f; json: the same for nft -j -f; summary; of mode ipvs also ip: addresses for ip -batch; ipvsadm: virtual servers for ipvsadm --restore; ipvs: those and the tables under headings, its default',
      ).choices(['nft', 'json', 'summary', 'ipvs', 'ipvsadm', 'ip']),
    )
    .addHelpText(
      'after',
      `
Example:
  kubectl get svc,endpointslices,nodes,servicecidrs -A -o yaml > cluster.yaml
  vipmap compile --state cluster.yaml --node worker-1 | less
  vipmap compile --state cluster.yaml --node worker-1 | sudo unshare --net nft -f -`,
    )
    .action(async (options: InputOptions & { output?: Output }) => {
      const { state, reporter } = await readInputs(options, 'node-object');
      const compiled = compile(state);
      reportConflicts(reporter, compiled.conflicts);
      reporter.stage('compiled, printing');
      const isIpvs = state.ipvs !== undefined;
      const output = options.output ?? (isIpvs ? 'ipvs' : 'nft');
      if (!isIpvs && ['ipvs', 'ipvsadm', 'ip'].includes(output))
        throw new UsageError(`--output ${output} is of mode ipvs: add --mode ipvs`);
      await writeData(print(output, state, compiled));
    });
}

function print(output: Output, state: ProxyState, compiled: Compiled): string {
  const transaction = replaceTables(planTransaction(compiled.ruleset, {}));
  switch (output) {
    case 'nft':
      return printTransaction(transaction);
    case 'json':
      return `${printTransactionJson(transaction)}\n`;
    case 'summary':
      return printSummary(state, compiled);
    case 'ip':
      return printAddresses(compiled);
    case 'ipvsadm':
      return printSave(compiled.servers.servers);
    case 'ipvs':
      return [
        `# services' addresses, for ip -batch (-o ip prints these alone)\n${printAddresses(compiled)}`,
        `# virtual servers, for ipvsadm --restore (-o ipvsadm)\n${printSave(compiled.servers.servers)}`,
        `# what stands beside IPVS, for nft -f (-o nft)\n${printTransaction(transaction)}`,
      ].join('\n');
  }
}

/** The interface and all that is on it. */
function printAddresses({ boundIps }: Compiled): string {
  const addresses = boundIps.map((ip) => ({ kind: 'address', verb: 'add', ip }) as const);
  const steps = [{ kind: 'interface', verb: 'add' } as const, ...addresses];
  return steps.map((step) => `${printIpLine(step)}\n`).join('');
}

/** So that a script loaded over another one does not add to it. A table has to exist to be deleted. */
function replaceTables(transaction: Transaction): Transaction {
  const commands = families.flatMap((family): Command[] => [
    { kind: 'table', verb: 'add', family },
    { kind: 'table', verb: 'delete', family },
  ]);
  return { commands: [...commands, ...transaction.commands] };
}

function printSummary(state: ProxyState, { ruleset, servers, boundIps, conflicts }: Compiled): string {
  const lines = [`node ${state.nodeName}, zone ${state.zone ?? 'unknown'}`];
  if (state.ipvs !== undefined) {
    const all = [...servers.servers.values()];
    const realServers = all.reduce((sum, server) => sum + server.realServers.size, 0);
    lines.push(
      `IPVS: ${plural(all.length, 'virtual server')} with ${plural(realServers, 'real server')}, ${boundIps.length} addresses on ${interfaceName}`,
    );
  }
  for (const family of families) {
    const servicePorts = state.servicePorts.filter((servicePort) => servicePort.family === family);
    const endpoints = servicePorts.reduce((sum, servicePort) => sum + servicePort.endpoints.length, 0);
    const table = ruleset[family];
    lines.push(
      '',
      `${familyName[family]}: ${plural(servicePorts.length, 'service port')} with ${plural(endpoints, 'endpoint')}`,
      `table ${family} ${tableName}: ${plural(table.chains.size, 'chain')}, ${plural(table.sets.size, 'set')} and maps, ${plural(countElements(table), 'element')}`,
    );
    for (const [set, elements] of table.elements)
      if (elements.size > 0) lines.push(`  ${set.padEnd(32)}${elements.size.toLocaleString('en').padStart(10)}`);
  }
  if (conflicts.length > 0)
    lines.push('', plural(conflicts.length, 'frontend') + ' left out, since another service has it');
  return `${lines.join('\n')}\n`;
}
