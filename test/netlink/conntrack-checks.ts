import { type ConntrackEntry, deleteConntrack, readConntrack } from '../../src/kernel/netlink/conntrack.ts';
import { NetlinkError } from '../../src/kernel/netlink/errors.ts';
import type { NetlinkTransport } from '../../src/kernel/netlink/socket.ts';
import { type Checks, differs, firstOf } from './check.ts';
import { type MadeEntry, makeEntries } from './conntrack-entries.ts';
import { openSocket } from './socket-checks.ts';
import { longestWait } from './waits.ts';

async function make(entries: readonly MadeEntry[]): Promise<void> {
  const socket = openSocket();
  try {
    await makeEntries(socket, entries);
  } finally {
    socket.close();
  }
}

const read = async (...args: Parameters<typeof readConntrack>) => {
  const entries = await readConntrack(...args);
  if (entries === undefined) throw new Error('koffi is not there');
  return entries;
};

const words = ({ original, reply, zone, mark }: ConntrackEntry) => {
  const tuple = ({ src, sport, dst, dport }: ConntrackEntry['original']) => `${src} ${sport} > ${dst} ${dport}`;
  return `${tuple(original)} | ${tuple(reply)} zone ${zone} mark ${mark}`;
};

const dns: MadeEntry = {
  family: 'ip',
  protocol: 17,
  original: ['10.244.1.9', 40_000, '10.96.0.10', 53],
  reply: ['10.244.2.7', 5353, '10.244.1.9', 40_000],
};
const dnsWords = '10.244.1.9 40000 > 10.96.0.10 53 | 10.244.2.7 5353 > 10.244.1.9 40000 zone 0 mark 0';
const dns6: MadeEntry = {
  family: 'ip6',
  protocol: 17,
  original: ['fd00::9', 40_000, 'fd00:10:96::a', 53],
  reply: ['fd00::7', 5353, 'fd00::9', 40_000],
};
const dns6Words = 'fd00::9 40000 > fd00:10:96::a 53 | fd00::7 5353 > fd00::9 40000 zone 0 mark 0';
const zoned: MadeEntry = { ...dns, zone: 7, mark: 0xbeef };

async function clear(): Promise<void> {
  for (const protocol of ['udp', 'tcp', 'sctp'] as const) await deleteConntrack(await read(protocol));
}

const many = (count: number, protocol = 17): MadeEntry[] =>
  Array.from({ length: count }, (_, n) => {
    const client = `10.${200 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
    return {
      family: 'ip',
      protocol,
      original: [client, 1024 + (n % 60_000), '10.96.0.10', 53],
      reply: ['10.244.2.7', 5353, client, 1024 + (n % 60_000)],
    };
  });

/** With VIPMAP_TEST_ENTRIES=200000 the time that it takes is printed. */
const count = Number(process.env['VIPMAP_TEST_ENTRIES'] ?? 20_000);

export const conntrackChecks: Checks = {
  'connections of both families are read as they were made, and of one protocol alone': async () => {
    await clear();
    await make([dns, dns6, zoned, { ...dns, protocol: 6 }, { ...dns6, protocol: 6 }]);
    const udp = (await read('udp')).map(words).sort();
    const tcp = (await read('tcp')).map(words).sort();
    return firstOf(
      differs('udp', udp, [dnsWords, dnsWords.replace('zone 0 mark 0', 'zone 7 mark 48879'), dns6Words]),
      differs('tcp', tcp, [dnsWords, dns6Words]),
    );
  },

  'only wanted connections are kept': async () => {
    await clear();
    await make([dns, dns6]);
    return differs('found', (await read('udp', ({ family }) => family === 'ip6')).map(words), [dns6Words]);
  },

  'a kernel that refuses the filter gives the same connections': async () => {
    await clear();
    await make([dns, dns6, { ...dns, protocol: 6 }]);
    let refused = 0;
    const open = (): NetlinkTransport => {
      const socket = openSocket();
      const sendAside = (bytes: Uint8Array) => {
        if (bytes.length === 20) return socket.sendAside(bytes);
        refused++;
        return Promise.reject(new NetlinkError('EOPNOTSUPP', 'no filter'));
      };
      return {
        portId: 0,
        send: (bytes) => socket.send(bytes),
        sendAside,
        receive: () => socket.receive(),
        receiveAside: () => socket.receiveAside(),
        receiveManyAside: () => socket.receiveManyAside(),
        close: () => socket.close(),
      };
    };
    const found = (await read('udp', undefined, { open })).map(words).sort();
    return firstOf(differs('found', found, [dnsWords, dns6Words]), differs('refused', refused, 2));
  },

  'given connections are deleted, and no others': async () => {
    await clear();
    await make([dns, dns6, zoned, { ...dns, protocol: 6 }]);
    const entries = await read('udp', ({ zone }) => zone === 7);
    const deleted = await deleteConntrack(entries);
    const left = (await read('udp')).map(words).sort();
    const deleted6 = await deleteConntrack(await read('udp', ({ family }) => family === 'ip6'));
    return firstOf(
      differs('deleted', [deleted, deleted6], [1, 1]),
      differs('left', left, [dnsWords, dns6Words]),
      differs('left then', (await read('udp')).map(words), [dnsWords]),
      differs('left of tcp', (await read('tcp')).map(words), [dnsWords]),
    );
  },

  'deleting connections that are gone, or has made room for another, is no error': async () => {
    await clear();
    await make([dns, dns6]);
    const entries = await read('udp');
    const first = await deleteConntrack(entries);
    await make([dns]);
    const second = await deleteConntrack(entries);
    return firstOf(differs('deleted', [first, second], [2, 0]), differs('left', (await read('udp')).length, 1));
  },

  'many connections are read and deleted without holding up the event loop': async () => {
    await clear();
    await make(many(count));
    const reading = await longestWait(() => read('udp'));
    const entries = reading.result;
    const readingOthers = await longestWait(() => read('tcp'));
    const deleting = await longestWait(() => deleteConntrack(entries));
    const all = [reading, readingOthers, deleting];
    if (process.env['VIPMAP_TEST_ENTRIES'] !== undefined) {
      const times = all.map(({ tookMs, longestMs }) => `${tookMs.toFixed()} (${longestMs.toFixed()})`);
      process.stderr.write(`${count} connections, ms (longest wait) to read, read none, delete: ${times.join(', ')}\n`);
    }
    return firstOf(
      differs('read', new Set(entries.map(words)).size, count),
      differs('deleted', deleting.result, entries.length),
      // Far more than the 20 ms that are meant, since other tests may have the machine.
      differs('kept waiting', all.every(({ longestMs }) => longestMs < 200) ? 'short' : JSON.stringify(all), 'short'),
    );
  },
};
