import { nodes } from '../api.ts';
import { changeSlices, createServices, deleteServices, madeUpAddresses, range } from '../bulk.ts';
import { runProgram } from '../command.ts';
import { inSeconds, type Part, timed } from '../part.ts';
import { MemoryWatch, memoryOf } from '../process-memory.ts';
import { sleep } from '../wait.ts';

const services = 5000;
const endpoints = 10;
const rounds = 4;
const changesPerRound = 10_000;
/** Memory that was freed goes back to the kernel some time later. */
const settleMs = 20_000;
/**
 * What was packed together at the start spreads out again, and garbage waits to be collected: the same agent is some MB up or down from
 * one look to the next. What leaks is in every look of the second half: two kilobytes a change would be 11 %.
 */
const mayGrow = 1.1;
const node = nodes[0];

const inMegabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

export const memory: Part = {
  name: 'memory',
  about: `memory of the agent with ${services} services x ${endpoints} endpoints, and after ${rounds * changesPerRound} changes`,
  async run({ proxy, say, backends }) {
    // The last one leads somewhere: when it works, all do.
    const addressesOf = (index: number, round = 0) =>
      index === services - 1 ? backends.podIps : madeUpAddresses(index, endpoints, round);
    const lastWorks = (ip: string) => runProgram<number>(node, 'try-connect.ts', [ip, '80', '120000'], 130_000);
    try {
      let last = '';
      const createMs = await timed(async () => {
        last = await createServices(0, services, (index) => addressesOf(index));
      });
      const behindMs = await lastWorks(last);
      say(`created within ${inSeconds(createMs)}, ${node} has the last one ${inSeconds(behindMs)} later`);
      await proxy.restart();
      const pid = await proxy.pid(node);
      await sleep(settleMs);
      say(
        `after a restart: ${inMegabytes(memoryOf(pid, 'VmRSS'))}, at most ${inMegabytes(memoryOf(pid, 'VmHWM'))} meanwhile`,
      );

      const watch = new MemoryWatch(pid);
      const after: number[] = [];
      for (const round of range(1, rounds + 1)) {
        const indices = range(0, changesPerRound).map((index) => index % (services - 1));
        const ms = await timed(() => changeSlices(indices, (index) => addressesOf(index, round)));
        await sleep(settleMs);
        after.push(memoryOf(pid, 'VmRSS'));
        say(
          `after ${round * changesPerRound} changes (the last ${changesPerRound} within ${inSeconds(ms)}): ${inMegabytes(after.at(-1) ?? 0)}`,
        );
      }
      watch.stop();
      say(
        `at most ${inMegabytes(watch.peak)} with its child processes, of which ${inMegabytes(watch.childrenPeak)} theirs`,
      );
      const grown = Math.min(...after.slice(rounds / 2)) / Math.max(...after.slice(0, rounds / 2));
      if ((await proxy.pid(node)) !== pid) return ['the agent was restarted meanwhile'];
      return grown > mayGrow
        ? [`it grew by ${((grown - 1) * 100).toFixed(0)} % from the first half of the rounds to the second`]
        : [];
    } finally {
      await deleteServices(0, services);
    }
  },
};
