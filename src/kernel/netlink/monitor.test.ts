import { NetlinkError } from './errors.ts';
import { MessageWriter } from './message.ts';
import { type RulesetEvent, RulesetMonitor } from './monitor.ts';
import type { NetlinkTransport } from './socket.ts';

const NEWSETELEM = 0xa0c;
const DELTABLE = 0xa02;
const NEWGEN = 0xa0f;

interface Event {
  readonly type: number;
  readonly family?: number;
  readonly portId: number;
  readonly table?: string;
  readonly program?: string;
}

function datagram(...events: readonly Event[]): Buffer {
  const writer = new MessageWriter();
  for (const { type, family = 2, portId, table, program } of events) {
    const at = writer.beginMessage(type, 0, 0, family);
    if (table !== undefined) writer.text(1, table);
    if (program !== undefined) writer.text(3, program);
    writer.endMessage(at);
    writer.bytes().writeUInt32LE(portId, at + 12);
  }
  return Buffer.from(writer.bytes());
}

/** The events told of what a socket gives, one look for each list. */
function tell(...looks: readonly (readonly (Buffer | NetlinkError)[])[]): RulesetEvent[] {
  const told: RulesetEvent[] = [];
  let waiting: (Buffer | NetlinkError)[] = [];
  const transport: NetlinkTransport = {
    portId: 1,
    send: () => undefined,
    sendAside: () => Promise.resolve(),
    receive: () => {
      const next = waiting.shift();
      if (next instanceof NetlinkError) throw next;
      return next;
    },
    receiveAside: () => Promise.resolve(undefined),
    receiveManyAside: () => Promise.resolve([]),
    close: () => undefined,
  };
  const isOurs = (portId: number) => portId === 7;
  const monitor = new RulesetMonitor(transport, { onEvent: (event) => told.push(event), isOurs, ownPortId: 8 });
  for (const look of looks) {
    waiting = [...look];
    monitor.look();
  }
  monitor.close();
  return told;
}

const theirs = { type: NEWSETELEM, portId: 99, table: 'vipmap' };
const change = { kind: 'foreign-change', family: 'ip', portId: 99, program: undefined };

describe('RulesetMonitor', () => {
  it('tells a foreign change once for each transaction and family', () => {
    const first = datagram(theirs, theirs, { ...theirs, family: 10 });
    const end = datagram({ type: NEWGEN, family: 0, portId: 99, program: 'nft' });
    expect(tell([first, end, datagram({ ...theirs, type: DELTABLE }), end])).toEqual([
      { ...change, program: 'nft' },
      { ...change, family: 'ip6', program: 'nft' },
      { ...change, program: 'nft' },
    ]);
  });

  it('does not wait for the end of a transaction', () => {
    expect(tell([datagram(theirs)], [datagram({ type: NEWGEN, portId: 99, program: 'nft' })])).toEqual([change]);
  });

  it('tells nothing of our own changes, nor of other tables', () => {
    expect(
      tell([
        datagram({ ...theirs, portId: 7 }, { ...theirs, portId: 8 }),
        datagram({ ...theirs, table: 'kube-proxy' }, { ...theirs, family: 1 }, { ...theirs, type: 0x10c }),
        datagram({ type: NEWGEN, portId: 99, program: 'nft' }),
      ]),
    ).toEqual([]);
  });

  it('tells that events were lost, and goes on', () => {
    expect(tell([new NetlinkError('ENOBUFS', 'lost'), datagram(theirs)])).toEqual([{ kind: 'overrun' }, change]);
    expect(tell([new NetlinkError('ENOMEM', 'lost')], [datagram(theirs)])).toEqual([{ kind: 'overrun' }, change]);
  });

  it('tells what it cannot read as lost', () => {
    expect(tell([datagram(theirs).subarray(0, 24), datagram(theirs)], [])).toEqual([{ kind: 'overrun' }]);
    expect(tell([Buffer.from('?')], [datagram(theirs)])).toEqual([{ kind: 'overrun' }, change]);
  });
});
