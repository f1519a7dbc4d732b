import { execFileSync } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

/*
 * A pod, or a client outside: a process in a network namespace of its own, which does what the lines on its standard input say and
 * answers each with one line of JSON.
 */
export type PodCommand =
  | { readonly do: 'configure'; readonly device: string; readonly address: string; readonly gateway: string }
  | { readonly do: 'serve'; readonly name: string; readonly port: number }
  | { readonly do: 'connect'; readonly host: string; readonly port: number; readonly times: number };

/** What the server said, `NAME saw CLIENT`; or the error's code, ECONNREFUSED or a timeout. */
export type Reply = string;

async function obey(command: PodCommand): Promise<readonly Reply[]> {
  switch (command.do) {
    case 'configure':
      for (const line of [
        'link set lo up',
        `link set ${command.device} name eth0`,
        `addr add ${command.address}/32 dev eth0`,
        'link set eth0 up',
        `route add ${command.gateway} dev eth0`,
        `route add default via ${command.gateway} src ${command.address}`,
      ]) {
        execFileSync('ip', line.split(' '));
      }
      return [];
    case 'serve':
      await new Promise<void>((resolve) => {
        const server = createServer((socket) => {
          socket.on('error', () => undefined);
          socket.end(`${command.name} saw ${socket.remoteAddress ?? 'nobody'}`);
        });
        server.listen(command.port, '0.0.0.0', resolve);
      });
      return [];
    case 'connect': {
      const replies: Reply[] = [];
      for (let i = 0; i < command.times; i++) replies.push(await ask(command.host, command.port));
      return replies;
    }
  }
}

function ask(host: string, port: number): Promise<Reply> {
  return new Promise((resolve) => {
    let reply = '';
    const socket = connect({ host, port, timeout: 700 });
    socket.on('data', (data) => (reply += data.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('timeout', () => {
      socket.destroy();
      resolve('no answer');
    });
    socket.on('end', () => resolve(reply));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await obey(JSON.parse(line) as PodCommand);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
