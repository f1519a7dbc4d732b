import { namedProtocols, parseElementListing, parseTable } from './parse-json.ts';

const listing = (...nftables: readonly Record<string, unknown>[]) => ({ nftables });
const chain = { chain: { family: 'ip', table: 'vipmap', name: 'services' } };
const rule = (...expr: readonly unknown[]) => ({
  rule: { family: 'ip', table: 'vipmap', chain: 'services', handle: 7, expr },
});
const statementsOf = (...expr: readonly unknown[]) =>
  parseTable('ip', listing(chain, rule(...expr))).chains.get('services')?.rules[0]?.statements;

describe('parseTable', () => {
  it('understands rules that we write', () => {
    expect(
      statementsOf(
        { match: { op: '==', left: { payload: { protocol: 'ip', field: 'daddr' } }, right: '@cluster-ips' } },
        { reject: { type: 'icmp', expr: 'port-unreachable' } },
      ),
    ).toEqual([
      {
        kind: 'match',
        operator: '==',
        left: { kind: 'payload', protocol: 'ip', field: 'daddr' },
        right: '@cluster-ips',
      },
      { kind: 'reject', family: 'ip' },
    ]);
  });

  it('does not pass over a field that it does not know: such a rule is not ours', () => {
    expect(statementsOf({ masquerade: { flags: 'random' } })).toEqual([
      { kind: 'foreign', json: '{"masquerade":{"flags":"random"}}' },
    ]);
    expect(statementsOf({ reject: { type: 'tcp reset' } })).toMatchObject([{ kind: 'foreign' }]);
    expect(statementsOf({ counter: { packets: 1, bytes: 60 } })).toMatchObject([{ kind: 'foreign' }]);
  });

  it('reads protocols that nft prints as numbers', () => {
    expect(statementsOf({ match: { op: '==', left: { meta: { key: 'l4proto' } }, right: 17 } })).toMatchObject([
      { kind: 'match', right: 'udp' },
    ]);
  });

  it('sees a set declared by type, another policy and other objects as not ours', () => {
    const table = parseTable(
      'ip',
      listing(
        { set: { name: 's', type: 'ipv4_addr' } },
        { chain: { name: 'c', type: 'filter', hook: 'input', prio: 0, policy: 'drop' } },
        { flowtable: { name: 'f' } },
      ),
    );
    expect(table.sets.get('s')?.key).toEqual({ kind: 'concat', parts: [] });
    expect(table.chains.get('c')?.base?.priority).toBeNaN();
    expect(table.sets.has('flowtable f')).toBe(true);
  });
});

describe('elements', () => {
  const elementsOf = (...elem: readonly unknown[]) => [
    ...parseElementListing(listing({ metainfo: {} }, { map: { name: 'm', elem } })),
  ];

  it('are text in canonical form', () => {
    expect(
      elementsOf(
        [{ concat: ['10.96.0.1', 6, 80] }, { goto: { target: 'cluster-tcp-2' } }],
        [{ concat: ['10.96.0.2', 6, 80] }, { drop: null }],
        [{ concat: ['::1.2.3.4', 80, 0] }, { concat: ['fd00::1', 8080] }],
        { concat: ['10.96.0.3', 'tcp', 80, { prefix: { addr: '203.0.113.0', len: 25 } }] },
        [
          { elem: { val: { concat: ['10.0.0.1', '10.96.0.1', 80] }, timeout: 600, expires: 12 } },
          { concat: ['10.244.0.1', 80] },
        ],
      ),
    ).toEqual([
      ['10.96.0.1 . 6 . 80', 'goto cluster-tcp-2'],
      ['10.96.0.2 . 6 . 80', 'drop'],
      ['::102:304 . 80 . 0', 'fd00::1 . 8080'],
      ['10.96.0.3 . tcp . 80 . 203.0.113.0/25', ''],
      ['10.0.0.1 . 10.96.0.1 . 80', '10.244.0.1 . 80'],
    ]);
  });

  it('have protocols by name where the key has one', () => {
    const set = {
      name: 's',
      key: {
        kind: 'concat',
        parts: [
          { kind: 'meta', key: 'l4proto' },
          { kind: 'payload', protocol: 'th', field: 'dport' },
        ],
      },
      flags: [],
    } as const;
    expect([...namedProtocols(set, new Map([['6 . 6', '']]))]).toEqual([['tcp . 6', '']]);
  });
});
