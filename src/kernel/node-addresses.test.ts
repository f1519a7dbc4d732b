import { readNodeAddresses } from './node-addresses.ts';

describe("the addresses of the node's interfaces", () => {
  const interfaces = {
    lo: [{ address: '127.0.0.1' }, { address: '::1' }],
    eth0: [{ address: '192.168.0.2' }, { address: 'fe80::1%eth0' }],
    'kube-ipvs0': [{ address: '10.96.0.1' }, { address: '203.0.113.1' }],
    dummy0: [{ address: '203.0.113.1' }, { address: '192.168.0.2' }],
    gone: undefined,
  };

  it('are those of all but the one with services’ addresses, each once', () => {
    expect(readNodeAddresses(interfaces)).toEqual(['127.0.0.1', '::1', '192.168.0.2', 'fe80::1', '203.0.113.1']);
  });

  it('are read from the kernel', () => {
    expect(readNodeAddresses()).toContain('127.0.0.1');
  });
});
