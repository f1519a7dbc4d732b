import { familyOf, type Ip, parseIp } from './ip.ts';

describe('parseIp', () => {
  it.each([
    ['10.96.0.10', '10.96.0.10'],
    ['172.30.0.041', '172.30.0.41'],
    ['010.1.2.3', '10.1.2.3'],
    ['0.0.0.0', '0.0.0.0'],
    ['FD00:10:96:0:0::A', 'fd00:10:96::a'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::', '::'],
    ['::1.2.3.4', '::102:304'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ])('reads %s as %s', (text, canonical) => {
    expect(parseIp(text)).toBe(canonical);
  });

  it.each([
    '',
    '10.96.0',
    '10.96.0.256',
    '10.96.0.1.2',
    '1.2.3.4 ',
    '0x10.1.1.1',
    'fe80::1%eth0',
    ':::',
    '1::2::3',
    '[::1]',
    'localhost',
  ])('refuses %p', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  it('tells the family', () => {
    expect(['10.0.0.1', 'fd00::1'].map((text) => familyOf(parseIp(text) as Ip))).toEqual(['ip', 'ip6']);
  });
});
