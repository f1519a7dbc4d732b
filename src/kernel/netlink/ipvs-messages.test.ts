import fc from 'fast-check';
import type { Ip } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import { protocols } from '../../net/protocol.ts';
import type { IpvsStep } from '../../ruleset/ipvs/print-step.ts';
import type { Scheduling, VirtualServerId } from '../../ruleset/ipvs/virtual-server.ts';
import { MalformedMessage } from './errors.ts';
import { readRealServer, readService, readTimeouts } from './ipvs-decode.ts';
import { writeStep } from './ipvs-encode.ts';
import { type Message, MessageWriter, readMessages } from './message.ts';

const ipv4 = fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => `10.96.${a}.${b}` as Ip);
const ipv6 = fc.tuple(fc.integer({ min: 1, max: 0xffff }), fc.integer({ min: 1, max: 0xffff })).map((parts) => {
  const [a, b] = parts.map((part) => part.toString(16));
  return `fd00:${a}::${b}` as Ip;
});
const port = fc.integer({ min: 1, max: 65535 }).map((number) => number as Port);
const protocol = fc.constantFrom(...protocols);
const flags = fc.constantFrom(
  { scheduler: 'rr', schedulerFlags: [] },
  { scheduler: 'rr', schedulerFlags: ['flag-1', 'flag-3'] },
  { scheduler: 'mh', schedulerFlags: ['mh-fallback', 'mh-port'] },
  { scheduler: 'mh', schedulerFlags: ['mh-port'] },
  { scheduler: 'sh', schedulerFlags: ['flag-3', 'sh-port'] },
  { scheduler: 'a_name_of_15_ch', schedulerFlags: [] },
);
const scheduling: fc.Arbitrary<Scheduling> = fc
  .tuple(flags, fc.option(fc.integer({ min: 1, max: 2_678_400 })))
  .map(([how, seconds]) => (seconds === null ? how : { ...how, persistenceSeconds: seconds }));
const pair: fc.Arbitrary<readonly [VirtualServerId, Ip]> = fc.oneof(
  fc.record({ protocol, ip: ipv4, port }).chain((id) => ipv4.map((ip) => [id, ip] as const)),
  fc.record({ protocol, ip: ipv6, port }).chain((id) => ipv6.map((ip) => [id, ip] as const)),
);
const weight = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65535 }));

function bytesOf(step: IpvsStep): Buffer {
  const writer = new MessageWriter(8);
  writeStep(writer, step, { type: 0x20, sequence: 5, flags: 4 });
  return Buffer.from(writer.bytes());
}

function messageOf(bytes: Buffer): Message {
  const [message] = readMessages(bytes);
  if (message === undefined) throw new Error('no message');
  return message;
}

/** A message of a dump: attributes inside of the one that is the virtual server (1) or the real server (2). */
function dumped(kind: 1 | 2, write: (writer: MessageWriter) => void): Message {
  const writer = new MessageWriter();
  const at = writer.beginMessage(0x20, 2, 1, 1);
  const inner = writer.open(kind);
  write(writer);
  writer.close(inner);
  writer.endMessage(at);
  return messageOf(writer.bytes());
}

describe('a step as a message', () => {
  it('is what linux/ip_vs.h says', () => {
    const server = { protocol: 'tcp', ip: '10.96.0.10' as Ip, port: 80 as Port } as const;
    const how = { scheduler: 'mh', schedulerFlags: ['mh-port'], persistenceSeconds: 10800 };
    const words = [
      '68000000 2000 0500 05000000 00000000 01 01 0000', // nlmsghdr, genlmsghdr: IPVS_CMD_NEW_SERVICE
      '5400 0180', // IPVS_CMD_ATTR_SERVICE
      '0600 0100 02000000', // AF_INET
      '0600 0200 06000000', // IPPROTO_TCP
      '1400 0300 0a60000a 00000000 00000000 00000000',
      '0600 0400 00500000', // port 80, in network order
      '0700 0600 6d680000', // "mh"
      '0c00 0700 11000000 ffffffff', // IP_VS_SVC_F_PERSISTENT | IP_VS_SVC_F_SCHED2, and all count
      '0800 0800 302a0000', // 10800 s
      '0800 0900 ffffffff', // each client by itself
    ];
    const bytes = bytesOf({ kind: 'virtual-server', verb: 'add', server, scheduling: how });
    expect(bytes.toString('hex')).toBe(words.join('').replaceAll(' ', ''));
    const realServer = { ip: '10.244.1.5' as Ip, port: 8080 as Port, weight: 3 };
    const dest = [
      '4800 0280', // IPVS_CMD_ATTR_DEST
      '0600 0b00 02000000', // AF_INET
      '1400 0100 0af40105 00000000 00000000 00000000',
      '0600 0200 1f900000', // port 8080, in network order
      '0800 0300 00000000', // IP_VS_CONN_F_MASQ
      '0800 0400 03000000', // weight
      '0800 0500 00000000', // no thresholds
      '0800 0600 00000000',
    ];
    const edit = bytesOf({ kind: 'real-server', verb: 'edit', server, realServer });
    expect(edit.subarray(68).toString('hex')).toBe(dest.join('').replaceAll(' ', ''));
  });

  it('is read as what was written, virtual servers', () => {
    fc.assert(
      fc.property(pair, scheduling, fc.constantFrom('add' as const, 'edit' as const), ([server], how, verb) => {
        const message = messageOf(bytesOf({ kind: 'virtual-server', verb, server, scheduling: how }));
        expect(message).toMatchObject({ type: 0x20, flags: 5, sequence: 5, family: verb === 'add' ? 1 : 2 });
        expect(readService(message)).toEqual({ ...server, ...how, realServers: new Map(), otherOptions: [] });
      }),
    );
  });

  it('is read as what was written, real servers', () => {
    fc.assert(
      fc.property(pair, port, weight, ([server, ip], number, heavy) => {
        const realServer = { ip, port: number, weight: heavy };
        const message = messageOf(bytesOf({ kind: 'real-server', verb: 'add', server, realServer }));
        expect(message.family).toBe(5);
        expect(readService(message)).toMatchObject(server);
        expect(readRealServer(message)).toEqual({ realServer, connections: 0, otherOption: undefined });
      }),
    );
  });

  it('names what is deleted, and nothing else', () => {
    const server = { protocol: 'sctp', ip: 'fd00::1' as Ip, port: 80 as Port } as const;
    const realServer = { ip: 'fd00::2' as Ip, port: 8080 as Port, weight: 7 };
    const one = bytesOf({ kind: 'virtual-server', verb: 'delete', server });
    const both = messageOf(bytesOf({ kind: 'real-server', verb: 'delete', server, realServer }));
    expect([one.length, both.end, messageOf(one).family, both.family]).toEqual([68, 108, 3, 7]);
    expect(readRealServer(both)?.realServer).toEqual({ ...realServer, weight: 0 });
  });

  it('cannot be written of what is no address', () => {
    const server = { protocol: 'tcp', ip: '10.96.0' as Ip, port: 80 as Port } as const;
    expect(() => bytesOf({ kind: 'virtual-server', verb: 'delete', server })).toThrow(MalformedMessage);
  });
});

describe("what other programs' virtual servers have", () => {
  const service = (write: (writer: MessageWriter) => void, family = 2, address = '0a600009') =>
    dumped(1, (writer) => {
      writer.u16le(1, family);
      writer.u16le(2, 17);
      writer.bytesOf(3, Buffer.from(address.padEnd(32, '0'), 'hex'));
      writer.u16be(4, 5060);
      writer.text(6, 'rr');
      write(writer);
    });
  const persistent =
    (mask: number, flag = 1) =>
    (writer: MessageWriter) => {
      writer.bytesOf(7, Buffer.from([flag, 0, 0, 0, 255, 255, 255, 255]));
      writer.u32le(8, 60);
      writer.u32le(9, mask);
    };

  it('is named as ipvsadm prints it', () => {
    const sip = service((writer) => {
      persistent(0x0000ffff)(writer);
      writer.text(11, 'sip');
    });
    expect(readService(sip)).toMatchObject({ persistenceSeconds: 60, otherOptions: ['-M 255.255.0.0', '--pe sip'] });
    expect(readService(service(persistent(64), 10))?.otherOptions).toEqual(['-M 64']);
    expect(readService(service(persistent(128), 10))?.otherOptions).toEqual([]);
    expect(readService(service(persistent(0x0000ffff, 4)))).toMatchObject({ otherOptions: ['-o'] });
  });

  it('is passed over where no Service has it', () => {
    const byMark = dumped(1, (writer) => {
      writer.u16le(1, 2);
      writer.u32le(5, 7);
      writer.text(6, 'rr');
    });
    const isMapped = service(() => undefined, 10, '00000000000000000000ffff0a600009');
    const isForeign = service(() => undefined, 7);
    const ofIcmp = service((writer) => writer.u16le(2, 1));
    expect([byMark, isMapped, isForeign, ofIcmp].map(readService)).toEqual(Array(4).fill(undefined));
    expect(readService(dumped(2, () => undefined))).toBeUndefined();
  });

  it('is named with its real server, and connections are counted', () => {
    const dest = (write: (writer: MessageWriter) => void) =>
      readRealServer(
        dumped(2, (writer) => {
          writer.bytesOf(1, Buffer.from('0af40105'.padEnd(32, '0'), 'hex'));
          writer.u16be(2, 8080);
          writer.u16le(11, 2);
          write(writer);
        }),
      );
    const tunnel = dest((writer) => {
      writer.u32le(3, 0x102);
      writer.u32le(5, 9);
      writer.u32le(6, 5);
      writer.u8(13, 2);
    });
    expect(tunnel?.otherOption).toBe('-r 10.244.1.5:8080 -i --tun-type gre -x 9 -y 5');
    expect(dest((writer) => writer.u32le(3, 3))?.otherOption).toBe('-r 10.244.1.5:8080 -g');
    const busy = dest((writer) => {
      writer.u32le(3, 0x100);
      writer.u32le(7, 3);
      writer.u32le(8, 12);
      // Templates of persistence are none.
      writer.u32le(9, 40);
    });
    expect(busy).toMatchObject({ connections: 15, otherOption: undefined });
  });
});

describe('messages that are not what is asked for', () => {
  const server = { protocol: 'tcp', ip: '10.96.0.10' as Ip, port: 80 as Port } as const;
  const realServer = { ip: '10.244.1.5' as Ip, port: 8080 as Port, weight: 3 };
  const whole = bytesOf({ kind: 'real-server', verb: 'add', server, realServer });

  it('are MalformedMessage, cut off anywhere or of any bytes, or nothing', () => {
    const read = (bytes: Buffer) => {
      try {
        for (const message of readMessages(bytes)) {
          readService(message);
          readTimeouts(message);
          readRealServer(message);
        }
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error;
        return error.code;
      }
      return undefined;
    };
    for (let end = 1; end < whole.length; end++) expect(read(whole.subarray(0, end))).toBe('EBADMSG');
    const change = fc.tuple(fc.integer({ min: 16, max: whole.length - 1 }), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), fc.integer({ min: 17, max: whole.length }), (changes, length) => {
        const bytes = Buffer.from(whole.subarray(0, length));
        bytes.writeUInt32LE(length);
        for (const [place, value] of changes) if (place < length) bytes[place] = value;
        read(bytes);
      }),
    );
  });

  it('make no real server that could be thought idle', () => {
    expect(() => readRealServer(dumped(2, (writer) => writer.u16le(11, 2)))).toThrow(
      'a real server without an address',
    );
    const foreign = dumped(2, (writer) => {
      writer.bytesOf(1, Buffer.alloc(16));
      writer.u16be(2, 80);
      writer.u16le(11, 7);
    });
    expect(() => readRealServer(foreign)).toThrow(MalformedMessage);
    const short = dumped(2, (writer) => {
      writer.u16le(11, 10);
      writer.bytesOf(1, Buffer.alloc(4));
      writer.u16be(2, 80);
    });
    expect(() => readRealServer(short)).toThrow('an address is cut off');
  });
});
