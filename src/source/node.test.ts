import type { Ip } from '../net/ip.ts';
import { nodeIpsOf } from './node.ts';
import type { Node } from './objects.ts';

const ips = (...texts: readonly string[]) => texts as readonly Ip[];
const unspecified = '0.0.0.0' as Ip;
const node = (...addresses: readonly string[]): Node => ({
  name: 'node-1',
  addresses: ips(...addresses),
  podCidrs: [],
});

describe("the node's own addresses", () => {
  it('are the first of each family in its status', () => {
    expect(nodeIpsOf(node('192.168.0.2', '192.168.1.2', 'fd00::2'), unspecified, ips('10.0.0.1'))).toEqual({
      ip: '192.168.0.2',
      ip6: 'fd00::2',
    });
  });

  it('are what bindAddress says in its family', () => {
    expect(nodeIpsOf(node('192.168.0.2', 'fd00::2'), '192.168.1.2' as Ip, [])).toEqual({
      ip: '192.168.1.2',
      ip6: 'fd00::2',
    });
  });

  it('are the first that were named, where there is no Node or it has none', () => {
    const named = ips('127.0.0.1', '192.168.0.2', '192.168.1.2', 'fd00::2');
    expect(nodeIpsOf(undefined, unspecified, named)).toEqual({ ip: '192.168.0.2', ip6: 'fd00::2' });
    expect(nodeIpsOf(node(), unspecified, named)).toEqual({ ip: '192.168.0.2', ip6: 'fd00::2' });
    expect(nodeIpsOf(undefined, unspecified, [])).toEqual({});
  });
});
