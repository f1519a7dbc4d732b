import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ip } from '../net/ip.ts';
import { planRemoval } from './kube-proxy-leftovers-iptables.ts';
import { ipsetNames } from './kube-proxy-leftovers-ipset.ts';
import {
  isKubeProxyServer,
  parseInterfaces,
  parseVirtualServers,
  removeVirtualServers,
} from './kube-proxy-leftovers-ipvs.ts';

/** As Linux 6.1 prints it. */
const virtualServers = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  0A60000A:0035 rr  persistent 2700000 FFFFFFFF
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:01BB rr 
TCP  0A600001:01BB rr  
  -> C0A80002:192B      Masq    1      0          0         
SCTP  0A600001:2328 rr  
TCP  C0A80002:7580 rr  
TCP  C0A80002:192B wlc  
FWM  00000007 rr 
`;

/** As iproute2 6.1 prints it, but for fields that nobody asks for. */
const addresses = JSON.stringify([
  { ifname: 'lo', addr_info: [{ family: 'inet', local: '127.0.0.1', prefixlen: 8 }] },
  { ifname: 'eth0', addr_info: [{ family: 'inet', local: '192.168.0.2', prefixlen: 24 }] },
  {
    ifname: 'kube-ipvs0',
    linkinfo: { info_kind: 'dummy' },
    addr_info: [
      { family: 'inet', local: '10.96.0.1', prefixlen: 32 },
      { family: 'inet', local: '10.96.0.10', prefixlen: 32 },
      { family: 'inet6', local: 'fd00::1', prefixlen: 128 },
    ],
  },
]);

const none = { servers: new Set<string>(), nodePorts: new Set<string>() };

describe('virtual servers of IPVS', () => {
  it('are read as the kernel prints them', () => {
    expect(parseVirtualServers(virtualServers)).toEqual([
      { protocol: 'udp', address: '10.96.0.10', port: 53 },
      { protocol: 'tcp', address: 'fd00::1', port: 443 },
      { protocol: 'tcp', address: '10.96.0.1', port: 443 },
      { protocol: 'sctp', address: '10.96.0.1', port: 9000 },
      { protocol: 'tcp', address: '192.168.0.2', port: 30080 },
      { protocol: 'tcp', address: '192.168.0.2', port: 6443 },
    ]);
    expect(parseVirtualServers('')).toEqual([]);
  });

  it.each([
    ['on its interface', '10.96.0.1', 443, true],
    ['another port of such an address', '10.96.0.1', 9999, true],
    ['in its sets', '192.168.0.50', 80, true],
    ['another port of an address in its sets', '192.168.0.50', 81, false],
    ['a node port', '192.168.0.2', 30080, true],
    ['the same port elsewhere', '192.168.0.99', 30080, false],
    ['of the node', '192.168.0.2', 6443, false],
  ])('are kube-proxy’s or not: %s', (_, address, port, isOurs) => {
    const known = { servers: new Set(['192.168.0.50 tcp 80']), nodePorts: new Set(['tcp 30080', 'udp 6443']) };
    const server = { protocol: 'tcp', address: address as Ip, port } as const;
    expect(isKubeProxyServer(server, parseInterfaces(addresses), known)).toBe(isOurs);
  });

  it('are nobody’s where the interface is not a dummy', () => {
    const other = addresses.replace('dummy', 'bridge');
    const server = { protocol: 'tcp', address: '10.96.0.1' as Ip, port: 443 } as const;
    expect(isKubeProxyServer(server, parseInterfaces(other), none)).toBe(false);
  });
});

describe('removeVirtualServers', () => {
  let folder: string;
  let file: string;
  const paths = (servers = file) => ({ ip: join(folder, 'ip'), ipvsadm: join(folder, 'ipvsadm'), servers });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vipmap-'));
    file = join(folder, 'ip_vs');
    await writeFile(file, virtualServers);
    await writeFile(join(folder, 'addresses'), addresses);
    await fake('ip', `if [ "$2" = delete ]; then echo "$*" >> ${folder}/calls; else cat ${folder}/addresses; fi`);
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function fake(name: string, script: string): Promise<void> {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, name), 0o755);
  }

  const calls = () => readFile(join(folder, 'calls'), 'utf8').catch(() => '');

  it('removes its servers, then its interface', async () => {
    const left = virtualServers.split('\n').slice(0, 3).join('\n');
    await fake('ipvsadm', `while read -r l; do echo "$l" >> ${folder}/calls; done; echo "${left}" > ${file}`);
    const report = await removeVirtualServers(none, paths());
    expect(report).toEqual({
      removed: [
        '4 virtual servers of IPVS (10.96.0.10:53/udp, [fd00::1]:443/tcp, 10.96.0.1:443/tcp, 10.96.0.1:9000/sctp)',
        'interface kube-ipvs0 with 3 addresses',
      ],
      kept: [
        '2 virtual servers of IPVS (192.168.0.2:30080/tcp, 192.168.0.2:6443/tcp): nothing shows kube-proxy to have made them',
      ],
      failed: [],
      notLookedFor: [],
      hasServers: false,
    });
    expect(await calls()).toBe(`-D -u 10.96.0.10:53
-D -t [fd00::1]:443
-D -t 10.96.0.1:443
-D --sctp-service 10.96.0.1:9000
link delete kube-ipvs0
`);
  });

  it('leaves alone what is ours on the same interface', async () => {
    await fake('ipvsadm', `while read -r l; do echo "$l" >> ${folder}/calls; done; : > ${file}`);
    await fake('ip', `case "$1" in -force) cat >> ${folder}/calls ;; *) cat ${folder}/addresses ;; esac`);
    const ours = {
      ips: new Set(['10.96.0.1', 'fd00::1']),
      servers: new Set(['10.96.0.1 . tcp . 443', '10.96.0.1 . sctp . 9000', 'fd00::1 . tcp . 443']),
    };
    expect((await removeVirtualServers(none, paths(), ours)).removed).toEqual([
      '1 virtual server of IPVS (10.96.0.10:53/udp)',
      '1 address of kube-ipvs0 (10.96.0.10)',
    ]);
    expect(await calls()).toBe('-D -u 10.96.0.10:53\naddress delete 10.96.0.10/32 dev kube-ipvs0\n');
  });

  it('keeps the interface, by which they are told, while some are left', async () => {
    await fake('ipvsadm', `echo "Memory allocation problem" >&2; exit 1`);
    const report = await removeVirtualServers(none, paths());
    expect(report.removed).toEqual([]);
    expect(report.hasServers).toBe(true);
    expect(report.failed[0]).toContain('10.96.0.1:9000/sctp): Memory allocation problem; kube-ipvs0 and the sets');
    expect(await calls()).toBe('');
  });

  it('says that ipvsadm is missing only where it is needed', async () => {
    expect((await removeVirtualServers(none, paths())).failed[0]).toContain('ipvsadm is not installed');
    const without = await removeVirtualServers(none, paths('/nowhere'));
    expect(without).toMatchObject({
      removed: ['interface kube-ipvs0 with 3 addresses'],
      failed: [],
      hasServers: false,
    });
  });

  it('leaves another program’s interface of that name', async () => {
    await writeFile(join(folder, 'addresses'), addresses.replace('dummy', 'bridge'));
    const { removed, kept } = await removeVirtualServers(none, paths('/nowhere'));
    expect([removed, kept]).toEqual([
      [],
      ['interface kube-ipvs0: it is a bridge, and kube-proxy makes a dummy of that name'],
    ]);
    expect(await calls()).toBe('');
  });

  it('does nothing about servers where ip is missing', async () => {
    await rm(join(folder, 'ip'));
    expect(await removeVirtualServers(none, paths('/nowhere'))).toMatchObject({
      notLookedFor: ['interface kube-ipvs0: ip is not installed'],
      failed: [],
      hasServers: false,
    });
    expect(await removeVirtualServers(none, paths())).toMatchObject({ failed: [expect.anything()], hasServers: true });
  });
});

describe('planRemoval', () => {
  const saved = (rules: string) => `# Generated by iptables-nft-save
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:MINE - [0:0]
${rules}COMMIT
`;

  it('empties the chains, takes away what leads to them, then them', () => {
    const rules = `-A PREROUTING -m comment --comment "say \\"-j KUBE-SERVICES\\"" -j MINE
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-A
`;
    expect(planRemoval(saved(rules))).toEqual([
      {
        table: 'nat',
        chains: 4,
        jumps: 1,
        kept: [],
        script: `*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-X KUBE-MARK-MASQ
-X KUBE-POSTROUTING
-X KUBE-SERVICES
-X KUBE-SVC-A
COMMIT
`,
      },
    ]);
  });

  it('keeps what others lead to, and what that leads to', () => {
    const [plan] = planRemoval(saved('-A MINE -g KUBE-SVC-A\n-A KUBE-SVC-A -j KUBE-MARK-MASQ\n'));
    expect(plan?.kept).toEqual([
      { chain: 'KUBE-SVC-A', usedBy: 'MINE' },
      { chain: 'KUBE-MARK-MASQ', usedBy: 'KUBE-SVC-A' },
      { chain: 'KUBE-POSTROUTING', usedBy: 'KUBE-MARK-MASQ' },
    ]);
    expect(plan?.script).toBe('*nat\n:KUBE-SERVICES - [0:0]\n-X KUBE-SERVICES\nCOMMIT\n');
  });

  it('takes a rule of an administrator for one of others', () => {
    const [plan] = planRemoval(saved('-A PREROUTING -d 1.2.3.4/32 -j KUBE-MARK-MASQ\n'));
    expect(plan?.kept[0]).toEqual({ chain: 'KUBE-MARK-MASQ', usedBy: 'PREROUTING' });
  });

  it.each([
    'KUBE-FIREWALL',
    'KUBE-KUBELET-CANARY',
    'KUBE-IPTABLES-HINT',
    'KUBE-MARK-DROP',
    'KUBE-POD-FW-A',
    'KUBE-HP-A',
  ])('leaves %s', (chain) => {
    expect(planRemoval(`*filter\n:INPUT ACCEPT [0:0]\n:${chain} - [0:0]\n-A INPUT -j ${chain}\nCOMMIT\n`)).toEqual([]);
  });

  it('has nothing to do in empty tables', () => {
    expect(planRemoval('')).toEqual([]);
    expect(planRemoval("# Table `nat' is incompatible, use 'nft' tool.\n")).toEqual([]);
  });

  it('is done with 50,000 services in a moment', () => {
    const chains = Array.from({ length: 50_000 }, (_, i) => `KUBE-SVC-${i}`);
    const text = `*nat\n:KUBE-SERVICES - [0:0]\n:MINE - [0:0]\n${chains.map((name) => `:${name} - [0:0]\n`).join('')}-A MINE -j KUBE-SERVICES\n${chains.map((name) => `-A KUBE-SERVICES -j ${name}\n`).join('')}COMMIT\n`;
    const start = performance.now();
    expect(planRemoval(text)[0]?.kept.length).toBe(50_001);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

it('names kube-proxy’s sets of both families, cut at 31 characters', () => {
  expect(ipsetNames).toContain('KUBE-LOOP-BACK');
  expect(ipsetNames).toContain('KUBE-6-LOAD-BALANCER-SOURCE-CID');
  expect(Math.max(...[...ipsetNames].map((name) => name.length))).toBe(31);
});
