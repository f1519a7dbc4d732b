import { setTimeout as delay } from 'node:timers/promises';
import { compile } from '../compile/nftables/compile.ts';
import { KernelError } from '../kernel/kernel.ts';
import { MemoryKernel } from '../kernel/memory.ts';
import type { NodeState } from '../model/proxy-state.ts';
import type { ServicePort } from '../model/service-port.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { applyTransaction } from '../ruleset/nftables/apply-transaction.ts';
import type { Elements, SetDeclaration } from '../ruleset/nftables/ruleset.ts';
import type { Transaction } from '../ruleset/nftables/transaction.ts';
import { Keeper } from './keeper.ts';
import { adoptedUnread, SyncLoop } from './sync-loop.ts';

const node: NodeState = {
  nodeName: 'node-1',
  nodeIps: { ip: '192.168.0.2' as Ip },
  nodePortAddresses: { ip: { kind: 'all' }, ip6: { kind: 'all' } },
  detectLocal: { kind: 'none' },
  masqueradeAll: false,
  serviceCidrs: [],
};

function service(n: number): readonly [string, readonly ServicePort[]] {
  const servicePort: ServicePort = {
    namespace: 'shop',
    service: `svc-${n}`,
    portName: '',
    protocol: 'tcp',
    family: 'ip',
    clusterIp: `10.96.0.${n}` as Ip,
    port: 80 as Port,
    externalIps: [],
    loadBalancerIps: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    endpoints: [],
  };
  return [`shop/${servicePort.service}`, [servicePort]];
}

function setUp(minSyncPeriodMs = 0) {
  let fault = (_: Transaction) => undefined as void;
  const kernel = new MemoryKernel({}, (transaction) => fault(transaction));
  let waiting = new Map<string, readonly ServicePort[]>();
  const events: string[] = [];
  const loop = new SyncLoop({
    keeper: new Keeper(kernel),
    takeChanges: () => {
      const services = waiting;
      waiting = new Map();
      return { services, node };
    },
    minSyncPeriodMs,
    auditPeriodMs: 0,
    onQueued: () => events.push('queued'),
    onSynced: ({ kind, commands }) => events.push(`${kind} ${commands > 0 ? 'sent' : 'nothing'}`),
    onFailed: (error) => events.push(`failed: ${error.message}`),
    onDrained: () => undefined,
    onAudited: ({ wrong }, reason) =>
      events.push(`audit for ${reason}: ${wrong.map(({ place }) => place).join(' ') || 'ok'}`),
    retry: { minMs: 10, maxMs: 20 },
  });
  const put = (...numbers: readonly number[]) => {
    for (const [key, servicePorts] of numbers.map(service)) waiting.set(key, servicePorts);
    loop.trigger();
  };
  const held = () => [...(kernel.ruleset.ip?.elements.get('cluster-ips')?.keys() ?? [])];
  return { kernel, loop, events, put, held, setFault: (next: typeof fault) => (fault = next) };
}

describe('the loop', () => {
  it('starts with everything, then sends changes; what comes together goes together', async () => {
    const { loop, events, put, held } = setUp();
    put(1, 2);
    await delay(50);
    put(3);
    put(4);
    await delay(50);
    expect(events).toEqual(['queued', 'full sent', 'queued', 'partial sent']);
    expect(held()).toHaveLength(4);
    await loop.stop();
  });

  it('keeps minSyncPeriod between runs', async () => {
    const { loop, events, put } = setUp(150);
    put(1);
    await delay(60);
    put(2);
    await delay(30);
    put(3);
    expect(events.filter((event) => event.includes('sent'))).toHaveLength(1);
    await delay(200);
    expect(events.filter((event) => event.includes('sent'))).toHaveLength(2);
    await loop.stop();
  });

  it('tries again after a failure, loses nothing of the first state, and what came meanwhile', async () => {
    const { loop, events, put, held, setFault } = setUp();
    setFault(() => {
      throw new KernelError('crashed', 'nft crashed');
    });
    put(1);
    await delay(40);
    put(2);
    await delay(20);
    setFault(() => undefined);
    await delay(80);
    expect(events.filter((event) => event === 'failed: nft crashed').length).toBeGreaterThan(1);
    expect(events.at(-1)).toBe('full sent');
    expect(held()).toEqual(['10.96.0.1', '10.96.0.2']);
    await loop.stop();
  });

  it('loses nothing either where the kernel could not even be read', async () => {
    const { kernel, loop, put, held } = setUp();
    const read = kernel.readTable.bind(kernel);
    kernel.readTable = () => Promise.reject(new KernelError('missing', 'no nft'));
    put(1);
    await delay(30);
    kernel.readTable = read;
    put(2);
    await delay(60);
    expect(held()).toEqual(['10.96.0.1', '10.96.0.2']);
    await loop.stop();
  });

  it('looks at the kernel when asked, and once more if asked again meanwhile', async () => {
    const { kernel, loop, events, put, held } = setUp();
    put(1);
    await delay(30);
    kernel.ruleset = applyTransaction(kernel.ruleset, { commands: [{ kind: 'table', verb: 'delete', family: 'ip' }] });
    loop.requestAudit('a foreign change');
    loop.requestAudit('another');
    loop.requestAudit('a third');
    await delay(60);
    expect(events.slice(2)).toEqual(['audit for a foreign change: table', 'audit for a third: ok']);
    expect(held()).toEqual(['10.96.0.1']);
    await loop.stop();
  });

  it('looks at the kernel after a start that did not read all of it', async () => {
    const { kernel, loop, events, put } = setUp();
    kernel.ruleset = compile({ ...node, servicePorts: service(1)[1] }).ruleset;
    const asking = Object.assign(kernel, {
      lookUpElements: (_family: Family, _set: SetDeclaration, elements: Elements) =>
        Promise.resolve({ elements, isComplete: false }),
    });
    put(1);
    await delay(60);
    expect(asking.tried.flatMap(({ commands }) => commands)).toEqual([]);
    expect(events).toEqual(['queued', 'full nothing', `audit for ${adoptedUnread}: ok`]);
    await loop.stop();
  });

  it('does nothing more once it is stopped', async () => {
    const { loop, events, put } = setUp();
    put(1);
    await loop.stop();
    await delay(30);
    expect(events).toEqual(['queued']);
  });
});
