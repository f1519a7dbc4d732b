import type { Step } from '../../ruleset/ipvs/plan.ts';
import {
  hostPort,
  interfaceName,
  type Scheduling,
  serverFamily,
  virtualServerKey,
  type VirtualServerId,
} from '../../ruleset/ipvs/virtual-server.ts';
import type { Description } from '../nftables/describe.ts';
import { maps, sets } from '../nftables/names.ts';
import type { OwnerOf } from '../nftables/owners.ts';

/** Steps in words, by service, as describeTransaction has it, e.g. `+ virtual server 10.96.0.10:80/tcp, scheduler rr`. */
export function describeSteps(steps: readonly Step[], ownerOf: OwnerOf): readonly Description[] {
  const descriptions = new Map<string, string[]>();
  for (const step of steps) {
    const heading = headingOf(step, ownerOf);
    const lines = descriptions.get(heading) ?? [];
    descriptions.set(heading, lines);
    lines.push(describeStep(step));
  }
  return [...descriptions].map(([heading, lines]) => ({ heading, lines }));
}

function headingOf(step: Step, ownerOf: OwnerOf): string {
  if (step.kind === 'interface' || step.kind === 'address') return `interface ${interfaceName}`;
  return serverOwner(step.server, ownerOf) ?? 'IPVS';
}

/** Whose a virtual server is: a service's address, or a node port of one. */
export function serverOwner(server: VirtualServerId, ownerOf: OwnerOf): string | undefined {
  const family = serverFamily(server);
  return (
    ownerOf(family, sets.virtualServers, virtualServerKey(server)) ??
    ownerOf(family, maps.masquerade.nodeport, `${server.protocol} . ${server.port}`)
  );
}

const sign = { add: '+', delete: '-', edit: '~' } as const;

function describeStep(step: Step): string {
  const start = sign[step.verb];
  switch (step.kind) {
    case 'interface':
      return `${start} made, for services’ addresses`.replace('- made, for', '- removed, with');
    case 'address':
      return `${start} ${step.ip}`;
    case 'virtual-server': {
      const name = `virtual server ${hostPort(step.server)}/${step.server.protocol}`;
      return step.verb === 'delete' ? `${start} ${name}` : `${start} ${name}, ${schedulingWords(step.scheduling)}`;
    }
    case 'real-server': {
      const { server, realServer, verb } = step;
      const weight =
        realServer.weight === 0 && verb !== 'delete'
          ? ' takes no new connections and goes when those that it has have ended'
          : verb === 'edit'
            ? ' takes connections again'
            : '';
      return `${start} ${hostPort(server)}/${server.protocol} to ${hostPort(realServer)}${weight}`;
    }
  }
}

function schedulingWords({ scheduler, schedulerFlags, persistenceSeconds }: Scheduling): string {
  const flags = schedulerFlags.length > 0 ? ` (${schedulerFlags.join(', ')})` : '';
  const persistence = persistenceSeconds === undefined ? '' : `, clients stay for ${persistenceSeconds} s`;
  return `scheduler ${scheduler}${flags}${persistence}`;
}
