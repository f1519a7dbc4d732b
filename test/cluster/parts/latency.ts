import { nodes } from '../api.ts';
import { backendPort, createService, deleteService } from '../backends.ts';
import { createServices, deleteServices, madeUpAddresses } from '../bulk.ts';
import { runProgram } from '../command.ts';
import type { Context, Part } from '../part.ts';
import { replaceProxy } from './replace.ts';
import { percentile, sleep } from '../wait.ts';

const sizes = [100, 5000];
const endpointsPerService = 10;
const changes = 50;
const node = nodes[0];
const name = 'latency';

async function measure({ backends, say }: Context, who: string, services: number, clusterIp: string): Promise<void> {
  // What it still has to do after the services came is not what is measured.
  await sleep(10_000);
  const words = [name, clusterIp, backends.podIps[0] ?? '', String(backendPort), String(changes)];
  const all = await runProgram<number[]>(node, 'latency-probe.ts', words, 600_000);
  const ms = (share: number) => `${percentile(all, share).toFixed(0)} ms`;
  say(`${who.padEnd(10)} ${services} services: p50 ${ms(0.5)}, p90 ${ms(0.9)}, p99 ${ms(0.99)}, longest ${ms(1)}`);
}

export const latency: Part = {
  name: 'latency',
  about: `from a request to the API server that changes a slice to the rule on a node, ${changes} changes, with ${sizes.join(' and ')} services x ${endpointsPerService} endpoints`,
  async run(context) {
    const { proxy, kubeProxy } = context;
    const compared = proxy.name === kubeProxy.name ? [proxy] : [proxy, kubeProxy];
    const clusterIp = await createService(name, []);
    let current = proxy;
    try {
      let existing = 0;
      for (const size of sizes) {
        await createServices(existing, size, (index) => madeUpAddresses(index, endpointsPerService));
        existing = size;
        // The one that is at work first, so that each is replaced once only.
        for (const next of compared.toSorted((a, b) => Number(b === current) - Number(a === current))) {
          if (next !== current) await replaceProxy(context, current, next);
          current = next;
          await measure(context, next.name, size, clusterIp);
        }
      }
    } finally {
      if (current !== proxy) await replaceProxy(context, current, proxy);
      await deleteServices(0, Math.max(...sizes));
      await deleteService(name);
    }
    return [];
  },
};
