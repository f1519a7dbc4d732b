import { createServer, type Server } from 'node:net';
import type { IpvsKernel, ServersAccess } from '../../src/kernel/ipvs-kernel.ts';
import { virtualServerKey } from '../../src/ruleset/ipvs/virtual-server.ts';
import { runProgram } from '../kernel/vipmap.ts';
import {
  address,
  check,
  expectSame,
  id,
  ip,
  messages,
  real,
  realServer,
  theInterface,
  virtualServer,
} from './harness.ts';

const addresses = [
  ['10.96.0.1', '192.168.55.1', '192.168.55.1'],
  ['fd00::1', 'fd55::1', '[fd55::1]'],
] as const;

/** Clients in a namespace of their own, whose packets to services' addresses come in by a link. */
export async function checkPackets(kernel: IpvsKernel, otherWay: ServersAccess): Promise<void> {
  for (const command of [
    'netns add client',
    'link add to-client type veth peer name to-node netns client',
    'address add 192.168.55.1/24 dev to-client',
    'address add fd55::1/64 dev to-client nodad',
    'link set to-client up',
    '-n client address add 192.168.55.2/24 dev to-node',
    '-n client address add fd55::2/64 dev to-node nodad',
    '-n client link set to-node up',
    '-n client route add default via 192.168.55.1',
    '-n client route add default via fd55::1',
  ]) {
    const { exitCode, stderr } = await ip(...command.split(' '));
    if (exitCode !== 0) console.log(`FAILED  ip ${command}: ${stderr}`);
  }
  const servers = await Promise.all(addresses.map(([, host]) => listen(host)));
  for (const [vip, host] of addresses) {
    await check(`packets to ${vip} on the interface that is down are taken in and counted`, async () => {
      const failed = await kernel.apply([
        theInterface('add'),
        address('add', vip),
        virtualServer('add', id(vip)),
        realServer('add', id(vip), real(host)),
      ]);
      const answer = await connect(vip, 80);
      const key = virtualServerKey(id(vip));
      const connections = [await kernel.readConnections([key]), await otherWay.readConnections([key])];
      const wanted = new Map([[key, new Map([[`${host} . 8080`, 1]])]]);
      await kernel.apply([address('delete', vip)]);
      const without = await connect(vip, 80);
      return (
        expectSame(messages(failed), '') ??
        expectSame(answer, 'hello') ??
        expectSame(connections, [wanted, wanted], 'connections by each way') ??
        expectSame(without, '', 'the answer without the address')
      );
    });
  }
  for (const server of servers) server.close();
  await ip('netns', 'delete', 'client');
}

function listen(host: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('hello\n'));
    server.on('error', reject).listen(8080, host, () => resolve(server));
  });
}

/** What the server says to a client of the namespace. */
async function connect(host: string, port: number): Promise<string> {
  const script = `exec 3<>/dev/tcp/${host}/${port} && read -t 5 line <&3 && echo "$line"`;
  const { stdout } = await runProgram('ip', ['netns', 'exec', 'client', 'timeout', '8', 'bash', '-c', script]);
  return stdout.trim();
}
