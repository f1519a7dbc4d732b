import { join } from 'node:path';
import { clusterCidr, clusterFolder, nodes } from '../api.ts';
import { clusterScript, CommandError, inNode, repository, tryRun } from '../command.ts';
import { inSeconds, type Part, underLoad } from '../part.ts';
import { sleep, waitFor } from '../wait.ts';

const node = nodes[0];
const vipmap = join(repository, 'bin', 'vipmap');
const mustMendWithinMs = 1000;
/** A connection that was begun before the rules were back fails this much later. */
const connectTimeoutMs = 1000;
/** How late a busy machine may notice that. */
const lateMs = 1000;

export const secondInstance: Part = {
  name: 'second-instance',
  about: 'a second agent on a node refuses to start',
  onlyVipmap: true,
  run: (context) =>
    underLoad(context, async () => {
      const kubeconfig = join(clusterFolder, 'admin.kubeconfig');
      const words = ['run', '--kubeconfig', kubeconfig, '--hostname-override', node, '--cluster-cidr', clusterCidr];
      try {
        await inNode(node, [vipmap, ...words], { timeoutMs: 10_000 });
        return ['the second agent ended with exit code 0'];
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        const { status, stderr } = error.result;
        context.say(`exit code ${status}: ${stderr.trim()}`);
        return error.message.startsWith('no end after') ? ['the second agent went on running'] : [];
      }
    }),
};

/**
 * Forgets connections to a cluster IP that were begun without rules, and gives how many there were. The kernel keeps an attempt for two
 * minutes, untranslated: a client that happens to take the same port again meanwhile would be refused.
 */
async function forgetUntranslated(ip: string): Promise<number> {
  const words = ['conntrack', '-D', '-p', 'tcp', '--orig-dst', ip, '--reply-src', ip];
  const { stdout } = await tryRun(clusterScript, ['in', node, ...words]);
  return stdout.trim().split('\n').filter(Boolean).length;
}

/** The table as nft prints it, in no particular order of elements. */
const table = async () =>
  (await inNode(node, ['nft', '-s', 'list', 'table', 'ip', 'vipmap']))
    .split(/[\s,]+/)
    .sort()
    .join(' ');

export const flush: Part = {
  name: 'flush',
  about: `somebody removes the table or all its rules: noticed and mended within ${mustMendWithinMs / 1000} s`,
  onlyVipmap: true,
  async run(context) {
    const windows: { readonly from: number; readonly to: number }[] = [];
    const during = (at: number) => windows.some(({ from, to }) => at >= from && at <= to + connectTimeoutMs + lateMs);
    return underLoad(
      context,
      async (load) => {
        const problems: string[] = [];
        const whole = await table();
        for (const verb of ['delete', 'flush', 'delete', 'flush']) {
          const from = Date.now();
          await inNode(node, ['nft', verb, 'table', 'ip', 'vipmap']);
          const gone = Date.now();
          await waitFor(
            `table after nft ${verb} table`,
            20_000,
            async () => ((await table()) === whole ? true : undefined),
            10,
          );
          const to = Date.now();
          windows.push({ from, to });
          if (to - gone > mustMendWithinMs) problems.push(`nft ${verb} table: mended only after ${to - gone} ms`);
          await sleep(4000);
          const failed = load.failures.filter(({ at }) => at >= from).length;
          const stale = await forgetUntranslated(context.backends.ip);
          context.say(
            `nft ${verb} table ip vipmap on ${node}: mended after ${inSeconds(to - gone)}, ${failed} connections failed, ${stale} stay in conntrack untranslated`,
          );
        }
        return problems;
      },
      ({ at }) => during(at),
    );
  },
};
