import fc from 'fast-check';
import type { Step } from '../../src/ruleset/ipvs/plan.ts';
import type { Scheduling } from '../../src/ruleset/ipvs/virtual-server.ts';
import { address, id, noServer, real, realServer, rr, theInterface, virtualServer } from './harness.ts';

const servers = [id('10.96.0.1'), id('10.96.0.1', 53, 'udp'), id('fd00::1'), id('10.96.0.2', 80, 'sctp')];
const schedulings: readonly Scheduling[] = [
  rr,
  { ...rr, persistenceSeconds: 60 },
  { scheduler: 'mh', schedulerFlags: ['mh-port'] },
];

const server = fc.constantFrom(...servers);
const verb = fc.constantFrom('add' as const, 'edit' as const, 'delete' as const);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(server, fc.constantFrom('add' as const, 'edit' as const), fc.constantFrom(...schedulings))
      .map(([each, how, scheduling]) => virtualServer(how, each, scheduling)),
  },
  { weight: 1, arbitrary: server.map(noServer) },
  {
    weight: 5,
    arbitrary: fc
      .tuple(server, verb, fc.integer({ min: 5, max: 7 }), fc.integer({ min: 0, max: 1 }))
      .map(([each, how, n, weight]) =>
        realServer(how, each, real(each.ip.includes(':') ? `fd00:10:244::${n}` : `10.244.1.${n}`, 8080, weight)),
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom('add' as const, 'delete' as const)
      .chain((how) => fc.constantFrom('10.96.0.1', 'fd00::1').map((each) => address(how, each))),
  },
  { weight: 1, arbitrary: fc.constantFrom(theInterface('add'), theInterface('add'), theInterface('delete')) },
);

/**
 * Plans good and bad, that add what is there, change what is not, and take away what others need. But for real servers that come before
 * their virtual server: a real kernel's failed steps are tried again, and then it is there.
 */
export const steps = fc
  .array(step, { minLength: 4, maxLength: 16 })
  .map((all) =>
    all.filter(
      (each, i) =>
        each.kind !== 'real-server' ||
        !all
          .slice(i + 1)
          .some((later) => later.kind === 'virtual-server' && later.verb === 'add' && later.server === each.server),
    ),
  );
