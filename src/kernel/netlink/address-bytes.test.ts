import fc from 'fast-check';
import { parseIp } from '../../net/ip.ts';
import { readAddress, writeAddress } from './address-bytes.ts';

const octets = (length: number) =>
  fc
    .array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: length, maxLength: length })
    .map((all) => Buffer.from(all));

describe('addresses as bytes', () => {
  it('IPv4 is what parseIp gives, and goes back', () => {
    fc.assert(
      fc.property(octets(4), (bytes) => {
        const text = readAddress(bytes, 0, 'ip');
        expect(text).toBe(parseIp([...bytes].join('.')));
        const back = Buffer.alloc(6);
        expect(writeAddress(back, 1, 'ip', text)).toBe(true);
        expect(back.subarray(1, 5)).toEqual(bytes);
      }),
    );
  });

  const mapped = octets(4).map((tail) => Buffer.concat([Buffer.alloc(10), Buffer.from([255, 255]), tail]));
  it('IPv6 is what parseIp gives, and goes back', () => {
    fc.assert(
      fc.property(fc.oneof(octets(16), mapped), (bytes) => {
        const text = readAddress(bytes, 0, 'ip6');
        expect(text).toBe(parseIp(bytes.toString('hex').replace(/(....)(?!$)/g, '$1:')));
        const back = Buffer.alloc(18, 7);
        expect(writeAddress(back, 1, 'ip6', text)).toBe(true);
        expect(back.subarray(1, 17)).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['ip', '10.0.0'],
    ['ip', '10.0.0.256'],
    ['ip', '10.0.0.1.2'],
    ['ip', '10.0.0.'],
    ['ip', '10.0.0.0001'],
    ['ip', 'fd00::1'],
    ['ip', ''],
    ['ip6', ''],
    ['ip6', '1:2:3:4:5:6:7'],
    ['ip6', '1:2:3:4:5:6:7:8:9'],
    ['ip6', '1::2::3'],
    ['ip6', '1:2:3:4::5:6:7:8'],
    ['ip6', 'fd00::g'],
    ['ip6', 'fe80::1%eth0'],
    ['ip6', '10.0.0'],
  ] as const)('%s: %p is none', (family, text) => {
    expect(writeAddress(Buffer.alloc(16), 0, family, text)).toBe(false);
  });

  it('an address with a dotted tail is read as nft prints it', () => {
    const bytes = Buffer.alloc(16);
    expect(writeAddress(bytes, 0, 'ip6', '64:ff9b::192.0.2.33')).toBe(true);
    expect(readAddress(bytes, 0, 'ip6')).toBe('64:ff9b::c000:221');
  });
});
