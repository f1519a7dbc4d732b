import { deleteConntrack, type ConntrackEntry, readConntrack } from '../../src/kernel/netlink/conntrack.ts';
import { NetlinkError } from '../../src/kernel/netlink/errors.ts';
import type { Ip } from '../../src/net/ip.ts';
import { dumpEnd, errorAnswer, FakeTransport, message, type Replies, sequencesOf } from './fake-transport.ts';

const DUMP_INTR = 0x10;
const ENOENT = -2;
const EPERM = -1;

/** An entry as ctnetlink dumps it: a client's connection to 10.96.0.10:53. */
function entry(client: number, protocol = 17): Buffer {
  return message(0x100, 2, (writer) => {
    for (const type of [1, 2]) {
      const tuple = writer.open(type);
      const ip = writer.open(1);
      writer.bytesOf(1, Buffer.from([10, 244, 1, client]));
      writer.bytesOf(2, Buffer.from([10, 96, 0, 10]));
      writer.close(ip);
      const proto = writer.open(2);
      writer.u8(1, protocol);
      writer.u16be(2, 40_000);
      writer.u16be(3, 53);
      writer.close(proto);
      writer.close(tuple);
    }
    writer.u32be(12, client);
  });
}

/** Clients read from IPv4 dumps that go as given, one after the other; the dump of IPv6 is empty. */
async function readClients(...dumps: readonly Replies[]): Promise<{ clients: string[]; sockets: FakeTransport[] }> {
  const sockets: FakeTransport[] = [];
  const waiting = [...dumps];
  const open = () => {
    const answer = (request: Buffer) => (request[16] === 10 ? [dumpEnd()] : (waiting.shift() ?? []));
    sockets.push(new FakeTransport(answer));
    return sockets.at(-1);
  };
  const entries = await readConntrack('udp', undefined, { open });
  return { clients: entries?.map(({ original }) => original.src) ?? [], sockets };
}

describe('readConntrack', () => {
  it('begins anew where it was interrupted', async () => {
    const { clients, sockets } = await readClients(
      [entry(1), dumpEnd(0, DUMP_INTR)],
      [entry(1), dumpEnd(-4)],
      [entry(1), entry(2), dumpEnd()],
    );
    expect(clients).toEqual(['10.244.1.1', '10.244.1.2']);
    expect(sockets.map(({ isClosed }) => isClosed)).toEqual([true, true, true, true]);
  });

  it('takes what it has in the end', async () => {
    const lost: Replies = [entry(1), new NetlinkError('ENOBUFS', 'lost')];
    const interrupted: Replies = [entry(2), dumpEnd(0, DUMP_INTR)];
    expect((await readClients(interrupted, interrupted, lost)).clients).toEqual(['10.244.1.1']);
    expect((await readClients(lost, lost, interrupted)).clients).toEqual(['10.244.1.2']);
  });

  it('does without the filter where the kernel refuses it', async () => {
    const { clients, sockets } = await readClients([dumpEnd(-22)], [entry(1, 6), entry(2), dumpEnd()]);
    expect(clients).toEqual(['10.244.1.2']);
    expect(sockets.map(({ requests }) => requests[0]?.length)).toEqual([48, 20, 48]);
  });

  it('throws what the kernel says, and what cannot be read', async () => {
    await expect(readClients([errorAnswer(1, EPERM)])).rejects.toMatchObject({ code: 'EPERM' });
    await expect(readClients([entry(1).subarray(0, 40)])).rejects.toMatchObject({ code: 'EBADMSG' });
  });

  it('gives nothing where there is no netlink', async () => {
    expect(await readConntrack('udp', undefined, { open: () => undefined })).toBeUndefined();
    expect(await deleteConntrack([], { open: () => undefined })).toBeUndefined();
  });
});

describe('deleteConntrack', () => {
  const tuple = { src: '10.244.1.1' as Ip, dst: '10.96.0.10' as Ip, sport: 40_000, dport: 53 };
  const one: ConntrackEntry = {
    family: 'ip',
    protocol: 'udp',
    original: tuple,
    reply: tuple,
    id: 5,
    zone: 0,
    originalZone: 0,
    mark: 0,
  };

  it('counts those that were there', async () => {
    const transport = new FakeTransport((request) => {
      const sequences = sequencesOf(request);
      const [first = 0] = sequences;
      return [errorAnswer(first, ENOENT), errorAnswer(sequences.at(-1) ?? 0, 0)];
    });
    const entries = Array.from({ length: 450 }, () => one);
    expect(await deleteConntrack(entries, { open: () => transport })).toBe(447);
    expect(transport.requests.map((request) => sequencesOf(request).length)).toEqual([200, 200, 50]);
    expect(transport.isClosed).toBe(true);
  });

  it('throws what the kernel says', async () => {
    const transport = new FakeTransport((request) => [errorAnswer(sequencesOf(request)[0] ?? 0, EPERM)]);
    await expect(deleteConntrack([one], { open: () => transport })).rejects.toMatchObject({ code: 'EPERM' });
    expect(transport.isClosed).toBe(true);
  });
});
