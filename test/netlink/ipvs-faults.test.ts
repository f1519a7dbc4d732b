import { KernelError } from '../../src/kernel/kernel.ts';
import { NetlinkError } from '../../src/kernel/netlink/errors.ts';
import { NetlinkServers } from '../../src/kernel/netlink/ipvs-servers.ts';
import { type Message, NLM_F_ACK, NLM_F_DUMP, readMessages } from '../../src/kernel/netlink/message.ts';
import type { IpvsStep } from '../../src/ruleset/ipvs/print-step.ts';
import { id, messages, noServer, real, realServer, rr, virtualServer } from '../ipvs/harness.ts';
import { dumpEnd, errorAnswer, FakeTransport, message, type Replies } from './fake-transport.ts';

/* NetlinkServers against a kernel that is played: what a real one does not do on request. What it does: test/ipvs. */
const EPERM = -1;
const ENOENT = -2;
const ESRCH = -3;
const EEXIST = -17;
const EINVAL = -22;

const ipvsType = 0x1c;
const command = { getService: 4, newDest: 5, getDest: 8, getConfig: 13 };

const family = message(0x10, 1, (writer) => {
  writer.text(2, 'IPVS');
  writer.u16le(1, ipvsType);
});
const config = message(ipvsType, command.getConfig, (writer) => {
  writer.u32le(4, 900);
  writer.u32le(5, 120);
  writer.u32le(6, 300);
});

let sockets: FakeTransport[] = [];
beforeEach(() => (sockets = []));

type Answer = (request: Buffer, first: Message) => Replies;

/** The messages of the requests to IPVS, request by request. */
const sent = () =>
  sockets
    .flatMap(({ requests }) => requests.map((request) => [...readMessages(request)]))
    .filter(([first]) => first?.type === ipvsType && first.family !== command.getConfig);

/** Opened with a kernel that has IPVS, and which answers like that to all else. */
function open(answer: Answer, familyAnswer: Replies = [family]): Promise<NetlinkServers> {
  return NetlinkServers.open(() => {
    const socket = new FakeTransport((request) => {
      const [first] = readMessages(request);
      if (first?.type === 0x10) return familyAnswer;
      if (first === undefined) return [];
      return first.family === command.getConfig ? [config] : answer(request, first);
    });
    sockets.push(socket);
    return socket;
  });
}

/** Acks what asks for it, and refuses messages by their place in the work. */
const refusing =
  (errors: Readonly<Record<number, number>>): Answer =>
  (request) =>
    [...readMessages(request)].flatMap(({ sequence, flags }) => {
      const error = errors[sequence] ?? 0;
      return error < 0 || (flags & NLM_F_ACK) !== 0 ? [errorAnswer(sequence, error)] : [];
    });

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof KernelError ? `${error.failure}: ${error.message}` : String(error)),
  );

const server = id('10.96.0.1');
const addServer = virtualServer('add', server) as IpvsStep;
const addReal = (n: number) => realServer('add', server, real(`10.244.${n >> 8}.${n & 255}`)) as IpvsStep;
const manySteps = (count: number): readonly IpvsStep[] => [
  addServer,
  ...Array.from({ length: count - 1 }, (_, i) => addReal(i)),
];

describe('apply', () => {
  it('sends in parts, of which the last message alone is acknowledged', async () => {
    const servers = await open(refusing({}));
    expect(await servers.apply(manySteps(450))).toEqual([]);
    expect(sent().map((all) => all.length)).toEqual([200, 200, 50]);
    const asked = sent().flatMap((all) => all.filter(({ flags }) => (flags & NLM_F_ACK) !== 0));
    expect(asked.map(({ sequence }) => sequence)).toEqual([199, 399, 449]);
    expect(sockets.every(({ isClosed }) => isClosed)).toBe(true);
  });

  it('names by its number what the kernel refused, in any part', async () => {
    const servers = await open(refusing({ 1: EINVAL, 199: -12, 200: ESRCH, 449: -105 }));
    const failed = await servers.apply(manySteps(450));
    expect(failed.map(({ error }) => error.message)).toEqual([
      'real server 10.244.0.0:8080 of 10.96.0.1:80/tcp cannot be added: Invalid operation; a real server is a unicast address that is not link-local',
      'real server 10.244.0.198:8080 of 10.96.0.1:80/tcp cannot be added: Memory allocation problem',
      'real server 10.244.0.199:8080 of 10.96.0.1:80/tcp cannot be added: Service not defined; its virtual server is not there',
      'real server 10.244.1.192:8080 of 10.96.0.1:80/tcp cannot be added: ENOBUFS',
    ]);
  });

  it('changes what is there in another form', async () => {
    let rounds = 0;
    const servers = await open((request, first) =>
      refusing(rounds++ === 0 ? { 0: EEXIST, 1: EEXIST, 2: EEXIST } : { 1: ENOENT })(request, first),
    );
    const failed = await servers.apply(manySteps(3));
    expect(messages(failed)).toBe(
      'ipvsadm -a -t 10.96.0.1:80 -r 10.244.0.0:8080 -m -w 1: real server 10.244.0.0:8080 of 10.96.0.1:80/tcp cannot be added: No such destination',
    );
    expect(sent().map((all) => all.map(({ family }) => family))).toEqual([
      [1, 5, 5],
      [2, 6, 6],
    ]);
  });

  it('takes what is gone for deleted, and passes over what a later step makes up for', async () => {
    const servers = await open(refusing({ 0: ESRCH, 1: ENOENT, 2: EEXIST, 4: ENOENT }));
    const failed = await servers.apply([
      noServer(id('10.96.0.2')) as IpvsStep,
      realServer('delete', server, real('10.244.1.1')) as IpvsStep,
      addServer,
      noServer(server) as IpvsStep,
      virtualServer('add', id('10.96.0.3'), { ...rr, scheduler: 'no_such' }) as IpvsStep,
    ]);
    expect(failed.map(({ error }) => error.message)).toEqual([
      'virtual server 10.96.0.3:80/tcp cannot be added: Scheduler or persistence engine not found; this kernel has no scheduler "no_such": load its module on the host (modprobe ip_vs_no_such), or choose another',
    ]);
    expect(sent()).toHaveLength(1);
  });

  it('does not send what no kernel takes', async () => {
    const servers = await open(refusing({}));
    const wrong = virtualServer('add', server, { scheduler: 'rr', schedulerFlags: ['mh-port'] }) as IpvsStep;
    expect((await servers.apply([wrong])).map(({ step }) => step)).toEqual([wrong]);
    expect(sent()).toEqual([]);
  });

  it('passes over messages that answer nothing', async () => {
    const servers = await open((request, first) => [
      message(0x15, 0, (writer) => writer.text(1, 'foreign')),
      errorAnswer(7777, EINVAL),
      ...refusing({ 0: EEXIST })(request, first),
    ]);
    expect(await servers.apply(manySteps(2))).toHaveLength(1);
  });

  it.each([
    [
      'no rights',
      [errorAnswer(0, EPERM)],
      "not-permitted: this process may not change the kernel's virtual servers (Operation not permitted); run as root or with CAP_NET_ADMIN",
    ],
    [
      'lost answers',
      [new NetlinkError('ENOBUFS', 'netlink: recv: ENOBUFS')],
      'crashed: IPVS: netlink: recv: ENOBUFS; a part of the work may have been done',
    ],
    [
      'an answer that is cut off',
      [errorAnswer(0, EINVAL).subarray(0, 18)],
      'crashed: IPVS: netlink: a message is cut off; a part of the work may have been done',
    ],
  ])('says so of %s', async (_, replies, wanted) => {
    const servers = await open(() => replies);
    expect(await failureOf(servers.apply(manySteps(2)))).toBe(wanted);
    expect(sockets.every(({ isClosed }) => isClosed)).toBe(true);
  });

  it('says so of a request that the socket does not take', async () => {
    const servers = await open(() => {
      throw new NetlinkError('EMSGSIZE', 'netlink: send: EMSGSIZE');
    });
    expect(await failureOf(servers.apply(manySteps(2)))).toBe(
      'crashed: IPVS: netlink: send: EMSGSIZE; a part of the work may have been done',
    );
  });
});

describe('readConnections', () => {
  const key = '10.96.0.1 . tcp . 80';
  const dest = (connections: number) =>
    message(ipvsType, command.newDest, (writer) => {
      const at = writer.open(2);
      writer.u16le(11, 2);
      writer.bytesOf(1, Buffer.from('0af40105'.padEnd(32, '0'), 'hex'));
      writer.u16be(2, 8080);
      writer.u32le(7, connections);
      writer.close(at);
    });
  /** Answers to a dump, and to the question whether there is such a virtual server. */
  const kernel = (dump: Replies, one: Replies = []) =>
    open((_, { flags }) => ((flags & NLM_F_DUMP) === NLM_F_DUMP ? dump : one));

  it('gives those of real servers that have some', async () => {
    const busy = await kernel([dest(3), dumpEnd()]);
    expect(await busy.readConnections([key])).toEqual(new Map([[key, new Map([['10.244.1.5 . 8080', 3]])]]));
    expect(await (await kernel([dest(0), dumpEnd()])).readConnections([key])).toEqual(new Map());
  });

  it('takes an empty dump for none only if the kernel says that there is no such virtual server, or nothing in it', async () => {
    const gone = await kernel([dumpEnd()], [errorAnswer(1, ESRCH)]);
    expect(await gone.readConnections([key])).toEqual(new Map());
    const empty = await kernel([dumpEnd()], [message(ipvsType, 1, (writer) => writer.close(writer.open(1)))]);
    expect(await empty.readConnections([key])).toEqual(new Map());
    const puzzled = await kernel([dumpEnd()], [errorAnswer(1, EINVAL)]);
    expect(await failureOf(puzzled.readConnections([key]))).toContain('crashed: IPVS: netlink: EINVAL');
  });

  it.each([
    ['an error', [dumpEnd(EPERM)], 'not-permitted'],
    ['a dump that something changed meanwhile', [dest(0), dumpEnd(0, 0x10)], 'changed while they were read'],
    ['lost answers', [dest(0), new NetlinkError('ENOBUFS', 'lost')], 'lost'],
    ['a real server that cannot be read', [dest(0).subarray(0, 40)], 'cut off'],
  ])('never takes %s for none', async (_, replies, wanted) => {
    const servers = await kernel(replies);
    expect(await failureOf(servers.readConnections([key]))).toContain(wanted);
  });
});

describe('open', () => {
  it('names the module where the kernel has no IPVS', async () => {
    expect(await failureOf(open(() => [], [errorAnswer(1, ENOENT)]))).toBe(
      "unsupported: this kernel has no IPVS; load its module on the host (modprobe ip_vs), or use a kernel that has it (CONFIG_IP_VS; Debian's linux-image-amd64 does)",
    );
  });

  it('says where netlink cannot be used', async () => {
    const fails = (code: string) =>
      failureOf(
        NetlinkServers.open(() => {
          throw new NetlinkError(code, `netlink: socket generic: ${code}`);
        }),
      );
    expect(await failureOf(NetlinkServers.open(() => undefined))).toMatch(/^missing: netlink cannot be used/);
    expect(await fails('EPROTONOSUPPORT')).toBe(
      'missing: netlink cannot be used: netlink: socket generic: EPROTONOSUPPORT',
    );
    expect(await fails('EMFILE')).toMatch(/^crashed: /);
  });

  it('reads timeouts, and knows an answer without them', async () => {
    expect(await (await open(() => [])).readTimeouts()).toEqual([900, 120, 300]);
    const refuses = NetlinkServers.open(
      () =>
        new FakeTransport((request) => ([...readMessages(request)][0]?.type === 0x10 ? [family] : [errorAnswer(1, 0)])),
    );
    expect(await failureOf(refuses)).toContain('an answer without timeouts');
  });
});
