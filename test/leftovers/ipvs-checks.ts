import { readFile } from 'node:fs/promises';
import { type Ran, runProgram } from '../kernel/vipmap.ts';
import { type Checks, differs, firstOf } from '../netlink/check.ts';

const servers = `-A -t 10.96.0.1:443 -s rr
-a -t 10.96.0.1:443 -r 192.168.0.2:6443 -m -w 1
-A -u 10.96.0.20:53 -s rr
-A --sctp-service 10.96.0.20:9000 -s rr
-A -t [fd00:10:96::20]:80 -s rr
-A -t 192.168.0.50:80 -s rr
-A -t 192.168.0.2:30080 -s rr
-A -t 192.168.0.2:6443 -s rr
-A -t 192.168.0.99:30080 -s rr
-A -f 7 -s rr
`;

const setup: readonly (readonly string[])[] = [
  ['ip', 'link', 'add', 'kube-ipvs0', 'type', 'dummy'],
  ['ip', 'address', 'add', '10.96.0.1/32', 'dev', 'kube-ipvs0'],
  ['ip', 'address', 'add', '10.96.0.20/32', 'dev', 'kube-ipvs0'],
  ['ip', 'address', 'add', 'fd00:10:96::20/128', 'dev', 'kube-ipvs0'],
  ['ip', 'link', 'add', 'node0', 'type', 'dummy'],
  ['ip', 'address', 'add', '192.168.0.2/24', 'dev', 'node0'],
  ['ipset', 'create', 'KUBE-EXTERNAL-IP', 'hash:ip,port'],
  ['ipset', 'add', 'KUBE-EXTERNAL-IP', '192.168.0.50,tcp:80'],
  ['ipset', 'create', 'KUBE-NODE-PORT-TCP', 'bitmap:port', 'range', '0-65535'],
  ['ipset', 'add', 'KUBE-NODE-PORT-TCP', '30080'],
];

/** Needs a kernel with IPVS and dummy interfaces, which many machines that run tests have not. */
export function ipvsChecks(cleanup: (args?: readonly string[], env?: NodeJS.ProcessEnv) => Promise<Ran>): Checks {
  return {
    'of mode ipvs virtual servers go, and those of others stay': async () => {
      const restored = await runProgram('ipvsadm', ['--restore'], servers);
      const list = await readFile('/proc/net/ip_vs', 'utf8').catch(() => undefined);
      if (restored.exitCode !== 0 || list === undefined)
        return `SKIPPED no IPVS in this kernel, or no ipvsadm: ${restored.stderr.trim().split('\n')[0]}`;
      for (const [program = '', ...args] of setup) {
        const { exitCode, stderr } = await runProgram(program, args);
        if (exitCode !== 0) return `${program} ${args.join(' ')}: ${stderr}`;
      }
      const ran = await cleanup();
      const left = (await runProgram('ipvsadm', ['--save', '--numeric'])).stdout.trim().split('\n').sort();
      const links = (await runProgram('ip', ['-brief', 'link'])).stdout;
      return firstOf(
        differs('exit code', ran.exitCode, 0),
        differs('servers', left, ['-A -f 7 -s rr', '-A -t 192.168.0.2:6443 -s rr', '-A -t 192.168.0.99:30080 -s rr']),
        differs('interface', links.includes('kube-ipvs0'), false),
        differs('sets', (await runProgram('ipset', ['list', '-name'])).stdout, ''),
        differs('said', ran.stdout.includes('removed interface kube-ipvs0 with 3 addresses\n'), true),
        differs('kept', ran.stderr.includes('kept 2 virtual servers of IPVS (192.168.0.'), true),
      );
    },
  };
}
