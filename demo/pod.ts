import { execFileSync } from 'node:child_process';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/*
 * A pod, or a client outside: a process in a network namespace of its own, which does what the lines on its standard input say and
 * answers each with one line of JSON.
 */
export type PodCommand =
  | { readonly do: 'configure'; readonly device: string; readonly address: string; readonly gateway: string }
  /** Says its name and ends; with `keeps` it says it in answer to each piece of data, and stays. */
  | { readonly do: 'serve'; readonly name: string; readonly port: number; readonly keeps?: boolean }
  | { readonly do: 'connect'; readonly host: string; readonly port: number; readonly times: number }
  /** A connection that stays, and what it hears when it says something; the reply is its server's name, or an error's code. */
  | { readonly do: 'open' | 'say'; readonly id: string; readonly host: string; readonly port: number }
  /** New connections one after the other until 'report', which gives how many there were and what became of those that failed. */
  | { readonly do: 'load'; readonly host: string; readonly port: number; readonly everyMs: number }
  | { readonly do: 'report' };

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
          const words = `${command.name} saw ${socket.remoteAddress ?? 'nobody'}`;
          if (command.keeps === true) socket.on('data', () => socket.write(words));
          else socket.end(words);
        });
        server.listen(command.port, '0.0.0.0', resolve);
      });
      return [];
    case 'connect': {
      const replies: Reply[] = [];
      for (let i = 0; i < command.times; i++) replies.push(await ask(command.host, command.port));
      return replies;
    }
    case 'open': {
      const socket = connect({ host: command.host, port: command.port });
      kept.set(command.id, socket);
      return [await say(socket)];
    }
    case 'say':
      return [await say(kept.get(command.id))];
    case 'load':
      load = { isStopping: false, done: Promise.resolve([]) };
      load.done = keepAsking(command);
      return [];
    case 'report':
      load.isStopping = true;
      return load.done;
  }
}

const kept = new Map<string, Socket>();
let load: { isStopping: boolean; done: Promise<readonly Reply[]> } = { isStopping: true, done: Promise.resolve([]) };

/** What the server says to it; also where it was ended long ago. */
function say(socket: Socket | undefined): Promise<Reply> {
  return new Promise((resolve) => {
    if (socket === undefined || socket.destroyed) return resolve('closed');
    const timer = setTimeout(() => resolve('no answer'), 3000);
    const end = (reply: Reply) => {
      clearTimeout(timer);
      resolve(reply);
    };
    socket.once('data', (data) => end(data.toString()));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.once('close', () => end('closed'));
    socket.write('x');
  });
}

/** Long enough for a machine that is busy, and for one SYN that is sent again. */
const loadTimeoutMs = 5000;

async function keepAsking({ host, port, everyMs }: PodCommand & { do: 'load' }): Promise<readonly Reply[]> {
  const failed: Reply[] = [];
  let count = 0;
  const open: Promise<void>[] = [];
  for (; !load.isStopping; count++) {
    open.push(ask(host, port, loadTimeoutMs).then((reply) => void (reply.includes(' saw ') || failed.push(reply))));
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  await Promise.all(open);
  return [String(count), ...failed];
}

function ask(host: string, port: number, timeout = 700): Promise<Reply> {
  return new Promise((resolve) => {
    let reply = '';
    const socket = connect({ host, port, timeout });
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
