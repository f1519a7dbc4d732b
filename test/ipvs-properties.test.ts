import fc from 'fast-check';
import { compile } from '../src/compile/nftables/compile.ts';
import type { ServiceChanges } from '../src/compile/nftables/live-ruleset.ts';
import type { KernelVirtualServer } from '../src/kernel/ipvs-kernel.ts';
import { MemoryIpvsKernel } from '../src/kernel/memory-ipvs.ts';
import { MemoryKernel } from '../src/kernel/memory.ts';
import { KernelError } from '../src/kernel/kernel.ts';
import type { ProxyState } from '../src/model/proxy-state.ts';
import type { ServicePort } from '../src/model/service-port.ts';
import { parseCidr, type Cidr } from '../src/net/cidr.ts';
import type { Ip } from '../src/net/ip.ts';
import { Keeper } from '../src/reconcile/keeper.ts';
import { reconcile } from '../src/reconcile/reconcile.ts';
import { ServersKeeper } from '../src/reconcile/servers.ts';
import type { Port } from '../src/net/port.ts';
import { type VirtualServer, virtualServerKey } from '../src/ruleset/ipvs/virtual-server.ts';
import { proxyStates } from './arbitraries.ts';

/*
 * Plans for IPVS against a kernel in memory that refuses what a real one refuses: whatever states follow each other, whatever fails and
 * wherever the program is killed, the kernel ends where the last state wants it, and nothing of others is touched.
 */

const nodeIps = ['192.168.0.2', 'fd00:192:168::2', '192.0.2.2'] as Ip[];
const excluded = parseCidr('198.51.100.128/25') as Cidr;

const ipvsStates = proxyStates.map((states) => states.map(inModeIpvs));

function inModeIpvs(state: ProxyState): ProxyState {
  return {
    ...state,
    nodePortAddresses: {
      ip: { kind: 'some', ips: ['192.168.0.2' as Ip] },
      ip6: { kind: 'some', ips: ['fd00:192:168::2' as Ip] },
    },
    ipvs: { scheduler: { name: 'rr', flags: [] }, interfaceIps: nodeIps, excludeCidrs: [excluded] },
  };
}

/** keepalived's, on an address of the node, and one in a block that is to be left alone, on our interface. */
const foreign = ['192.168.0.2', '198.51.100.200'].map((ip): KernelVirtualServer => {
  const realServers = new Map([['10.9.9.9 . 80', { ip: '10.9.9.9' as Ip, port: 80 as Port, weight: 3 }]]);
  const id = { protocol: 'tcp' as const, ip: ip as Ip, port: 9999 as Port };
  return { ...id, scheduler: 'wlc', schedulerFlags: [], realServers, otherOptions: ['-M 255.255.255.0'] };
});

function machine() {
  const tables = new MemoryKernel();
  const ipvs = new MemoryIpvsKernel({
    servers: new Map(foreign.map((server) => [virtualServerKey(server), server])),
    own: ['198.51.100.200' as Ip],
    others: nodeIps,
    isStrict: true,
  });
  let now = 0;
  const servers = () => new ServersKeeper({ kernel: ipvs, terminationLimitMs: 900_000, clock: () => now });
  return { tables, ipvs, servers, pass: (ms: number) => (now += ms) };
}

type Machine = ReturnType<typeof machine>;

const plain = (servers: ReadonlyMap<string, VirtualServer>) =>
  Object.fromEntries(
    [...servers].map(([key, { scheduler, schedulerFlags, persistenceSeconds, realServers }]) => [
      key,
      { scheduler, schedulerFlags, persistenceSeconds, realServers: Object.fromEntries(realServers) },
    ]),
  );

/** That the machine holds what the state wants, and others' things as they were. */
function expectHolds({ ipvs, tables }: Machine, state: ProxyState): void {
  const desired = compile(state);
  const others = new Map(foreign.map((server) => [virtualServerKey(server), server]));
  expect(plain(ipvs.servers)).toEqual(plain(new Map([...others, ...desired.servers.servers])));
  expect([...(ipvs.own ?? [])].sort()).toEqual([...desired.boundIps, '198.51.100.200'].sort());
  for (const family of ['ip', 'ip6'] as const) {
    const keys = (set: string) => [...(tables.ruleset[family]?.elements.get(set)?.keys() ?? [])].sort();
    for (const set of ['ipvs-servers', 'ipvs-ips'])
      expect(keys(set)).toEqual([...(desired.ruleset[family].elements.get(set)?.keys() ?? [])].sort());
  }
}

const web = (endpoints: readonly string[]): ServicePort => ({
  namespace: 'shop',
  service: 'web',
  portName: '',
  protocol: 'tcp',
  family: 'ip',
  clusterIp: '10.96.0.1' as Ip,
  port: 80 as Port,
  externalIps: [],
  loadBalancerIps: [],
  loadBalancerSourceRanges: [],
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Cluster',
  endpoints: endpoints.map((ip) => ({
    ip: ip as Ip,
    port: 80 as Port,
    traits: { state: 'ready', nodeName: '', zoneHints: [], nodeHints: [] },
  })),
});

const webState = inModeIpvs({
  nodeName: 'node-1',
  nodeIps: {},
  nodePortAddresses: { ip: { kind: 'all' }, ip6: { kind: 'all' } },
  detectLocal: { kind: 'none' },
  masqueradeAll: false,
  serviceCidrs: [],
  servicePorts: [web(['10.1.0.1', '10.1.0.2'])],
});

describe('mode ipvs', () => {
  it('gets from any state to any other, and changes nothing the second time', async () => {
    await fc.assert(
      fc.asyncProperty(ipvsStates, async (states) => {
        const all = machine();
        for (const state of states) {
          expect((await reconcile(all.tables, state, { servers: all.servers() })).failedSteps).toEqual([]);
          expectHolds(all, state);
          const again = await reconcile(all.tables, state, { servers: all.servers() });
          expect([again.steps, again.transaction.commands]).toEqual([[], []]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('ends in the same state when it is killed between any two steps and started again', async () => {
    await fc.assert(
      fc.asyncProperty(ipvsStates, fc.infiniteStream(fc.integer({ min: 0, max: 12 })), async (states, dice) => {
        const all = machine();
        for (const state of states) {
          for (let attempt = 0; attempt < 100; attempt++) {
            let left = attempt < 30 ? dice.next().value : Infinity;
            all.ipvs.fault = () => {
              if (left-- <= 0) throw new KernelError('crashed', 'killed');
              return undefined;
            };
            const keeper = new Keeper(all.tables, { servers: all.servers() });
            const isDone = await keeper.start(state).then(
              () => true,
              (error: unknown) => {
                if (!(error instanceof KernelError)) throw error;
                return false;
              },
            );
            if (isDone) break;
          }
          all.ipvs.fault = () => undefined;
          await reconcile(all.tables, state, { servers: all.servers() });
          expectHolds(all, state);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('keeps up with changes, tries again what failed, and waits for connections', async () => {
    await fc.assert(
      fc.asyncProperty(ipvsStates, fc.infiniteStream(fc.integer({ min: 0, max: 5 })), async (states, dice) => {
        const all = machine();
        const keeper = new Keeper(all.tables, { servers: all.servers() });
        const [first, ...later] = states as [ProxyState, ...ProxyState[]];
        await keeper.start(first);
        let before = first;
        for (const state of later) {
          for (const [key, { realServers }] of all.ipvs.servers)
            all.ipvs.connections.set(key, new Map([...realServers.keys()].map((id) => [id, dice.next().value])));
          all.ipvs.fault = () => (dice.next().value === 0 ? 'Memory allocation problem' : undefined);
          await keeper.change(changesBetween(before, state), state);
          all.ipvs.fault = () => undefined;
          const kept = plain(all.ipvs.servers);
          // Nothing with connections has gone, of what was there.
          for (const [key, server] of Object.entries(kept))
            for (const [id, { weight }] of Object.entries(server.realServers))
              if (weight === 0) expect(keeper.hasPending || `${key} ${id}`).toBe(true);
          all.ipvs.connections.clear();
          for (let i = 0; keeper.hasPending && i < 5; i++) await keeper.drain();
          expect(keeper.hasPending).toBe(false);
          expectHolds(all, state);
          expect((await keeper.audit()).wrong).toEqual([]);
          before = state;
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is left for mode nftables without a trace, wherever that is killed and started again', async () => {
    await fc.assert(
      fc.asyncProperty(ipvsStates, fc.infiniteStream(fc.integer({ min: 0, max: 5 })), async (states, dice) => {
        const all = machine();
        const [before, after] = states as [ProxyState, ProxyState];
        await reconcile(all.tables, before, { servers: all.servers() });
        for (const [key, { realServers }] of all.ipvs.servers)
          all.ipvs.connections.set(key, new Map([...realServers.keys()].map((id) => [id, dice.next().value])));
        const { ipvs: _, ...state } = after;
        let keeper = new Keeper(all.tables, { openLeftovers: () => Promise.resolve(all.servers()) });
        for (let attempt = 0; attempt < 20; attempt++) {
          let left = attempt < 10 ? dice.next().value : Infinity;
          all.ipvs.fault = () => {
            if (left-- <= 0) throw new KernelError('crashed', 'killed');
            return undefined;
          };
          if (attempt === 5) all.ipvs.connections.clear();
          keeper = new Keeper(all.tables, { openLeftovers: () => Promise.resolve(all.servers()) });
          await keeper.start(state).catch(onlyKernelError);
          await keeper.change(changesBetween(before, after), state).catch(onlyKernelError);
          if (keeper.hasPending) await keeper.drain().catch(onlyKernelError);
        }
        for (let i = 0; keeper.hasPending && i < 5; i++) await keeper.drain();
        expect([...all.ipvs.servers.keys()].sort()).toEqual(foreign.map(virtualServerKey).sort());
        // Addresses without a virtual server go with the first steps.
        expect([...(all.ipvs.own ?? [])]).toEqual(['198.51.100.200']);
        for (const family of ['ip', 'ip6'] as const)
          for (const set of ['ipvs-servers', 'ipvs-ips'])
            expect([...(all.tables.ruleset[family]?.elements.get(set)?.keys() ?? [])]).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  it('takes in a node that changed though reading the kernel failed then', async () => {
    const all = machine();
    const keeper = new Keeper(all.tables, { servers: all.servers() });
    const nodePort = [{ ...web(['10.1.0.1']), nodePort: 30000 as Port }];
    await keeper.start({ ...webState, servicePorts: nodePort });
    const node = {
      ...webState,
      nodePortAddresses: { ...webState.nodePortAddresses, ip: { kind: 'some', ips: [] } },
    } as const;
    const read = all.ipvs.readVirtualServers.bind(all.ipvs);
    all.ipvs.readVirtualServers = () => Promise.reject(new KernelError('timeout', 'ipvsadm did not end'));
    await expect(keeper.change(new Map(), node)).rejects.toThrow('did not end');
    all.ipvs.readVirtualServers = read;
    await keeper.change(new Map(), node);
    await keeper.drain();
    expectHolds(all, { ...node, servicePorts: nodePort });
  });

  it('lets go what has no connections though an address fails again and again', async () => {
    const all = machine();
    const keeper = new Keeper(all.tables, { servers: all.servers() });
    all.ipvs.fault = (step) => (step.kind === 'address' ? 'Permission denied' : undefined);
    await keeper.start(webState);
    await keeper.change(new Map([['shop/web', [web(['10.1.0.1'])]]]), webState);
    await keeper.drain();
    expect([...(all.ipvs.servers.get('10.96.0.1 . tcp . 80')?.realServers.keys() ?? [])]).toEqual(['10.1.0.1 . 80']);
    expect(keeper.hasPending).toBe(true);
    all.ipvs.fault = () => undefined;
    await keeper.drain();
    expectHolds(all, { ...webState, servicePorts: [web(['10.1.0.1'])] });
  });

  it('waits for connections no longer than the limit', async () => {
    const all = machine();
    const keeper = new Keeper(all.tables, { servers: all.servers() });
    const key = '10.96.0.1 . tcp . 80';
    const weights = () =>
      Object.fromEntries([...(all.ipvs.servers.get(key)?.realServers ?? [])].map(([id, { weight }]) => [id, weight]));
    await keeper.start(webState);
    all.ipvs.connections.set(key, new Map([['10.1.0.2 . 80', 7]]));
    await keeper.change(new Map([['shop/web', [web(['10.1.0.1'])]]]), webState);
    expect(weights()).toEqual({ '10.1.0.1 . 80': 1, '10.1.0.2 . 80': 0 });
    await keeper.drain();
    all.pass(899_999);
    await keeper.drain();
    expect(weights()).toEqual({ '10.1.0.1 . 80': 1, '10.1.0.2 . 80': 0 });
    // It comes back, and has all its time when it leaves again.
    await keeper.change(new Map([['shop/web', [web(['10.1.0.1', '10.1.0.2'])]]]), webState);
    expect(weights()).toEqual({ '10.1.0.1 . 80': 1, '10.1.0.2 . 80': 1 });
    await keeper.change(new Map([['shop/web', []]]), webState);
    await keeper.drain();
    all.pass(899_999);
    await keeper.drain();
    expect(weights()).toEqual({ '10.1.0.2 . 80': 0 });
    expect(all.ipvs.own?.has('10.96.0.1' as Ip)).toBe(true);
    all.pass(1);
    await keeper.drain();
    expect([all.ipvs.servers.has(key), all.ipvs.own?.has('10.96.0.1' as Ip)]).toEqual([false, false]);
  });
});

function onlyKernelError(error: unknown): void {
  if (!(error instanceof KernelError)) throw error;
}

function changesBetween(before: ProxyState, after: ProxyState): ServiceChanges {
  const changes = new Map<string, ServicePort[]>();
  const nameOf = ({ namespace, service }: ServicePort) => `${namespace}/${service}`;
  for (const servicePort of before.servicePorts) changes.set(nameOf(servicePort), []);
  for (const servicePort of after.servicePorts) {
    const ports = changes.get(nameOf(servicePort)) ?? [];
    changes.set(nameOf(servicePort), ports);
    ports.push(servicePort);
  }
  return changes;
}
