import { chainPerService, clusterObjects } from '../generate.ts';
import type { Size } from '../question.ts';
import type { Targets } from './client.ts';

/*
 * The services of bench/generate.ts, of which every second one is of UDP, so that one ruleset serves both measurements.
 */
export type Protocol = 'tcp' | 'udp';
export const endpointPort = 8080;
const servicePort = 80;
const firstClusterIp = 10 * 2 ** 24 + 96 * 2 ** 16;
const firstEndpointIp = 10 * 2 ** 24 + 128 * 2 ** 16;

/** As `kubectl get svc,endpointslices,nodes -A -o json` prints it. */
export function* objects(size: Size): ReturnType<typeof clusterObjects> {
  for (const object of clusterObjects(size)) {
    const [, service] = /^svc-(\d+)/.exec((object['metadata'] as { name: string }).name) ?? [];
    if (Number(service) % 2 === 1)
      yield JSON.parse(JSON.stringify(object).replaceAll('"TCP"', '"UDP"')) as typeof object;
    else yield object;
  }
}

/** The same as rules: a chain per service. */
export function rules({ services, endpoints }: Size): string {
  return chainPerService(services, endpoints).replaceAll(/^.*\bservice-(\d+)\b.*$/gm, (line, service: string) =>
    Number(service) % 2 === 1 ? line.replace(/\btcp\b/, 'udp') : line,
  );
}

/** All services of a protocol. */
export function clusterIps(protocol: Protocol, { services }: Size): Targets {
  const isSecond = protocol === 'udp' ? 1 : 0;
  const count = Math.ceil((services - isSecond) / 2);
  return { first: firstClusterIp + isSecond, step: 2, count, port: servicePort };
}

/** All endpoints. */
export function endpoints({ services, endpoints: each }: Size): Targets {
  return { first: firstEndpointIp, step: 1, count: services * each, port: endpointPort };
}
