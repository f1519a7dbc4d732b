import fc from 'fast-check';
import { concat, type Expression, l4proto, payload, priority } from '../../ruleset/nftables/expression.ts';
import type { SetDeclaration } from '../../ruleset/nftables/ruleset.ts';
import { type Layout, layoutOfSet, layoutOfType, readText, writeText } from './set-layout.ts';

const slot: Expression = { kind: 'random', modulus: 3 };
const set = (key: Expression, more: Partial<SetDeclaration> = {}): SetDeclaration => ({
  name: 's',
  key,
  flags: [],
  ...more,
});
const keyLayout = (key: Expression) => layoutOfSet(set(key))?.key as Layout;

/** Expressions of all kinds that keys are made of, with their bytes' texts. */
const parts: readonly (readonly [Expression, fc.Arbitrary<string>])[] = [
  [payload('ip', 'daddr'), fc.ipV4()],
  [{ kind: 'ct-original', key: 'ip saddr' }, fc.ipV4()],
  [payload('ip6', 'saddr'), fc.constantFrom('fd00:10:96::a', '::', '::1', '1:2:3:4:5:6:7:8', '10.0.0.1')],
  [{ kind: 'ct-original', key: 'ip6 daddr' }, fc.constant('fd00::1')],
  [payload('th', 'dport'), fc.nat(65_535).map(String)],
  [{ kind: 'ct-original', key: 'proto-dst' }, fc.nat(65_535).map(String)],
  [l4proto, fc.constantFrom('tcp', 'udp', 'sctp', '1', '255')],
  [slot, fc.nat(0xffff_ffff).map(String)],
  [
    priority,
    fc.tuple(fc.nat(0xffff), fc.nat(0xffff)).map((halves) => halves.map((half) => half.toString(16)).join(':')),
  ],
];
const key = fc
  .array(fc.constantFrom(...parts), { minLength: 1, maxLength: 5 })
  .chain((chosen) => fc.tuple(fc.constant(chosen.map(([part]) => part)), fc.tuple(...chosen.map(([, text]) => text))));

describe('layouts', () => {
  it('give back every text that was written', () => {
    fc.assert(
      fc.property(key, ([expressions, texts]) => {
        const layout = keyLayout(expressions.length === 1 ? (expressions[0] as Expression) : concat(...expressions));
        const bytes = Buffer.alloc(layout.length + 3);
        expect(writeText(bytes, 3, layout, texts.join(' . '))).toBe(true);
        expect(readText(bytes, 3, layout)).toBe(texts.join(' . '));
      }),
    );
  });

  it.each([
    [
      concat(payload('ip', 'daddr'), l4proto, payload('th', 'dport')),
      '10.96.0.10 . tcp . 80',
      '0a60000a' + '06000000' + '00500000',
    ],
    // The slot is in the host's byte order.
    [concat(payload('tcp', 'dport'), slot), '80 . 258', '00500000' + '02010000'],
    [payload('tcp', 'dport'), '30000', '7530'],
    [l4proto, 'udp', '11'],
    // So is a priority: its second number comes first.
    [priority, '1:a', '0a000100'],
    [
      concat(payload('ip6', 'daddr'), payload('tcp', 'dport')),
      'fd00::1 . 53',
      'fd00000000000000' + '0000000000000001' + '00350000',
    ],
  ])('are those of the kernel: %#', (expression, text, hex) => {
    const layout = keyLayout(expression);
    const bytes = Buffer.alloc(layout.length);
    expect(writeText(bytes, 0, layout, text)).toBe(true);
    expect(bytes.toString('hex')).toBe(hex);
  });

  it.each([
    '10.0.0.1',
    '10.0.0.1 . 80 . 1',
    '10.0.0.1 . 65536',
    '10.0.0.1 . -1',
    '10.0.0.1 . ',
    '10.0.0.1 . 8o',
    ' . ',
    '',
  ])('do not take %p for an address and a port', (text) => {
    const layout = keyLayout(concat(payload('ip', 'daddr'), payload('tcp', 'dport')));
    expect(writeText(Buffer.alloc(8), 0, layout, text)).toBe(false);
  });

  it('are not known for what none of our sets has', () => {
    const port = payload('th', 'dport');
    expect(layoutOfSet(set(port, { flags: ['interval'] }))).toBeUndefined();
    expect(layoutOfSet(set({ kind: 'concat', parts: [] }))).toBeUndefined();
    expect(layoutOfSet(set(concat(port, { kind: 'meta', key: 'iifname' })))).toBeUndefined();
    expect(layoutOfSet(set(port, { data: { kind: 'concat', parts: [] } }))).toMatchObject({ data: undefined });
    expect(layoutOfSet(set(port, { data: 'verdict' }))).toMatchObject({ data: 'verdict' });
    expect(layoutOfSet(set(port))).toMatchObject({ data: 'none' });
  });

  it('are told from the type that nft gives a map', () => {
    expect(layoutOfType((7 << 6) | 13)).toEqual(keyLayout(concat(payload('ip', 'daddr'), payload('tcp', 'dport'))));
    expect(layoutOfType(8)).toEqual(keyLayout(payload('ip6', 'daddr')));
    expect(layoutOfType(19)).toBeUndefined();
    expect(layoutOfType(0)).toBeUndefined();
  });
});
