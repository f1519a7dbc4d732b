import { tryNewService } from '../backends.ts';
import { createKubeProxy } from '../kube-proxy.ts';
import { type Context, inSeconds, type Part, timed, underLoad } from '../part.ts';
import type { ServiceProxy } from '../service-proxy.ts';

/** In the order of docs/migrate.md: the new one is complete before the old one's rules go. */
export async function replaceProxy({ say, backends }: Context, old: ServiceProxy, next: ServiceProxy): Promise<void> {
  const startMs = await timed(() => next.start());
  const removeMs = await timed(() => old.remove());
  const newServiceMs = await tryNewService(backends, 15_000);
  say(
    `${old.name} to ${next.name}: started beside it within ${inSeconds(startMs)}, ` +
      `the other removed within ${inSeconds(removeMs)}, a new service works after ${inSeconds(newServiceMs)}`,
  );
}

export const replace: Part = {
  name: 'replace',
  about: 'kube-proxy takes the place of vipmap, and vipmap that of kube-proxy, in modes nftables and iptables',
  onlyVipmap: true,
  run: (context) =>
    underLoad(context, async () => {
      for (const kubeProxy of [context.kubeProxy, createKubeProxy('iptables')]) {
        await replaceProxy(context, context.proxy, kubeProxy);
        await replaceProxy(context, kubeProxy, context.proxy);
      }
      return [];
    }),
};
