import { shapes } from './names.ts';
import { type BalancingChain, balancingChainName, balancingNumber, parseBalancingNumber } from './balancing.ts';

const chains = shapes.flatMap((shape) =>
  (['cluster', 'local'] as const).flatMap((list) =>
    (['tcp', 'udp', 'sctp'] as const).flatMap((protocol) =>
      [false, true].flatMap((hasAffinity) =>
        [1, 10, 65_535].map((count): BalancingChain => ({ shape, list, protocol, hasAffinity, count })),
      ),
    ),
  ),
);

describe('numbers of balancing chains', () => {
  it('stand for one chain each', () => {
    expect(new Set(chains.map(balancingNumber)).size).toBe(chains.length);
    for (const chain of chains) expect(parseBalancingNumber(balancingNumber(chain))).toEqual(chain);
  });

  it.each([
    ['1:a', 'cluster-tcp-10'],
    ['12:1', 'local-udp-1'],
    ['103:2', 'affinity-cluster-sctp-2'],
    ['1112:3', 'affinity-nodeport-local-udp-3'],
  ])('%s is %s', (number, name) => {
    const chain = parseBalancingNumber(number);
    expect(chain && balancingChainName(chain)).toBe(name);
  });

  it.each(['', '0:1', '0:2', '4:1', '1', '1:', '21:1', '01:1', '1:0a', 'goto reject-chain'])('%p is none', (number) => {
    expect(parseBalancingNumber(number)).toBeUndefined();
  });
});
