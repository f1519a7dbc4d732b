import isEqual from 'lodash-es/isEqual.js';
import { compile } from '../compile/nftables/compile.ts';
import { KernelError, type LookedUp } from '../kernel/kernel.ts';
import { MemoryKernel } from '../kernel/memory.ts';
import type { NodeState, ProxyState } from '../model/proxy-state.ts';
import { type ServicePort, servicePortName } from '../model/service-port.ts';
import { families, type Family, type Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { applyTransaction } from '../ruleset/nftables/apply-transaction.ts';
import type { Elements, Ruleset, SetDeclaration } from '../ruleset/nftables/ruleset.ts';
import type { ElementCommand, Transaction } from '../ruleset/nftables/transaction.ts';
import { Keeper } from './keeper.ts';

function service(n: number, endpoints: readonly number[], affinity = false): ServicePort {
  return {
    namespace: 'shop',
    service: `svc-${n}`,
    portName: 'http',
    protocol: 'tcp',
    family: 'ip',
    clusterIp: `10.96.0.${n}` as Ip,
    port: 80 as Port,
    externalIps: [],
    loadBalancerIps: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    ...(affinity ? { affinityTimeoutSeconds: 60 } : {}),
    endpoints: endpoints.map((e) => ({
      ip: `10.244.1.${e}` as Ip,
      port: 8080 as Port,
      traits: { state: 'ready', nodeName: '', zoneHints: [], nodeHints: [] },
    })),
  };
}

const node: NodeState = {
  nodeName: 'node-1',
  nodeIps: { ip: '192.168.0.2' as Ip },
  nodePortAddresses: { ip: { kind: 'some', ips: ['192.168.0.2' as Ip] }, ip6: { kind: 'all' } },
  detectLocal: { kind: 'none' },
  masqueradeAll: false,
  serviceCidrs: [],
};
const state = (...servicePorts: readonly ServicePort[]): ProxyState => ({ ...node, servicePorts });
const changeOf = (...servicePorts: readonly ServicePort[]) =>
  new Map(servicePorts.map((servicePort) => [`shop/${servicePort.service}`, [servicePort]]));

function elementsIn(ruleset: Ruleset) {
  return families.flatMap((family) =>
    [...(ruleset[family]?.elements ?? [])].flatMap(([set, elements]) =>
      [...elements].map(([key, value]) => `${family} ${set} ${key} ${value}`),
    ),
  );
}

/** Slots depend on the past; what matters is which endpoints a frontend has. */
const withoutSlots = (lines: readonly string[]) =>
  lines.map((line) => (line.includes('-endpoints-') ? line.replace(/ \. \d+ (?=\S+ \. \d+$)/, ' ') : line)).sort();

function expectHeld(kernel: MemoryKernel, wanted: ProxyState) {
  const lines = elementsIn(compile(wanted).ruleset);
  // Numbers of chains stay when nothing needs them any more.
  const held = elementsIn(kernel.ruleset).filter((line) => !line.includes(' balancing ') || lines.includes(line));
  expect(withoutSlots(held)).toEqual(withoutSlots(lines));
}

/** Somebody else's hand on our table. */
function tamper(kernel: MemoryKernel, commands: Transaction['commands']) {
  kernel.ruleset = applyTransaction(kernel.ruleset, { commands });
}

function element(kernel: MemoryKernel, verb: 'add' | 'delete', set: string, key: string, value = ''): ElementCommand {
  const declaration = kernel.ruleset.ip?.sets.get(set);
  if (declaration === undefined) throw new Error(set);
  return { kind: 'element', verb, family: 'ip', set: declaration, key, value };
}

const refusedFor = (name: string) => (transaction: Transaction) => {
  const address = `10.96.0.${name}`;
  if (transaction.commands.some((command) => command.kind === 'element' && command.key.startsWith(`${address} .`)))
    throw new KernelError('refused', `${address} is not to the kernel's taste`);
};

/** A kernel that can be asked for single elements, and, a newer one, says how many there are. */
class AskedKernel extends MemoryKernel {
  readonly canCount: boolean;
  readonly read: string[] = [];

  constructor(ruleset: Ruleset, canCount: boolean) {
    super(ruleset);
    this.canCount = canCount;
  }

  override readElements(family: Family, set: SetDeclaration): Promise<Elements> {
    this.read.push(set.name);
    return super.readElements(family, set);
  }

  async lookUpElements(family: Family, set: SetDeclaration, expected: Elements): Promise<LookedUp> {
    const actual = await super.readElements(family, set);
    const elements = new Map(
      [...expected.keys()].flatMap((key) => (actual.has(key) ? [[key, actual.get(key) ?? '']] : [])),
    );
    const isSame = isEqual(elements, expected);
    return { elements: isSame ? expected : elements, isComplete: this.canCount && elements.size === actual.size };
  }
}

describe('Keeper', () => {
  describe.each([
    ['that counts elements', true],
    ['that does not count elements', false],
  ])('asks a kernel %s for what it should hold', (_, canCount) => {
    const before = state(service(1, [5, 6, 7]), service(2, [7]));
    const start = async (wanted: ProxyState, change?: (kernel: AskedKernel) => void) => {
      const kernel = new AskedKernel(compile(before).ruleset, canCount);
      change?.(kernel);
      const keeper = new Keeper(kernel);
      const result = await keeper.start(wanted);
      return { kernel, keeper, result };
    };

    it('and reads no endpoints where it holds just that', async () => {
      const { kernel, keeper, result } = await start(before);
      expect(result).toMatchObject({ kind: 'full', commands: 0, setAside: [] });
      expect(result.isAuditDue).toBe(canCount ? undefined : true);
      expect(kernel.read.filter((set) => set.includes('-endpoints-'))).toEqual([]);
      await keeper.change(changeOf(service(1, [5, 6, 7, 8])), node);
      expectHeld(kernel, state(service(1, [5, 6, 7, 8]), service(2, [7])));
    });

    it('and lets endpoints keep their slots', async () => {
      const kernel = new AskedKernel(compile(before).ruleset, canCount);
      const earlier = new Keeper(kernel);
      await earlier.start(before);
      await earlier.change(changeOf(service(1, [6, 7])), node);
      await earlier.change(changeOf(service(1, [5, 6, 7])), node);
      const slots = kernel.ruleset.ip?.elements.get('cluster-endpoints-tcp');
      expect(slots).not.toEqual(compile(before).ruleset.ip.elements.get('cluster-endpoints-tcp'));
      const keeper = new Keeper(kernel);
      expect(await keeper.start(before)).toMatchObject({ commands: 0 });
      await keeper.change(changeOf(service(1, [5, 7])), node);
      expectHeld(kernel, state(service(1, [5, 7]), service(2, [7])));
    });

    it('and mends what is missing or otherwise', async () => {
      const { kernel, result } = await start(before, (tampered) =>
        tamper(tampered, [
          element(tampered, 'delete', 'cluster-endpoints-tcp', '10.96.0.1 . 80 . 0', '10.244.1.5 . 8080'),
          element(tampered, 'delete', 'cluster-endpoints-tcp', '10.96.0.2 . 80 . 0', '10.244.1.7 . 8080'),
          element(tampered, 'add', 'cluster-endpoints-tcp', '10.96.0.2 . 80 . 0', '10.244.1.9 . 8080'),
        ]),
      );
      expect(result).toMatchObject({ commands: 3, setAside: [] });
      expectHeld(kernel, before);
    });

    it('and has the audit take away what it did not ask for', async () => {
      const { kernel, keeper, result } = await start(state(service(1, [5])));
      expect(result).toMatchObject({ isAuditDue: true, setAside: [] });
      const { wrong } = await keeper.audit();
      expect(wrong).toMatchObject([{ place: 'cluster-endpoints-tcp', count: 3 }]);
      expectHeld(kernel, state(service(1, [5])));
    });

    it('and reads all when something that it did not ask for is in the way of a change', async () => {
      const wanted = state(service(1, [5, 6, 7]), service(2, [7]), service(3, [8]));
      const { kernel, keeper } = await start(before);
      tamper(kernel, [element(kernel, 'add', 'cluster-endpoints-tcp', '10.96.0.3 . 80 . 0', '10.244.1.1 . 8080')]);
      const result = await keeper.change(changeOf(service(3, [8])), node);
      expect(result).toMatchObject({ kind: 'full', setAside: [] });
      expectHeld(kernel, wanted);
      expect(await keeper.audit()).toEqual({ wrong: [], setAside: [] });
    });
  });

  it('adopts what it finds and sends only what differs', async () => {
    const before = state(service(1, [5, 6]), service(2, [7]));
    const kernel = new MemoryKernel(compile(before).ruleset);
    const keeper = new Keeper(kernel);
    const result = await keeper.start(state(service(1, [6]), service(2, [7])));
    expect(result).toMatchObject({ kind: 'full', setAside: [] });
    expect(kernel.tried[0]?.commands.every(({ kind }) => kind !== 'table')).toBe(true);
    expectHeld(kernel, state(service(1, [6]), service(2, [7])));
  });

  it('starts from what it read ahead, unless somebody changed that since or it could not be read', async () => {
    const wanted = state(service(1, [5]));
    const kernel = new MemoryKernel(compile(wanted).ruleset);
    let reads = 0;
    const readTable = kernel.readTable.bind(kernel);
    kernel.readTable = (family) => {
      reads++;
      return readTable(family);
    };
    const ahead = new Keeper(kernel);
    ahead.readAhead();
    expect(await ahead.start(wanted)).toMatchObject({ commands: 0 });
    expect(reads).toBe(families.length);

    const surprised = new Keeper(kernel);
    surprised.readAhead();
    await Promise.resolve();
    tamper(kernel, [element(kernel, 'delete', 'cluster-endpoints-tcp', '10.96.0.1 . 80 . 0', '10.244.1.5 . 8080')]);
    surprised.forgetReadAhead();
    expect(await surprised.start(wanted)).toMatchObject({ commands: 1 });
    expectHeld(kernel, wanted);

    const unlucky = new Keeper(kernel);
    kernel.readTable = (family) =>
      reads++ < 4 * families.length ? Promise.reject(new KernelError('crashed', 'nft')) : readTable(family);
    reads = 3 * families.length;
    unlucky.readAhead();
    expect(await unlucky.start(wanted)).toMatchObject({ commands: 0 });
  });

  it('sends a change alone, without reading', async () => {
    const kernel = new MemoryKernel();
    const keeper = new Keeper(kernel);
    await keeper.start(state(service(1, [5]), service(2, [7])));
    kernel.readElements = () => {
      throw new Error('read');
    };
    const result = await keeper.change(changeOf(service(2, [7, 8])), node);
    expect(result).toMatchObject({ kind: 'partial', setAside: [] });
    expectHeld(kernel, state(service(1, [5]), service(2, [7, 8])));
    await keeper.change(new Map([['shop/svc-1', []]]), node);
    expectHeld(kernel, state(service(2, [7, 8])));
  });

  it('plans from what the kernel really holds once it was surprised', async () => {
    const kernel = new MemoryKernel();
    const keeper = new Keeper(kernel);
    await keeper.start(state(service(1, [5, 6]), service(2, [7])));
    tamper(kernel, [element(kernel, 'delete', 'cluster-endpoints-tcp', '10.96.0.1 . 80 . 1', '10.244.1.6 . 8080')]);
    const result = await keeper.change(changeOf(service(1, [5])), node);
    expect(result.kind).toBe('full');
    expect(result.refusal?.failure).toBe('refused');
    expectHeld(kernel, state(service(1, [5]), service(2, [7])));
  });

  it('sets one service aside, goes on with the others, and tries it again when it changes', async () => {
    let fault = (_: Transaction) => undefined as void;
    const kernel = new MemoryKernel({}, (transaction) => fault(transaction));
    const keeper = new Keeper(kernel);
    await keeper.start(state(service(1, [5])));
    fault = refusedFor('2');
    const result = await keeper.change(changeOf(service(2, [7]), service(3, [8])), node);
    expect(result.setAside.map(({ owner }) => owner)).toEqual(['shop/svc-2:http']);
    const tries = kernel.tried.length;
    expect(await keeper.change(changeOf(service(1, [5, 6])), node)).toMatchObject({ kind: 'partial', setAside: [] });
    expect(kernel.tried.length).toBe(tries + 1);
    fault = () => undefined;
    await keeper.change(changeOf(service(2, [9])), node);
    expectHeld(kernel, state(service(1, [5, 6]), service(2, [9]), service(3, [8])));
  });

  it('begins anew after a failure that no smaller transaction would mend', async () => {
    let fault = (_: Transaction) => undefined as void;
    const kernel = new MemoryKernel({}, (transaction) => fault(transaction));
    const keeper = new Keeper(kernel);
    await keeper.start(state(service(1, [5])));
    fault = () => {
      throw new KernelError('crashed', 'nft crashed');
    };
    await expect(keeper.change(changeOf(service(1, [6])), node)).rejects.toThrow('nft crashed');
    fault = () => undefined;
    expect(await keeper.change(changeOf(service(2, [7])), node)).toMatchObject({ kind: 'full' });
    expectHeld(kernel, state(service(1, [6]), service(2, [7])));
  });

  it('follows a change of the node, services in the same breath', async () => {
    const kernel = new MemoryKernel();
    const keeper = new Keeper(kernel);
    await keeper.start(state(service(1, [5])));
    const moved: NodeState = {
      ...node,
      nodePortAddresses: { ip: { kind: 'all' }, ip6: { kind: 'all' } },
      masqueradeAll: true,
    };
    await keeper.change(changeOf(service(2, [7])), moved);
    expectHeld(kernel, { ...moved, servicePorts: [service(1, [5]), service(2, [7])] });
    await keeper.change(changeOf(service(2, [8])), moved);
    expectHeld(kernel, { ...moved, servicePorts: [service(1, [5]), service(2, [8])] });
  });

  it('does not write the rules of a chain twice that was there unused', async () => {
    const kernel = new MemoryKernel();
    const first = new Keeper(kernel);
    await first.start(state(service(1, [5, 6, 7], true)));
    await first.change(changeOf(service(1, [5])), node);
    await first.change(new Map(), { ...node, zone: 'zone-b' });
    await first.change(changeOf(service(1, [5, 6, 7], true)), { ...node, zone: 'zone-b' });
    await first.change(changeOf(service(1, [5])), { ...node, zone: 'zone-b' });
    const second = new Keeper(kernel);
    await second.start(state(service(1, [5])));
    await second.change(changeOf(service(1, [5, 6, 7], true)), node);
    for (const name of ['cluster-tcp-3', 'affinity-cluster-tcp-3', 'learn-tcp-60'])
      expect(kernel.ruleset.ip?.chains.get(name)?.rules.length).toBe(
        compile(state(service(1, [5, 6, 7], true))).ruleset.ip.chains.get(name)?.rules.length,
      );
    expect(await second.audit()).toEqual({ wrong: [], setAside: [] });
  });

  it('forgets clients of an endpoint that left', async () => {
    const kernel = new MemoryKernel();
    const keeper = new Keeper(kernel);
    await keeper.start(state(service(1, [5, 6], true)));
    tamper(kernel, [
      element(kernel, 'add', 'affinity-tcp', '192.0.2.1 . 10.96.0.1 . 80', '10.244.1.5 . 8080'),
      element(kernel, 'add', 'affinity-tcp', '192.0.2.2 . 10.96.0.1 . 80', '10.244.1.6 . 8080'),
    ]);
    expect(await keeper.change(changeOf(service(1, [6], true)), node)).toMatchObject({ forgotten: 1 });
    expect([...(kernel.ruleset.ip?.elements.get('affinity-tcp') ?? [])].map(([key]) => key)).toEqual([
      '192.0.2.2 . 10.96.0.1 . 80',
    ]);
  });
});

describe('an audit', () => {
  async function kept() {
    const kernel = new MemoryKernel();
    const keeper = new Keeper(kernel);
    const wanted = state(service(1, [5, 6]), service(2, [7]));
    await keeper.start(wanted);
    return { kernel, keeper, wanted };
  }

  it('finds nothing where nothing is wrong, and sends nothing', async () => {
    const { kernel, keeper } = await kept();
    const tries = kernel.tried.length;
    expect(await keeper.audit()).toEqual({ wrong: [], setAside: [] });
    expect(kernel.tried.length).toBe(tries);
  });

  it('mends elements that somebody changed, and says what was wrong', async () => {
    const { kernel, keeper, wanted } = await kept();
    tamper(kernel, [
      element(kernel, 'delete', 'service-ips', '10.96.0.1 . tcp . 80', '1:2'),
      element(kernel, 'add', 'cluster-ips', '10.96.0.99'),
    ]);
    const { wrong } = await keeper.audit();
    expect(wrong.map(({ place, count, example }) => `${place} ${count}: ${example}`)).toEqual([
      'service-ips 1: 10.96.0.1 . tcp . 80 was missing',
      'cluster-ips 1: 10.96.0.99 was there',
    ]);
    expectHeld(kernel, wanted);
  });

  it.each([
    ['a deleted table', [{ kind: 'table', verb: 'delete', family: 'ip' }], 'table 1: it was missing'],
    [
      'a flushed chain',
      [{ kind: 'chain', verb: 'flush', family: 'ip', name: 'services' }],
      'chains 1: services had other rules',
    ],
  ] as const)('mends %s', async (_, commands, words) => {
    const { kernel, keeper, wanted } = await kept();
    tamper(kernel, commands);
    const { wrong } = await keeper.audit();
    expect(wrong.map(({ place, count, example }) => `${place} ${count}: ${example}`)).toEqual([words]);
    expectHeld(kernel, wanted);
    expect(await keeper.audit()).toEqual({ wrong: [], setAside: [] });
  });

  it('does not undo a change that comes while it reads', async () => {
    const { kernel, keeper } = await kept();
    const read = kernel.readElements.bind(kernel);
    let changed: Promise<unknown> | undefined;
    kernel.readElements = async (family, set) => {
      const elements = new Map(await read(family, set));
      if (family === 'ip' && set.name === 'cluster-endpoints-tcp')
        await (changed ??= keeper.change(changeOf(service(2, [7, 8])), node));
      return elements;
    };
    expect(await keeper.audit()).toEqual({ wrong: [], setAside: [] });
    expect(changed).toBeDefined();
    expectHeld(kernel, state(service(1, [5, 6]), service(2, [7, 8])));
  });

  it('tries again what was set aside', async () => {
    let fault: (transaction: Transaction) => void = refusedFor('2');
    const kernel = new MemoryKernel({}, (transaction) => fault(transaction));
    const keeper = new Keeper(kernel);
    const { setAside } = await keeper.start(state(service(1, [5]), service(2, [7])));
    expect(setAside.map(({ owner }) => owner)).toEqual([servicePortName(service(2, []))]);
    fault = () => undefined;
    await keeper.audit();
    expectHeld(kernel, state(service(1, [5]), service(2, [7])));
  });
});
