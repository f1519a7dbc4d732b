import type { Ip } from '../../net/ip.ts';
import type { Step } from './plan.ts';
import { realServerKey, type VirtualServer, virtualServerKey } from './virtual-server.ts';

/** A kernel's virtual servers and the addresses of our interface, as a value that steps change. */
export interface ServersImage {
  readonly servers: Map<string, VirtualServer>;
  own: Set<Ip> | undefined;
}

/** What the image is after a step that the kernel took. Only what the step names is touched; others are shared with the image before. */
export function applyStep(image: ServersImage, step: Step): void {
  switch (step.kind) {
    case 'interface':
      image.own = step.verb === 'add' ? (image.own ?? new Set()) : undefined;
      return;
    case 'address':
      if (step.verb === 'delete') image.own?.delete(step.ip);
      else (image.own ??= new Set()).add(step.ip);
      return;
    case 'virtual-server': {
      const key = virtualServerKey(step.server);
      if (step.verb === 'delete') image.servers.delete(key);
      else {
        const realServers = image.servers.get(key)?.realServers ?? new Map<string, never>();
        image.servers.set(key, { ...step.server, ...step.scheduling, realServers });
      }
      return;
    }
    case 'real-server': {
      const key = virtualServerKey(step.server);
      const server = image.servers.get(key);
      if (server === undefined) return;
      const realServers = new Map(server.realServers);
      if (step.verb === 'delete') realServers.delete(realServerKey(step.realServer));
      else realServers.set(realServerKey(step.realServer), step.realServer);
      image.servers.set(key, { ...server, realServers });
      return;
    }
  }
}
