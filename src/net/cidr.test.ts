import fc from 'fast-check';
import { type Cidr, cidrContains, disjointCidrs, hostCidr, isWholeFamily, parseCidr, printCidr } from './cidr.ts';
import { type Ip, parseIp } from './ip.ts';

const cidr = (text: string) => parseCidr(text) as Cidr;

describe('parseCidr', () => {
  it.each([
    ['10.244.1.7/16', '10.244.0.0/16'],
    [' 203.0.113.000/025 ', '203.0.113.0/25'],
    ['192.0.2.1/32', '192.0.2.1'],
    ['2001:DB8:0::1/32', '2001:db8::/32'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', '::/0'],
  ])('reads %s as %s', (text, printed) => {
    expect(printCidr(cidr(text))).toBe(printed);
  });

  it.each(['10.244.0.0', '10.244.0.0/33', '10.244.0.0/-1', '10.244.0/16', 'fd00::/129', '/8', '', '10.0.0.0/8/8'])(
    'refuses %p',
    (text) => {
      expect(parseCidr(text)).toBeUndefined();
    },
  );
});

it('a block of length 0 is the whole family', () => {
  expect([cidr('0.0.0.0/0'), cidr('::/0'), cidr('10.0.0.0/8')].map(isWholeFamily)).toEqual([true, true, false]);
});

describe('disjointCidrs', () => {
  it('leaves out what lies in another block, and sorts by value', () => {
    const blocks = [
      '203.0.113.9/32',
      '203.0.113.0/24',
      '9.0.0.0/8',
      '203.0.113.0/25',
      '10.0.0.0/8',
      'fd00::/8',
      'fd00::1/128',
    ];
    expect(disjointCidrs(blocks.map(cidr)).map(printCidr)).toEqual([
      '9.0.0.0/8',
      '10.0.0.0/8',
      '203.0.113.0/24',
      'fd00::/8',
    ]);
  });

  it('keeps every address, and no two blocks overlap', () => {
    const block = fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }), fc.integer({ min: 8, max: 32 }))
      .map(([a, b, length]) => cidr(`10.0.${a}.${b}/${length}`));
    fc.assert(
      fc.property(fc.array(block, { maxLength: 20 }), (blocks) => {
        const kept = disjointCidrs(blocks);
        for (const { address } of blocks) expect(kept.filter((each) => cidrContains(each, address))).toHaveLength(1);
        for (const { address } of kept) expect(kept.filter((each) => cidrContains(each, address))).toHaveLength(1);
      }),
    );
  });
});

it('a host block is one address', () => {
  const ip = parseIp('192.0.2.1') as Ip;
  expect([
    printCidr(hostCidr(ip)),
    cidrContains(hostCidr(ip), ip),
    cidrContains(hostCidr(ip), parseIp('192.0.2.2') as Ip),
  ]).toEqual(['192.0.2.1', true, false]);
});
