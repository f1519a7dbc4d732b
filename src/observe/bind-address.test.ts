import { parseBindAddress, printListenAddress } from './bind-address.ts';

describe('an address to listen on', () => {
  it.each([
    ['127.0.0.1:10249', '127.0.0.1:10249'],
    ['[fd00::0:1]:80', '[fd00::1]:80'],
    ['192.0.2.1', '192.0.2.1:10256'],
    ['fd00::1', '[fd00::1]:10256'],
    ['0.0.0.0:10256', '*:10256'],
    ['[::]:10256', '*:10256'],
    ['::', '*:10256'],
    [':10249', '*:10249'],
    ['127.0.0.1:0', '127.0.0.1:0'],
  ])('%s is %s', (text, expected) => {
    const address = parseBindAddress(text, 10256);
    expect(address && printListenAddress(address)).toBe(expected);
  });

  it('is none where it is empty', () => {
    expect(parseBindAddress('', 10256)).toBeUndefined();
  });

  it.each([
    ['localhost:80', '"localhost:80" is not an IP address and port, such as 0.0.0.0:10256 or [::]:10256'],
    ['127.0.0.1:', 'is not an IP address and port'],
    ['127.0.0.1:http', 'is not an IP address and port'],
    ['fe80::1:10256:1:2:3:4:5:6', 'is not an IP address and port'],
    ['[127.0.0.1]:80', 'is not an IP address and port'],
    ['[]:80', 'is not an IP address and port'],
    [':65536', '":65536" is not an address with a port of at most 65535'],
  ])('%s is refused', (text, message) => {
    expect(() => parseBindAddress(text, 10256)).toThrow(message);
  });
});
