import fc from 'fast-check';
import { Attributes } from './attributes.ts';
import { MalformedMessage } from './errors.ts';
import { AF_INET, attributesOf, MessageWriter, NLM_F_ACK, readAnswer, readMessages } from './message.ts';

type NumberKind = 'u8' | 'u16be' | 'u16le' | 'u32be' | 'u32le';

/** An attribute as a value, for round trips. */
type Tree =
  | { readonly kind: 'nested'; readonly type: number; readonly parts: readonly Tree[] }
  | { readonly kind: NumberKind; readonly type: number; readonly value: number }
  | { readonly kind: 'text'; readonly type: number; readonly value: string }
  | { readonly kind: 'bytes'; readonly type: number; readonly value: Uint8Array };

const type = fc.integer({ min: 0, max: 0x3fff });
const number = (kind: NumberKind, max: number) => fc.record({ kind: fc.constant(kind), type, value: fc.nat(max) });
const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3 },
    number('u8', 0xff),
    number('u16be', 0xffff),
    number('u16le', 0xffff),
    number('u32be', 0xffff_ffff),
    number('u32le', 0xffff_ffff),
    fc.record({
      kind: fc.constant('text' as const),
      type,
      value: fc.string({ unit: 'grapheme' }).filter((s) => !s.includes('\0')),
    }),
    fc.record({ kind: fc.constant('bytes' as const), type, value: fc.uint8Array({ maxLength: 40 }) }),
    fc.record({ kind: fc.constant('nested' as const), type, parts: fc.array(tie('tree'), { maxLength: 4 }) }),
  ),
}));

function write(writer: MessageWriter, each: Tree): void {
  switch (each.kind) {
    case 'nested': {
      const at = writer.open(each.type);
      for (const part of each.parts) write(writer, part);
      return writer.close(at);
    }
    case 'bytes':
      return writer.bytesOf(each.type, each.value);
    case 'text':
      return writer.text(each.type, each.value);
    default:
      return writer[each.kind](each.type, each.value);
  }
}

function readBack(attributes: Attributes, expected: readonly Tree[]): Tree[] {
  const found: Tree[] = [];
  for (const each of expected) {
    expect(attributes.next()).toBe(true);
    const { type } = attributes;
    const { kind } = each;
    if (kind === 'nested') found.push({ kind, type, parts: readBack(attributes.nested(), each.parts) });
    else if (kind === 'bytes') found.push({ kind, type, value: new Uint8Array(attributes.bytes()) });
    else if (kind === 'text') found.push({ kind, type, value: attributes.text() });
    else found.push({ kind, type, value: attributes[kind]() });
  }
  expect(attributes.next()).toBe(false);
  return found;
}

function encode(trees: readonly Tree[]): Buffer {
  const writer = new MessageWriter(16);
  const at = writer.beginMessage(0xa0c, NLM_F_ACK, 7, AF_INET, 10);
  for (const each of trees) write(writer, each);
  writer.endMessage(at);
  return Buffer.from(writer.bytes());
}

/** Everything that a reader may do with bytes that came from anywhere. */
function readEverything(attributes: Attributes): void {
  while (attributes.next()) {
    for (const read of ['u8', 'u16be', 'u32be', 'u32le', 'text', 'bytes', 'nested'] as const) {
      try {
        attributes[read]();
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error;
      }
    }
    try {
      readEverything(attributes.nested());
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
    }
  }
}

describe('messages', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 6 }), (trees) => {
        const datagram = encode(trees);
        const messages = [...readMessages(datagram)];
        expect(messages).toMatchObject([
          { type: 0xa0c, flags: NLM_F_ACK, sequence: 7, portId: 0, family: AF_INET, end: datagram.length },
        ]);
        const [message] = messages;
        if (message !== undefined) expect(readBack(attributesOf(message), trees)).toEqual(trees);
      }),
    );
  });

  it('that are cut off, or not messages at all, are MalformedMessage and nothing else', () => {
    const cut = fc
      .tuple(fc.array(tree, { maxLength: 6 }), fc.nat(1000), fc.array(fc.tuple(fc.nat(1000), fc.nat(255))))
      .map(([trees, length, changes]) => {
        const datagram = encode(trees);
        for (const [at, value] of changes) datagram[at % datagram.length] = value;
        return datagram.subarray(0, Math.min(length, datagram.length));
      });
    const anything = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(cut, anything), (datagram) => {
        try {
          for (const message of readMessages(datagram)) {
            readAnswer(message);
            readEverything(attributesOf(message));
          }
        } catch (error) {
          if (!(error instanceof MalformedMessage)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('follow each other, and those before a bad one are read', () => {
    const two = Buffer.concat([encode([]), encode([{ kind: 'u8', type: 1, value: 3 }])]);
    expect([...readMessages(two)].map(({ at }) => at)).toEqual([0, 20]);
    const read: number[] = [];
    expect(() => {
      for (const { at } of readMessages(two.subarray(0, 30))) read.push(at);
    }).toThrow(MalformedMessage);
    expect(read).toEqual([0]);
  });

  it('an attribute longer than its length can say is refused', () => {
    const writer = new MessageWriter();
    expect(() => writer.bytesOf(1, Buffer.alloc(65_532))).toThrow(/65,531 are the most/);
    const at = writer.open(1);
    for (let i = 0; i < 17; i++) writer.bytesOf(1, Buffer.alloc(4000));
    expect(() => writer.close(at)).toThrow(/65,535 are the most/);
  });
});

describe('answers', () => {
  /** What the kernel sends with NETLINK_CAP_ACK and NETLINK_EXT_ACK, linux/netlink.h. */
  const answer = (type: number, error: number, flags: number, ...attributes: readonly Buffer[]) => {
    const tail = Buffer.concat(attributes);
    const length = 16 + 4 + (type === 2 ? 16 : 0);
    const bytes = Buffer.concat([Buffer.alloc(length), tail]);
    bytes.writeUInt32LE(bytes.length, 0);
    bytes.writeUInt16LE(type, 4);
    bytes.writeUInt16LE(flags, 6);
    bytes.writeUInt32LE(42, 8);
    bytes.writeInt32LE(error, 16);
    const [message] = readMessages(bytes);
    return message && readAnswer(message);
  };
  const words = Buffer.from('\x0b\0\x01\0no way\0\0', 'latin1');
  const offset = Buffer.from([8, 0, 2, 0, 0x2c, 1, 0, 0]);

  it('is an ack', () => {
    expect(answer(2, 0, 0x100)).toEqual({ sequence: 42, code: undefined });
  });
  it('is an error with its name, its words and the place in the request', () => {
    expect(answer(2, -17, 0x300, words, offset)).toEqual({
      sequence: 42,
      code: 'EEXIST',
      words: 'no way',
      offset: 300,
    });
    expect(answer(2, -9999, 0x100)).toEqual({ sequence: 42, code: 'errno 9999' });
  });
  it('is the end of a dump', () => {
    expect(answer(3, 0, 2)).toEqual({ sequence: 42, code: undefined });
    expect(answer(3, -4, 2)).toEqual({ sequence: 42, code: 'EINTR' });
  });
});
