import fc from 'fast-check';
import { compile, slotsOfRuleset } from '../src/compile/nftables/compile.ts';
import { LiveRuleset } from '../src/compile/nftables/live-ruleset.ts';
import type { ProxyState } from '../src/model/proxy-state.ts';
import type { ServicePort } from '../src/model/service-port.ts';
import { families } from '../src/net/ip.ts';
import { applyTransaction } from '../src/ruleset/nftables/apply-transaction.ts';
import type { Ruleset } from '../src/ruleset/nftables/ruleset.ts';
import { proxyStates } from './arbitraries.ts';
import { wantedElements } from './wanted-elements.ts';

/** The elements of both tables, in an order that does not depend on the past; of those that stay when nothing needs them any more, what is wanted. */
function elementsOf(ruleset: Ruleset, wanted: Ruleset = ruleset) {
  return families.map((family) =>
    [...(ruleset[family]?.elements ?? [])]
      .map(([set, elements]) => [set, wantedElements(set, elements, wanted[family]?.elements.get(set))] as const)
      .filter(([, elements]) => elements.length > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function byService(state: ProxyState): Map<string, ServicePort[]> {
  const services = new Map<string, ServicePort[]>();
  for (const servicePort of state.servicePorts) {
    const key = `${servicePort.namespace}/${servicePort.service}`;
    services.set(key, [...(services.get(key) ?? []), servicePort]);
  }
  return services;
}

/** What turns one state's services into another's; those that are in both are given anew. */
function changesBetween(before: ProxyState, after: ProxyState): Map<string, readonly ServicePort[]> {
  const changes = new Map<string, readonly ServicePort[]>();
  for (const key of byService(before).keys()) changes.set(key, []);
  for (const [key, servicePorts] of byService(after)) changes.set(key, servicePorts);
  return changes;
}

describe('a ruleset that is kept up to date service by service', () => {
  it.each(['all changes at once', 'one service after the other'])(
    'holds what compiling the last state gives, and says what changed: %s',
    (mode) => {
      fc.assert(
        fc.property(proxyStates, (states) => {
          const [first, ...later] = states.map((state) => ({
            ...state,
            serviceCidrs: states[0]?.serviceCidrs ?? [],
          })) as [ProxyState, ...ProxyState[]];
          const live = new LiveRuleset(first, first.servicePorts);
          let kernel: Ruleset = compile(first).ruleset;
          let before = first;
          for (const state of later) {
            const changes = changesBetween(before, state);
            const batches =
              mode === 'all changes at once' ? [changes] : [...changes].map((change) => new Map([change]));
            for (const batch of batches) {
              live.change(batch);
              // The model kernel refuses what a real one would: adding what is there, deleting what is not.
              kernel = applyTransaction(kernel, live.takeChanges());
            }
            const compiled = compile(state, slotsOfRuleset(kernel));
            expect(elementsOf(kernel, compiled.ruleset)).toEqual(elementsOf(compiled.ruleset));
            expect(elementsOf(live.ruleset)).toEqual(elementsOf(kernel));
            for (const family of families)
              for (const name of compiled.ruleset[family].chains.keys())
                expect(kernel[family]?.chains.get(name)).toEqual(compiled.ruleset[family].chains.get(name));
            expect(new Set(live.conflicts.map(conflictText))).toEqual(new Set(compiled.conflicts.map(conflictText)));
            before = state;
          }
          expect(live.takeChanges().commands).toEqual([]);
        }),
        { numRuns: 300 },
      );
    },
  );

  it('costs what changed, however many services there are', () => {
    fc.assert(
      fc.property(proxyStates, (states) => {
        const [first, second] = states as [ProxyState, ProxyState];
        const cost = (others: readonly ServicePort[]) => {
          const live = new LiveRuleset(first, [...first.servicePorts, ...others]);
          live.change(changesBetween(first, second));
          return live.takeChanges().commands.length;
        };
        expect(cost(crowd(200))).toBe(cost([]));
      }),
      { numRuns: 20 },
    );
  });
});

function conflictText({ frontend, owner }: ReturnType<typeof compile>['conflicts'][number]): string {
  return JSON.stringify([frontend, owner]);
}

/** Services that have nothing to do with the others, but use every number of endpoints and every kind of chain. */
function crowd(count: number): readonly ServicePort[] {
  return Array.from({ length: count }, (_, n) => ({
    namespace: 'crowd',
    service: `svc-${n}`,
    portName: '',
    protocol: 'tcp' as const,
    family: 'ip' as const,
    clusterIp: `10.98.0.${n}` as ServicePort['clusterIp'],
    port: 443 as ServicePort['port'],
    externalIps: [],
    loadBalancerIps: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster' as const,
    externalTrafficPolicy: 'Cluster' as const,
    endpoints: [],
  }));
}
