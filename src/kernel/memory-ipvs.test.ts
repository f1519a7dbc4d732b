import type { Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { parseSave } from '../ruleset/ipvs/parse-save.ts';
import type { Step } from '../ruleset/ipvs/plan.ts';
import { printSave } from '../ruleset/ipvs/print-save.ts';
import { KernelError } from './kernel.ts';
import { MemoryIpvsKernel } from './memory-ipvs.ts';

const server = { protocol: 'tcp', ip: '10.96.0.1' as Ip, port: 80 as Port } as const;
const scheduling = { scheduler: 'rr', schedulerFlags: [] };
const realServer = { ip: '10.244.1.5' as Ip, port: 8080 as Port, weight: 1 };
const add: Step = { kind: 'virtual-server', verb: 'add', server, scheduling };
const addReal: Step = { kind: 'real-server', verb: 'add', server, realServer };
const address = (verb: 'add' | 'delete'): Step => ({ kind: 'address', verb, ip: server.ip });
const theInterface: Step = { kind: 'interface', verb: 'add' };

const reasons = async (kernel: MemoryIpvsKernel, steps: readonly Step[]) =>
  (await kernel.apply(steps)).map(({ step, error }) => `${step.kind} ${step.verb}: ${error.details.stderr}`);

describe('MemoryIpvsKernel', () => {
  it('carries steps out, and what is so already is no failure', async () => {
    const kernel = new MemoryIpvsKernel({ others: ['192.168.0.2' as Ip] });
    const steps = [theInterface, address('add'), add, addReal];
    expect(await reasons(kernel, [...steps, ...steps])).toEqual([]);
    expect(printSave(await kernel.readVirtualServers())).toBe(
      '-A -t 10.96.0.1:80 -s rr\n-a -t 10.96.0.1:80 -r 10.244.1.5:8080 -m -w 1\n',
    );
    expect(await kernel.readAddresses()).toEqual({ own: new Set([server.ip]), others: new Set(['192.168.0.2']) });
    const removal: readonly Step[] = [
      { kind: 'real-server', verb: 'delete', server, realServer },
      { kind: 'virtual-server', verb: 'delete', server },
      address('delete'),
      { kind: 'interface', verb: 'delete' },
    ];
    expect(await reasons(kernel, [...removal, ...removal])).toEqual([]);
    expect([(await kernel.readVirtualServers()).size, (await kernel.readAddresses()).own]).toEqual([0, undefined]);
  });

  it('refuses what a kernel refuses, and goes on', async () => {
    const kernel = new MemoryIpvsKernel();
    const odd: Step = { ...add, scheduling: { ...scheduling, schedulerFlags: ['mh-port'] } };
    expect(
      await reasons(kernel, [
        addReal,
        { ...add, verb: 'edit' },
        odd,
        address('add'),
        add,
        { ...addReal, verb: 'edit' },
      ]),
    ).toEqual([
      'real-server add: Service not defined',
      'virtual-server edit: No such service',
      'virtual-server add: scheduler rr has no flag "mh-port"',
      'address add: Cannot find device "kube-ipvs0"',
      'real-server edit: No such destination',
    ]);
    expect([...(await kernel.readVirtualServers()).keys()]).toEqual(['10.96.0.1 . tcp . 80']);
  });

  it('strict, refuses also what a good plan has not', async () => {
    const kernel = new MemoryIpvsKernel({ isStrict: true, own: [] });
    const steps: readonly Step[] = [
      { kind: 'virtual-server', verb: 'delete', server },
      { ...addReal, verb: 'delete' },
      address('delete'),
      ...[add, addReal, address('add')],
      ...[add, addReal, address('add')],
    ];
    expect(await reasons(kernel, steps)).toEqual([
      'virtual-server delete: No such service',
      'real-server delete: Service not defined',
      'address delete: Address not found.',
      'virtual-server add: Service already exists',
      'real-server add: Destination already exists',
      'address add: Address already assigned.',
    ]);
  });

  it('fails as a test asks, by number and by what the step is about', async () => {
    const kernel = new MemoryIpvsKernel({
      fault: (_, number) => (number === 1 ? 'Memory allocation problem' : undefined),
    });
    const [failure] = await kernel.apply([add, addReal, theInterface]);
    expect(failure?.step).toBe(addReal);
    expect(failure?.error).toBeInstanceOf(KernelError);
    expect(failure?.error.message).toBe(
      'real server 10.244.1.5:8080 of 10.96.0.1:80/tcp cannot be added: Memory allocation problem',
    );
    kernel.fault = (step) => ('server' in step && step.server.port === 80 ? 'no' : undefined);
    expect(await reasons(kernel, [addReal, address('add')])).toEqual(['real-server add: no']);
    expect(kernel.tried).toHaveLength(5);
    kernel.fault = () => {
      throw new KernelError('crashed', 'ipvsadm crashed');
    };
    await expect(kernel.apply([addReal])).rejects.toThrow('ipvsadm crashed');
  });

  it("has others' options until a step takes them off", async () => {
    const { servers } = parseSave(
      '-A -t 10.96.0.1:80 -s rr -p 5 -M 255.0.0.0\n-a -t 10.96.0.1:80 -r 10.244.1.5:8080 -g -w 1\n-A -u 10.96.0.2:53 -s rr -o\n',
    );
    const kernel = new MemoryIpvsKernel({ servers });
    const others = async () => [...(await kernel.readVirtualServers()).values()].map((each) => each.otherOptions);
    expect(await others()).toEqual([['-M 255.0.0.0', '-r 10.244.1.5:8080 -g'], ['-o']]);
    await kernel.apply([{ ...add, verb: 'edit' }]);
    expect(await others()).toEqual([['-r 10.244.1.5:8080 -g'], ['-o']]);
    await kernel.apply([{ ...addReal, verb: 'edit' }]);
    expect(await others()).toEqual([[], ['-o']]);
  });

  it('gives the connections that a test sets, of real servers that are there', async () => {
    const kernel = new MemoryIpvsKernel();
    kernel.connections.set(
      '10.96.0.1 . tcp . 80',
      new Map([
        ['10.244.1.5 . 8080', 3],
        ['10.244.1.6 . 8080', 1],
      ]),
    );
    expect(await kernel.readConnections()).toEqual(new Map());
    await kernel.apply([add, addReal]);
    expect(await kernel.readConnections()).toEqual(
      new Map([['10.96.0.1 . tcp . 80', new Map([['10.244.1.5 . 8080', 3]])]]),
    );
  });
});
