import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openServers } from '../../src/cli/open-servers.ts';
import { createReporter } from '../../src/cli/terminal.ts';
import { diffServers } from '../../src/diff/ipvs.ts';
import { IpvsadmServers } from '../../src/kernel/ipvsadm.ts';
import { NetlinkServers } from '../../src/kernel/netlink/ipvs-servers.ts';
import { parseSave } from '../../src/ruleset/ipvs/parse-save.ts';
import { isIpvsStep } from '../../src/ruleset/ipvs/print-step.ts';
import { defaultDaemonSettings } from '../../src/source/daemon-settings.ts';
import { clusterObjects, clusterState, endpointsOf, endpointSlice } from '../generate.ts';
import { collectRows } from '../measure.ts';
import { NodeRig, openTimedKernel, stateOptions } from '../node-rig.ts';
import { flushRuleset, run, timeCommand, vipmap } from '../programs/commands.ts';
import { parseSize, type Size } from '../question.ts';

/* Runs in a machine whose kernel has IPVS: inside.ts SIZE... Prints each row as a line of JSON. */
const folder = mkdtempSync(join(tmpdir(), 'vipmap-bench-ipvs-'));
const state = join(folder, 'state.json');
const apply = vipmap('apply', '--mode', 'ipvs', '--state', state);
const changes = 20;
const runs = 3;
const whole = 'process start and a state file to virtual servers in the kernel';

run(['modprobe', '-a', 'nf_conntrack', 'nf_tables', 'ip_vs', 'ip_vs_rr', 'dummy']);
run(['ip', 'link', 'set', 'lo', 'up']);
const ways = { 'vipmap, mode ipvs': await NetlinkServers.open(), 'vipmap, by ipvsadm': await IpvsadmServers.open() };
for (const size of process.argv.slice(2).map(parseSize)) {
  const rows = collectRows('ipvs', size);
  writeFileSync(state, clusterState(size.services, size.endpoints));
  clear();
  rows.add(whole, 'vipmap, mode ipvs', 'ms', timeCommand(apply));
  rows.add('the same again, all there', 'vipmap, mode ipvs', 'ms', timeCommand(apply));
  const saved = run(['ipvsadm', '--save', '-n']);
  for (const [n, [program, { name }]] of Object.entries(ways).entries()) {
    const found = await changeOne(size, name === 'netlink' ? 'netlink' : 'nft', n * changes);
    for (const [what, ms] of found) rows.add(what, program, 'ms', ms);
  }
  clear();
  const start = performance.now();
  run(['ipvsadm', '--restore'], saved);
  rows.add(whole, 'ipvsadm --restore alone', 'ms', performance.now() - start);
  for (const [what, program, ms] of await writeAll(saved)) rows.add(what, program, 'ms', ms);
  clear();
  for (const row of rows.all()) console.log(JSON.stringify(row));
}

function clear(): void {
  run(['ipvsadm', '--clear']);
  flushRuleset();
  // Missing before the first load.
  try {
    run(['ip', 'link', 'delete', 'kube-ipvs0']);
  } catch {
    return;
  }
}

/** All virtual servers into an empty kernel, and read back. */
async function writeAll(saved: string): Promise<readonly (readonly [what: string, program: string, ms: number])[]> {
  const { servers } = parseSave(saved);
  const plan = diffServers(
    (key) => servers.get(key),
    new Map(),
    servers.keys(),
    () => true,
  );
  const steps = plan.steps.filter(isIpvsStep);
  const times: (readonly [string, string, number])[] = [];
  for (let i = 0; i < runs; i++) {
    for (const [program, way] of Object.entries(ways)) {
      clear();
      const start = performance.now();
      const failed = await way.apply(steps);
      const between = performance.now();
      const found = await way.readVirtualServers();
      times.push(['all virtual servers written', program, between - start]);
      times.push(['all virtual servers read', program, performance.now() - between]);
      if (failed.length > 0 || found.size !== servers.size) throw new Error(`${program} did not write all of them`);
    }
  }
  return times;
}

/** Endpoints come and go, in a process that has adopted what is there. */
async function changeOne(
  size: Size,
  kernelWriter: 'netlink' | 'nft',
  first: number,
): Promise<readonly (readonly [what: string, ms: number])[]> {
  const settings = { ...stateOptions.settings, mode: 'ipvs' as const };
  const reporter = createReporter('text');
  const servers = await openServers({ settings, ipvs: defaultDaemonSettings.ipvs, kernelWriter, reporter });
  const { kernel } = await openTimedKernel();
  const rig = new NodeRig(kernel, { servers }, { ...stateOptions, settings });
  const { steps } = await rig.start(clusterObjects(size));
  if (steps > 0) throw new Error(`${steps} steps were needed where nothing was to change`);
  const times: (readonly [string, number])[] = [];
  for (let i = 0; i < changes; i++) {
    const s = (i * 7919) % size.services;
    const endpoints = endpointsOf(s, size);
    const more = endpointSlice(s, [...endpoints, size.services * size.endpoints + first + i]);
    for (const [what, object] of [
      ['one endpoint added', more],
      ['one endpoint removed (its weight is 0)', endpointSlice(s, endpoints)],
    ] as const) {
      const start = performance.now();
      rig.upsert(object);
      await rig.sync();
      times.push([what, performance.now() - start]);
    }
  }
  return times;
}
