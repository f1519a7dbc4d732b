import fc from 'fast-check';
import type { Ip } from '../../net/ip.ts';
import type { Port } from '../../net/port.ts';
import { parseConnections } from './parse-connections.ts';
import { parseSave } from './parse-save.ts';
import { printSave } from './print-save.ts';
import { printStep } from './print-step.ts';
import type { Step } from './plan.ts';
import { realServerKey, type VirtualServer, virtualServerKey } from './virtual-server.ts';

/** As ipvsadm 1.31 prints it, on Linux 6.1, of virtual servers of many programs. */
const saved = `-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.244.1.5:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.244.1.6:8080 -m -w 0
-A -t 10.96.0.2:80 -s mh -p 10800 -b mh-port
-A -t 10.96.0.5:80 -s rr -b flag-1,flag-2,flag-3
-A -t 10.96.0.6:80 -s mh -b${' '}
-A -t 10.96.0.10:0 -s rr -p 360
-A -t 10.96.0.11:80 -s wlc
-a -t 10.96.0.11:80 -r 10.9.9.6:80 -i -w 1 --tun-type gre --tun-nocsum
-a -t 10.96.0.11:80 -r 10.9.9.7:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.96.0.11:80 -r 10.9.9.9:80 -g -w 3
-A -u 10.96.0.8:53 -s rr -o
-A -u 10.96.0.9:5060 -s rr -p 60 -M 255.255.0.0 --pe sip
-A --sctp-service [fd00::12]:80 -s rr -p 100 -M 64
-a --sctp-service [fd00::12]:80 -r [fd00:10:244:0:5555:6666:7777:8888]:65535 -m -w 1
-A -f 7 -s rr
-a -f 7 -r 10.1.1.1:80 -g -w 1
-A -f 8 -6 -s rr
`;

const read = (text: string) => {
  const { servers, problems } = parseSave(text);
  return { servers: [...servers.values()].map((each) => ({ ...each, realServers: [...each.realServers] })), problems };
};

describe('parseSave', () => {
  it('reads what ipvsadm prints', () => {
    const { servers, problems } = read(saved);
    expect(problems).toEqual([]);
    const plain = { schedulerFlags: [], realServers: [], otherOptions: [] };
    const tcp = (ip: string, port = 80) => ({ ...plain, protocol: 'tcp', ip, port, scheduler: 'rr' });
    const udp = (ip: string, port: number) => ({ ...tcp(ip, port), protocol: 'udp' });
    const real = (ip: string, port: number, weight: number) => [`${ip} . ${port}`, { ip, port, weight }];
    expect(servers).toEqual([
      { ...tcp('10.96.0.1'), realServers: [real('10.244.1.5', 8080, 1), real('10.244.1.6', 8080, 0)] },
      { ...tcp('10.96.0.2'), scheduler: 'mh', schedulerFlags: ['mh-port'], persistenceSeconds: 10800 },
      { ...tcp('10.96.0.5'), schedulerFlags: ['flag-1', 'flag-2', 'flag-3'] },
      { ...tcp('10.96.0.6'), scheduler: 'mh', otherOptions: ['-b'] },
      { ...tcp('10.96.0.10', 0), persistenceSeconds: 360 },
      {
        ...tcp('10.96.0.11'),
        scheduler: 'wlc',
        realServers: [real('10.9.9.6', 80, 1), real('10.9.9.7', 80, 1), real('10.9.9.9', 80, 3)],
        otherOptions: [
          '-r 10.9.9.6:80 -i --tun-type gre --tun-nocsum',
          '-r 10.9.9.7:80 -i --tun-type gue --tun-port 6080 --tun-csum',
          '-r 10.9.9.9:80 -g',
        ],
      },
      { ...udp('10.96.0.8', 53), otherOptions: ['-o'] },
      { ...udp('10.96.0.9', 5060), persistenceSeconds: 60, otherOptions: ['-M 255.255.0.0', '--pe sip'] },
      {
        ...tcp('fd00::12'),
        protocol: 'sctp',
        persistenceSeconds: 100,
        realServers: [real('fd00:10:244:0:5555:6666:7777:8888', 65535, 1)],
        otherOptions: ['-M 64'],
      },
    ]);
  });

  it("reads what only people write: ipvsadm's defaults, scheduler flags by number, thresholds", () => {
    const text = `-A -t 10.96.0.1:80 -p
-a -t 10.96.0.1:80 -r 10.244.1.5:8080
-a -t 10.96.0.1:80 -r 10.244.1.6:8080 -m -x 9 -y 5
-A -u 10.96.0.1:80 -s mh -b flag-2,flag-1 -p 5 -M 255.255.255.255`;
    const { servers, problems } = read(text);
    expect(problems).toEqual([]);
    expect(servers).toMatchObject([
      {
        scheduler: 'wlc',
        persistenceSeconds: 360,
        realServers: [
          ['10.244.1.5 . 8080', { weight: 1 }],
          ['10.244.1.6 . 8080', { weight: 1 }],
        ],
        otherOptions: ['-r 10.244.1.5:8080 -g', '-r 10.244.1.6:8080 -x 9 -y 5'],
      },
      { schedulerFlags: ['mh-fallback', 'mh-port'], persistenceSeconds: 5, otherOptions: [] },
    ]);
  });

  it('names lines that it cannot read, and reads the others', () => {
    const text = `-A -t nonsense -s rr
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -m
-a -t 10.96.0.2:80 -r 10.1.1.1:1 -m
-Z -t 10.96.0.1:80
-A -t 10.96.0.1:99999 -s rr
-A -t [::ffff:10.96.0.1]:80 -s lc
-A --xxx-service 10.96.0.1:80 -s rr`;
    const { servers, problems } = read(text);
    expect(servers).toHaveLength(1);
    expect(problems).toEqual([
      '"-A -t nonsense -s rr": no virtual server is named',
      '"-a -t 10.96.0.1:80 -m": no real server is named',
      '"-a -t 10.96.0.2:80 -r 10.1.1.1:1 -m": its virtual server does not stand before it',
      '"-Z -t 10.96.0.1:80": neither -A nor -a',
      '"-A -t 10.96.0.1:99999 -s rr": no virtual server is named',
      '"-A -t [::ffff:10.96.0.1]:80 -s lc": no virtual server is named',
      '"-A --xxx-service 10.96.0.1:80 -s rr": no virtual server is named',
    ]);
  });

  it('never throws', () => {
    const word = fc.constantFrom(
      '-A',
      '-a',
      '-t',
      '10.96.0.1:80',
      '-r',
      '[fd00::1]:5',
      '-b',
      '-p',
      'x',
      '',
      '-f',
      '-w',
    );
    const line = fc.array(fc.oneof(word, fc.string()), { maxLength: 8 }).map((words) => words.join(' '));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
        parseSave(lines.join('\n'));
      }),
    );
  });
});

describe('printSave', () => {
  const address = (isIpv6: boolean) =>
    fc.record({
      ip: fc.integer({ min: 1, max: 12 }).map((n) => (isIpv6 ? `fd00::${n.toString(16)}` : `10.96.0.${n}`) as Ip),
      port: fc.constantFrom(1, 80, 53, 65535).map((port) => port as Port),
    });
  const scheduling = fc.constantFrom(
    { scheduler: 'rr', schedulerFlags: [] },
    { scheduler: 'mh', schedulerFlags: ['mh-fallback', 'mh-port'] },
    { scheduler: 'lblcr', schedulerFlags: [], persistenceSeconds: 10800 },
    { scheduler: 'sh', schedulerFlags: ['sh-port'], persistenceSeconds: 1 },
  );
  const server: fc.Arbitrary<VirtualServer> = fc.boolean().chain((isIpv6) => {
    const realServer = fc.tuple(address(isIpv6), fc.integer({ min: 0, max: 65535 }));
    const protocol = fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const);
    return fc
      .tuple(address(isIpv6), protocol, scheduling, fc.array(realServer, { maxLength: 5 }))
      .map(([id, protocol, how, real]) => ({
        ...id,
        protocol,
        ...how,
        realServers: new Map(real.map(([each, weight]) => [realServerKey(each), { ...each, weight }])),
      }));
  });
  const servers = fc
    .array(server, { maxLength: 12 })
    .map((all) => new Map(all.map((each) => [virtualServerKey(each), each])));

  it('is read back as it was, whatever it is', () => {
    fc.assert(
      fc.property(servers, (all) => {
        const parsed = parseSave(printSave(all));
        const withOthers = [...all].map(([key, each]) => [key, { ...each, otherOptions: [] }] as const);
        expect(parsed).toEqual({ servers: new Map(withOthers), problems: [] });
      }),
    );
  });

  it('gives the same text for the same servers in any order', () => {
    fc.assert(
      fc.property(servers, (all) => {
        expect(printSave(new Map([...all].reverse()))).toBe(printSave(all));
      }),
    );
  });

  it('sorts by value, as ipvsadm does', () => {
    const text = `-A -t 10.96.0.9:80 -s rr
-a -t 10.96.0.9:80 -r 10.244.1.9:80 -m -w 1
-a -t 10.96.0.9:80 -r 10.244.1.10:80 -m -w 1
-A -t 10.96.0.10:80 -s rr -p 300 -b flag-1
-A -t 10.96.0.10:443 -s rr
-A -u 10.96.0.9:53 -s rr
-A --sctp-service 10.96.0.9:80 -s rr
-A -t [fd00::9]:80 -s rr
-a -t [fd00::9]:80 -r [fd00:1::1]:80 -m -w 0
-A -t [fd00::10]:80 -s rr
`;
    const { servers } = parseSave(text);
    expect(printSave(new Map([...servers].reverse()))).toBe(text);
  });
});

it('a step is printed as somebody could do it by hand', () => {
  const server = { protocol: 'sctp', ip: 'fd00::a' as Ip, port: 80 as Port } as const;
  const realServer = { ip: 'fd00:1::5' as Ip, port: 8080 as Port, weight: 0 };
  const scheduling = { scheduler: 'mh', schedulerFlags: ['mh-port'], persistenceSeconds: 60 };
  const ip4 = '10.96.0.10' as Ip;
  const steps: readonly Step[] = [
    { kind: 'interface', verb: 'add' },
    { kind: 'address', verb: 'add', ip: ip4 },
    { kind: 'address', verb: 'add', ip: server.ip },
    { kind: 'virtual-server', verb: 'add', server, scheduling },
    { kind: 'virtual-server', verb: 'edit', server: { ...server, ip: ip4 }, scheduling },
    { kind: 'real-server', verb: 'add', server, realServer },
    { kind: 'real-server', verb: 'edit', server, realServer },
    { kind: 'real-server', verb: 'delete', server, realServer },
    { kind: 'virtual-server', verb: 'delete', server },
    { kind: 'address', verb: 'delete', ip: server.ip },
    { kind: 'interface', verb: 'delete' },
  ];
  expect(steps.map(printStep)).toEqual([
    'ip link add kube-ipvs0 type dummy',
    'ip address add 10.96.0.10/32 dev kube-ipvs0',
    'ip address add fd00::a/128 dev kube-ipvs0 nodad',
    'ipvsadm -A --sctp-service [fd00::a]:80 -s mh -p 60 -b mh-port',
    'ipvsadm -E --sctp-service 10.96.0.10:80 -s mh -p 60 -b mh-port',
    'ipvsadm -a --sctp-service [fd00::a]:80 -r [fd00:1::5]:8080 -m -w 0',
    'ipvsadm -e --sctp-service [fd00::a]:80 -r [fd00:1::5]:8080 -m -w 0',
    'ipvsadm -d --sctp-service [fd00::a]:80 -r [fd00:1::5]:8080',
    'ipvsadm -D --sctp-service [fd00::a]:80',
    'ip address delete fd00::a/128 dev kube-ipvs0',
    'ip link delete kube-ipvs0',
  ]);
});

it('connections are read as ipvsadm prints them', () => {
  const text = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
FWM  7 rr
  -> 10.1.1.1:80                  Route   1      9          9         
TCP  10.96.0.1:80 rr persistent 10800
  -> 10.244.1.5:8080              Masq    1      3          12        
  -> 10.244.1.6:8080              Masq    0      0          0         
TCP  10.96.0.2:80 mh (mh-port)
UDP  [fd00::a]:53 rr ops
  -> [fd00:1111:2222:3333:4444:5555:6666:7778]:65535 Masq    1      0          1         
`;
  expect(parseConnections(text)).toEqual(
    new Map([
      ['10.96.0.1 . tcp . 80', new Map([['10.244.1.5 . 8080', 15]])],
      ['fd00::a . udp . 53', new Map([['fd00:1111:2222:3333:4444:5555:6666:7778 . 65535', 1]])],
    ]),
  );
  expect(parseConnections('')).toEqual(new Map());
});
