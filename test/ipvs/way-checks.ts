import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServersAccess } from '../../src/kernel/ipvs-kernel.ts';
import { parseSave } from '../../src/ruleset/ipvs/parse-save.ts';
import { printSave } from '../../src/ruleset/ipvs/print-save.ts';
import type { IpvsStep } from '../../src/ruleset/ipvs/print-step.ts';
import type { VirtualServers } from '../../src/ruleset/ipvs/virtual-server.ts';
import { check, expectSame, ipvsadm, lines, messages, saved, sorted } from './harness.ts';

const rulesets = join(import.meta.dirname, '..', '..', 'rulesets');

/** The virtual servers of all fixtures' first states, as if they were one cluster's. */
function fixtureServers(): VirtualServers {
  const files = readdirSync(rulesets, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('/1.ipvs'));
  const texts = files.map((file) => {
    const [, text = ''] = /# ipvsadm --restore\n([^#]*)/.exec(readFileSync(join(rulesets, file), 'utf8')) ?? [];
    return parseSave(text).servers;
  });
  return new Map(texts.flatMap((servers) => [...servers]));
}

function additions(all: VirtualServers): readonly IpvsStep[] {
  return [...all.values()].flatMap(({ realServers, protocol, ip, port, ...scheduling }): IpvsStep[] => {
    const server = { protocol, ip, port };
    const added = [...realServers.values()].map((realServer): IpvsStep => ({
      kind: 'real-server',
      verb: 'add',
      server,
      realServer,
    }));
    return [{ kind: 'virtual-server', verb: 'add', server, scheduling }, ...added];
  });
}

/** Something of everything is changed, and something deleted. */
function changes(all: VirtualServers): readonly IpvsStep[] {
  const scheduling = { scheduler: 'mh', schedulerFlags: ['mh-port'], persistenceSeconds: 600 };
  return [...all.values()].flatMap(({ realServers, ...server }, i): IpvsStep[] => {
    if (i % 5 === 0) return [{ kind: 'virtual-server', verb: 'delete', server }];
    const changed = [...realServers.values()].map((realServer, j): IpvsStep => {
      const verb = (i + j) % 3 === 0 ? 'delete' : 'edit';
      return { kind: 'real-server', verb, server, realServer: { ...realServer, weight: 0 } };
    });
    return i % 5 === 1 ? changed : [{ kind: 'virtual-server', verb: 'edit', server, scheduling }, ...changed];
  });
}

/** Whichever way writes, the kernel holds the same by ipvsadm's own word, and both ways read it. */
export async function checkWays(ipvsadmWay: ServersAccess, netlinkWay: ServersAccess): Promise<void> {
  const all = fixtureServers();
  const both = [ipvsadmWay, netlinkWay];
  await check('both ways come to the same, and each reads what the other wrote', async () => {
    const texts: string[][] = [];
    for (const way of both) {
      await ipvsadm(['-C']);
      const found: string[] = [];
      for (const steps of [additions(all), changes(all)]) {
        const failed = await way.apply(steps);
        found.push(lines(await saved()));
        const [one, other] = await Promise.all(both.map(async (each) => sorted(await each.readVirtualServers())));
        const wrong =
          expectSame(messages(failed), '', `what failed by ${way.name}`) ??
          expectSame(other, one, `what netlink reads of what ${way.name} wrote`);
        if (wrong !== undefined) return wrong;
      }
      texts.push(found);
    }
    const [first, second] = texts;
    return (
      expectSame(second, first, 'what is there by netlink') ??
      expectSame(lines(printSave(all)), first?.[0], 'what the fixtures ask for') ??
      (all.size > 100 && first?.[0] !== first?.[1] ? undefined : `only ${all.size} virtual servers were compared`)
    );
  });
}
