import { tryNewService } from '../backends.ts';
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
  about: 'kube-proxy takes the place of vipmap, and vipmap that of kube-proxy',
  onlyVipmap: true,
  run: (context) =>
    underLoad(context, async () => {
      await replaceProxy(context, context.proxy, context.kubeProxy);
      await replaceProxy(context, context.kubeProxy, context.proxy);
      return [];
    }),
};
