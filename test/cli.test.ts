import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vipmap } from './kernel/vipmap.ts';

/** The command line as a user meets it. What needs a kernel is in kernel/run-fixtures.ts. */
const fixtures = join(import.meta.dirname, '..', 'fixtures');
const cluster = join(fixtures, 'cluster-ip-tcp', 'cluster.yaml');
const later = join(fixtures, 'endpoints-come-and-go', 'step-2.yaml');
const config = ['--config', join(fixtures, 'config.yaml')];
const oldNft = join(import.meta.dirname, 'kernel', 'fake-nft', 'old');
// Answers that it is new enough, and refuses all else.
const harmlessNft = join(import.meta.dirname, 'kernel', 'fake-nft', 'refusing');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vipmap-cli-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

describe('compile', () => {
  it('prints a script and nothing else on standard output', async () => {
    const { exitCode, stdout, stderr } = await vipmap(['compile', '--state', cluster, ...config]);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^add table ip vipmap\n/);
    expect(stdout).toContain('10.96.0.10 . 80 . 0 : 10.244.1.5 . 8080');
    expect(stdout.split('\n').filter((line) => !/^(add |delete table |  |\}|$)/.test(line))).toEqual([]);
  });

  it('prints a script that replaces whatever tables there are', async () => {
    const { stdout } = await vipmap(['compile', '--state', cluster, ...config]);
    expect(stdout.split('\n').slice(0, 5)).toEqual([
      'add table ip vipmap',
      'delete table ip vipmap',
      'add table ip6 vipmap',
      'delete table ip6 vipmap',
      'add table ip vipmap',
    ]);
  });

  it('prints JSON for nft -j', async () => {
    const { stdout } = await vipmap(['compile', '--state', cluster, ...config, '-o', 'json']);
    expect((JSON.parse(stdout) as { nftables: unknown[] }).nftables.length).toBeGreaterThan(100);
  });

  it('prints a summary', async () => {
    const { stdout } = await vipmap(['compile', '--state', cluster, ...config, '-o', 'summary']);
    expect(stdout).toMatch(/^node node-1, zone unknown\n\nIPv4: 1 service port with 2 endpoints\n/);
  });

  it('reads standard input, folders and several states, and gives the same for the same objects', async () => {
    const text = readFileSync(cluster, 'utf8');
    const documents = text.split('---\n');
    const one = file('one.yaml', documents.slice(0, 2).join('---\n'));
    file('two.yml', documents.slice(2).join('---\n'));
    const direct = await vipmap(['compile', '--state', cluster, ...config]);
    const input = await vipmap(['compile', '--state', '-', ...config], text);
    const folderRead = await vipmap(['compile', '--state', folder, ...config]);
    const several = await vipmap(['compile', '--state', join(folder, 'two.yml'), '--state', one, ...config]);
    for (const { exitCode, stdout } of [input, folderRead, several])
      expect([exitCode, stdout]).toEqual([0, direct.stdout]);
  });

  it('names a bad object and compiles the rest', async () => {
    const { exitCode, stdout, stderr } = await vipmap([
      'compile',
      '--state',
      join(fixtures, 'bad-objects-beside-good-ones', 'cluster.yaml'),
      ...config,
    ]);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/warning: Service shop\/bad: .*"10\.96\.0\.300"/);
    expect(stderr).toMatch(/warning: Service shop\/half: .*70000.* is not a port/);
    expect(stdout).toContain('10.96.0.10 . tcp . 80 : 1:2');
  });

  it('takes flags over the file', async () => {
    const { stdout } = await vipmap([
      'compile',
      '--state',
      cluster,
      ...config,
      '--cluster-cidr',
      '10.99.0.0/16',
      '--masquerade-all',
    ]);
    expect(stdout).toContain('pod-cidrs { 10.99.0.0/16 }');
    expect(stdout).toContain('add rule ip vipmap masquerade-cluster-ips masquerade fully-random');
  });

  it('has no colours where nobody looks', async () => {
    const { stdout, stderr } = await vipmap(['explain', '10.96.0.10:80', '--from', '10.244.1.9', '--state', cluster]);
    expect(stdout + stderr).not.toContain('\u001b[');
  });

  it('prints mode ipvs in parts, each of which can be loaded', async () => {
    const input = ['compile', '--state', cluster, '--mode', 'ipvs', '--ipvs-scheduler', 'mh'];
    const all = await vipmap(input);
    const parts = await Promise.all(['ip', 'ipvsadm', 'nft'].map((form) => vipmap([...input, '-o', form])));
    const [addresses = '', servers = '', table = ''] = parts.map(({ stdout }) => stdout);
    expect(all.stdout.replaceAll(/^#.*\n/gm, '')).toBe([addresses, servers, table].join('\n'));
    expect(addresses).toMatch(/^link add kube-ipvs0 type dummy\n(address add \S+\/32 dev kube-ipvs0\n)+$/);
    expect(servers).toMatch(/^(-A -[tu] \S+:\d+ -s mh -b mh-port\n(-a -[tu] \S+:\d+ -r \S+:\d+ -m -w 1\n)+)+$/);
    expect(table).toContain('add set ip vipmap ipvs-servers ');
  });

  it('logs JSON lines if asked to', async () => {
    const { stderr } = await vipmap([
      'compile',
      '--state',
      join(fixtures, 'bad-objects-beside-good-ones', 'cluster.yaml'),
      '--log-format',
      'json',
    ]);
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: number; msg: string; object?: string });
    expect(lines.some(({ level, object }) => level === 40 && object === 'Service shop/half')).toBe(true);
  });
});

describe('mistakes', () => {
  it.each([
    ['no state', ['compile'], 2, /required option '--state <path>' not specified/],
    ['an unknown command', ['compiel'], 2, /unknown command 'compiel'.*\n?.*compile/s],
    ['an unknown flag', ['compile', '--state', cluster, '--stat', 'x'], 2, /unknown option '--stat'/],
    ['an unknown output', ['compile', '--state', cluster, '-o', 'xml'], 2, /nft, json, summary/],
    [
      'no mode at all',
      ['compile', '--state', cluster, '--mode', 'fast'],
      2,
      /--mode "fast" is not one of nftables, ipvs/,
    ],
    [
      "another mode's output",
      ['compile', '--state', cluster, '-o', 'ipvsadm'],
      2,
      /--output ipvsadm is of mode ipvs: add --mode ipvs/,
    ],
    [
      'a scheduler that cannot be one',
      ['compile', '--state', cluster, '--mode', 'ipvs', '--ipvs-scheduler', 'rr;x'],
      2,
      /--ipvs-scheduler "rr;x" is not/,
    ],
    [
      'a bad CIDR',
      ['compile', '--state', cluster, '--cluster-cidr', '10.244.0.0'],
      2,
      /--cluster-cidr "10\.244\.0\.0" is not a CIDR block/,
    ],
    [
      'a bad address',
      ['compile', '--state', cluster, '--node-addresses', '192.168.0.2,here'],
      2,
      /--node-addresses: "here" is not an IP address/,
    ],
    ['a missing file', ['compile', '--state', '/nowhere/cluster.yaml'], 1, /\/nowhere\/cluster\.yaml.*no such file/],
    ['a missing configuration', ['compile', '--state', cluster, '--config', '/nowhere/config'], 1, /\/nowhere\/config/],
    [
      'a target without a port',
      ['explain', '10.96.0.10', '--from', '10.244.1.9', '--state', cluster],
      2,
      /"10\.96\.0\.10" is not an address, port and protocol/,
    ],
    [
      'two families',
      ['explain', '10.96.0.10:80', '--from', 'fd00::9', '--state', cluster],
      2,
      /different address families/,
    ],
    [
      'a missing nft',
      ['diff', '--state', cluster, '--nft', '/nowhere/nft'],
      1,
      /"\/nowhere\/nft" cannot be started \(ENOENT\); install nftables 1\.1\.3 or newer/,
    ],
    [
      'an old nft',
      ['apply', '--state', cluster, '--nft', oldNft],
      1,
      /nft 1\.1\.3 or newer is needed, and .* says "nftables v1\.0\.6/,
    ],
  ])('%s', async (_name, args, exitCode, message) => {
    const ran = await vipmap(args);
    expect(ran.stderr).toMatch(message);
    expect([ran.exitCode, ran.stdout]).toEqual([exitCode, '']);
    expect(ran.stderr).not.toMatch(/\n\s+at /);
  });

  it.each([
    ['broken JSON', 'broken.json', '{"kind": "List", "items": ['],
    ['an empty file', 'empty.yaml', ''],
    ['broken YAML', 'broken.yaml', 'a: [\n'],
  ])('never compare or apply a state of which nothing could be read: %s', async (_name, name, text) => {
    const state = file(name, text);
    for (const command of ['diff', 'apply']) {
      const { exitCode, stdout, stderr } = await vipmap([command, '--state', state, '--nft', harmlessNft]);
      expect([exitCode, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/nothing could be read of .*, so the state is not known; mend it or leave it out/);
    }
  });

  it('are told as JSON lines too', async () => {
    const { exitCode, stderr } = await vipmap(['diff', '--state', cluster, '--log-format=json', '--nft', oldNft]);
    expect([exitCode, JSON.parse(stderr)]).toMatchObject([1, { level: 50, failure: 'too-old' }]);
  });

  it('in the configuration name field, value and what is accepted', async () => {
    const bad = file(
      'bad-config',
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: pods\n',
    );
    const { exitCode, stderr } = await vipmap(['compile', '--state', cluster, '--config', bad]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/bad-config.*clusterCIDR.*"pods"/s);
  });
});

describe('explain', () => {
  const explain = async (...args: readonly string[]) =>
    (await vipmap(['explain', ...args, '--state', later, ...config])).stdout;

  it('tells frontend, policy, endpoints and verdict', async () => {
    const text = await explain('10.96.0.10:80', '--from', '10.244.1.99');
    expect(text).toMatch(
      /^packet +TCP from 10\.244\.1\.99 \(a pod, being in 10\.244\.0\.0\/16\) to 10\.96\.0\.10:80$/m,
    );
    expect(text).toMatch(/^frontend +10\.96\.0\.10:80\/tcp is the cluster IP of shop\/web:http$/m);
    expect(text).toMatch(/^endpoints +2 of 2: ready 10\.244\.1\.5:8080, 10\.244\.2\.7:8080$/m);
    expect(text).toMatch(/^masquerade +no: the endpoint sees 10\.244\.1\.99$/m);
    expect(text).toMatch(/^verdict +sent to one of 10\.244\.1\.5:8080, 10\.244\.2\.7:8080, at random$/m);
  });

  it('tells why nothing answers', async () => {
    expect(await explain('10.96.0.10:81', '--from', '10.244.1.99')).toMatch(
      /which has no port 81\/tcp[^]*verdict +rejected/,
    );
    expect(await explain('10.96.0.99:80', '--from', '10.244.1.99')).toMatch(
      /service range 10\.96\.0\.0\/16, and no service has it[^]*verdict +dropped/,
    );
    expect(await explain('198.51.100.1:80', '--from', '10.244.1.99')).toMatch(/verdict +left alone/);
  });

  it('knows the node by its address', async () => {
    expect(await explain('10.96.0.10:80', '--from', '192.168.0.2')).toMatch(/the node itself[^]*masquerade +yes/);
  });
});

describe('help', () => {
  it.each(['compile', 'diff', 'apply', 'explain', 'cleanup'])('of %s shows an example', async (command) => {
    const { exitCode, stdout } = await vipmap([command, '--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(new RegExp(`Example:\\n[^]*vipmap ${command}`));
  });
});
