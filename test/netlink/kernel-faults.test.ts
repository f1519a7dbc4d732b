import { KernelError } from '../../src/kernel/kernel.ts';
import { MemoryKernel } from '../../src/kernel/memory.ts';
import { NetlinkError } from '../../src/kernel/netlink/errors.ts';
import { NetlinkKernel } from '../../src/kernel/netlink/netlink-kernel.ts';
import type { SetDeclaration } from '../../src/ruleset/nftables/ruleset.ts';
import type { Command, ElementCommand } from '../../src/ruleset/nftables/transaction.ts';
import { dumpEnd, errorAnswer, FakeTransport, message, type Replies, sequencesOf } from './fake-transport.ts';

const daddr = { kind: 'payload', protocol: 'ip', field: 'daddr' } as const;
const set: SetDeclaration = { name: 'cluster-ips', key: daddr, flags: [] };
const element = (n: number): ElementCommand => ({
  kind: 'element',
  verb: 'add',
  family: 'ip',
  set,
  key: `10.96.${n >> 8}.${n & 255}`,
  value: '',
});
const elements = (count: number) => Array.from({ length: count }, (_, n) => element(n));

/** What becomes of a transaction whose batch is answered so. */
async function outcome(
  commands: readonly Command[],
  answer: (request: Buffer, sequences: readonly number[]) => Replies,
): Promise<{ error: KernelError | undefined; kernel: NetlinkKernel; transport: FakeTransport; other: MemoryKernel }> {
  const transport = new FakeTransport((request) => answer(request, sequencesOf(request)));
  const other = new MemoryKernel();
  const kernel = new NetlinkKernel(other, transport, { timeoutMs: 40 });
  const error = await kernel.apply({ commands }).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (error !== undefined && !(error instanceof KernelError)) throw new Error('no KernelError', { cause: error });
  return { error, kernel, transport, other };
}

const lastOf = (sequences: readonly number[]) => sequences.at(-2) ?? 0;

describe('NetlinkKernel', () => {
  it('is done when the last message is acknowledged', async () => {
    const { error, transport } = await outcome(elements(3), (_request, all) => [errorAnswer(lastOf(all), 0)]);
    expect(error).toBeUndefined();
    // Begin, elements, end.
    expect(transport.requests.map(sequencesOf)).toEqual([[1, 2, 3]]);
  });

  it('gives up in time, and passes a late answer over', async () => {
    let late: Replies = [];
    const { error, kernel } = await outcome(elements(1), (_request, all) => {
      const answers = late.length > 0 ? [...late, errorAnswer(lastOf(all), 0)] : [];
      late = [errorAnswer(lastOf(all), -17)];
      return answers;
    });
    expect(error).toMatchObject({ failure: 'timeout' });
    expect(error?.message).toMatch(/did not answer within 0.04 s; .*read it again before the next one/);
    await kernel.apply({ commands: elements(1) });
  });

  it.each([
    ['EMSGSIZE', 'too-big'],
    ['ENOBUFS', 'too-big'],
    ['ENOMEM', 'too-big'],
    ['ECONNREFUSED', 'unsupported'],
    ['EPERM', 'not-permitted'],
  ])('%s of send is told as %s', async (code, failure) => {
    for (const count of [1, 5000]) {
      const { error } = await outcome(elements(count), () => {
        throw new NetlinkError(code, `send: ${code}`);
      });
      expect(error).toMatchObject({ failure, details: { command: 'netlink' } });
    }
  });

  it('knows a batch that was refused as a whole', async () => {
    const { error } = await outcome(elements(1), (_request, [first = 0]) => [errorAnswer(first, -12)]);
    expect(error).toMatchObject({ failure: 'refused', message: 'the kernel refused: Cannot allocate memory' });
  });

  it('names the first of several errors, also where further answers were lost', async () => {
    const commands = elements(8000);
    const expected = {
      failure: 'refused',
      details: { stderr: 'File exists: add element ip vipmap cluster-ips { 10.96.0.2 }' },
    };
    // The list's elements begin after the message's header, two names and the list's own header, and are 16 bytes each.
    const place = 20 + 12 + 16 + 4;
    const answers = (all: readonly number[]) => [
      errorAnswer(all[2] ?? 0, -17, place + 2 * 16),
      errorAnswer(all[1] ?? 0, -17, place + 2 * 16),
    ];
    const whole = await outcome(commands, (_request, all) => [...answers(all), errorAnswer(lastOf(all), 0)]);
    expect(whole.error).toMatchObject(expected);
    const lost = await outcome(commands, (_request, all) => [...answers(all), new NetlinkError('ENOBUFS', 'lost')]);
    expect(lost.error).toMatchObject(expected);
  });

  it('does not know what became of a transaction whose answers were all lost', async () => {
    for (const reply of [new NetlinkError('ENOBUFS', 'lost'), Buffer.from('?')]) {
      const { error } = await outcome(elements(1), () => [reply]);
      expect(error).toMatchObject({ failure: 'crashed' });
    }
  });

  it('leaves what it cannot write to the other kernel', async () => {
    const others: readonly Command[][] = [
      [{ kind: 'table', verb: 'add', family: 'ip' }, element(1)],
      [{ ...element(1), set: { ...set, flags: ['interval'] } }],
      [{ ...element(1), set: { ...set, flags: ['dynamic', 'timeout'] } }],
      [{ ...element(1), key: 'fd00::1' }],
      [{ ...element(1), key: '10.96.0.1 . 80' }],
      [{ ...element(1), value: 'drop' }],
      [{ ...element(1), set: { ...set, data: 'verdict' }, value: 'jump x' }],
      [{ ...element(1), set: { ...set, data: { kind: 'concat', parts: [] } }, value: '10.0.0.1' }],
      [{ ...element(1), set: { ...set, key: { kind: 'meta', key: 'iifname' } }, key: 'eth0' }],
    ];
    for (const commands of others) {
      const { other, transport } = await outcome(commands, () => []);
      expect(transport.requests).toEqual([]);
      expect(other.tried).toEqual([{ commands }]);
    }
  });

  it('does nothing where there is nothing to do', async () => {
    const { error, transport, other } = await outcome([], () => []);
    expect([error, transport.requests, other.tried]).toEqual([undefined, [], []]);
  });

  it('is not there where netlink is not', () => {
    const other = new MemoryKernel();
    expect(NetlinkKernel.open(other, { open: () => undefined })).toBeUndefined();
    const open = () => {
      throw new NetlinkError('EPROTONOSUPPORT', 'no such family');
    };
    expect(NetlinkKernel.open(other, { open })).toBeUndefined();
  });
});

/** What the kernel says of the set, with its size where it is a kernel that tells. */
const declaration = (count?: number) =>
  message(0xa09, 2, (writer) => {
    writer.u32be(3, 0);
    writer.u32be(5, 4);
    if (count !== undefined) writer.u32be(20, count);
  });
const listed = (...hosts: readonly number[]) =>
  message(0xa0c, 2, (writer) => {
    const list = writer.open(3);
    for (const host of hosts) {
      const each = writer.open(1);
      const key = writer.open(1);
      writer.bytesOf(1, Buffer.from([10, 96, 0, host]));
      writer.close(key);
      writer.close(each);
    }
    writer.close(list);
  });

describe('looking elements up', () => {
  const wanted = new Map([
    ['10.96.0.1', ''],
    ['10.96.0.2', ''],
  ]);
  /** What it comes to when the kernel answers these to what is asked about elements, and gives the set's size as told. */
  async function lookUp(count: number, ...replies: readonly Replies[]) {
    let asked = 0;
    const answer = (request: Buffer) =>
      request.readUInt16LE(4) === 0xa0a ? [declaration(count)] : (replies[asked++] ?? []);
    const options = { open: () => new FakeTransport(answer), askFrom: 0 };
    const found = await NetlinkKernel.open(new MemoryKernel(), options)?.lookUpElements('ip', set, wanted);
    return found && { keys: [...found.elements.keys()], isComplete: found.isComplete };
  }
  const acked = errorAnswer(1, 0);
  const inAnswerTo = (sequence: number, reply: Buffer) => {
    reply.writeUInt32LE(sequence, 8);
    return reply;
  };

  it('takes answers in the order of the keys', async () => {
    const both = { keys: ['10.96.0.1', '10.96.0.2'], isComplete: true };
    expect(await lookUp(2, [listed(1), listed(2), acked])).toEqual(both);
    expect(await lookUp(3, [listed(1), listed(2), acked])).toEqual({ ...both, isComplete: false });
  });

  it('asks again for what stands behind one that is missing', async () => {
    expect(await lookUp(1, [errorAnswer(1, -2)], [inAnswerTo(2, listed(2)), errorAnswer(2, 0)])).toEqual({
      keys: ['10.96.0.2'],
      isComplete: true,
    });
    expect(await lookUp(1, [listed(1), errorAnswer(1, -2)])).toEqual({ keys: ['10.96.0.1'], isComplete: true });
  });

  it('gives nothing where answers are another request’s, cut off, lost or refused', async () => {
    expect(await lookUp(2, [errorAnswer(9, 0)])).toBeUndefined();
    expect(await lookUp(2, [listed(1).subarray(0, 30)])).toBeUndefined();
    expect(await lookUp(2, [new NetlinkError('ENOBUFS', 'lost')])).toBeUndefined();
    expect(await lookUp(2, [errorAnswer(1, -1)])).toBeUndefined();
  });

  it('does not take the answer about another key for the one that it waits for', async () => {
    expect(await lookUp(2, [listed(2), listed(1), acked])).toBeUndefined();
    expect(await lookUp(2, [listed(1), acked])).toBeUndefined();
  });
});

describe('reading elements', () => {
  /** Keys that are read from dumps that go as given, and how many were asked for. */
  async function read(...dumps: readonly Replies[]): Promise<{ keys: string[] | 'other'; dumps: number }> {
    let count = 0;
    const answer = (request: Buffer) => (request.readUInt16LE(4) === 0xa0a ? [declaration()] : (dumps[count++] ?? []));
    const other = new MemoryKernel();
    other.readElements = () => Promise.resolve(new Map([['other', '']]));
    const kernel = NetlinkKernel.open(other, { open: () => new FakeTransport(answer) });
    const keys = [...((await kernel?.readElements('ip', set)) ?? new Map<string, string>()).keys()];
    return { keys: keys[0] === 'other' ? 'other' : keys, dumps: count };
  }

  it('begins anew where it was interrupted, and where elements come twice', async () => {
    expect(
      await read(
        [listed(1), dumpEnd(0, 0x10)],
        [listed(1, 2), listed(2, 3), dumpEnd()],
        [listed(1, 2), listed(3, 4), dumpEnd()],
      ),
    ).toEqual({ keys: ['10.96.0.1', '10.96.0.2', '10.96.0.3', '10.96.0.4'], dumps: 3 });
  });

  it('is left to the other kernel where that does not help, or where the answer cannot be read', async () => {
    const twice: Replies = [listed(1, 1), dumpEnd()];
    expect(await read(twice, twice, twice, twice, twice)).toEqual({ keys: 'other', dumps: 4 });
    expect(await read([listed(1).subarray(0, 30)])).toEqual({ keys: 'other', dumps: 1 });
    expect(await read([errorAnswer(1, -1)])).toEqual({ keys: 'other', dumps: 1 });
  });

  it('gives nothing for a set that is gone', async () => {
    expect(await read([errorAnswer(1, -2)])).toEqual({ keys: [], dumps: 1 });
  });
});
