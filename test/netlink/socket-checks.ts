import { join } from 'node:path';
import {
  attributesOf,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_REQUEST,
  readAnswer,
  readMessages,
} from '../../src/kernel/netlink/message.ts';
import { NetlinkSocket, receiveSoon } from '../../src/kernel/netlink/socket.ts';
import { runProgram } from '../kernel/vipmap.ts';
import { type Checks, codeOf, differs, firstOf } from './check.ts';

const NFT_MSG_GETTABLE = 0xa01;
const NFT_MSG_GETGEN = 0xa10;

export function openSocket(options: Parameters<typeof NetlinkSocket.open>[0] = {}): NetlinkSocket {
  const socket = NetlinkSocket.open(options);
  if (socket === undefined) throw new Error('koffi is not there');
  return socket;
}

function request(type: number, table?: string): Buffer {
  const writer = new MessageWriter();
  const at = writer.beginMessage(type, NLM_F_REQUEST | NLM_F_ACK, 5, 2);
  if (table !== undefined) writer.text(1, table);
  writer.endMessage(at);
  return writer.bytes();
}

/** Runs a script of one line with this Node, that has NetlinkSocket and whyNoLibc, and gives what it prints. */
async function inOwnProcess(
  line: string,
  wrapper: readonly string[] = [],
  nodeArgs: readonly string[] = [],
): Promise<string> {
  const folder = join(import.meta.dirname, '..', '..', 'src', 'kernel', 'netlink');
  const script = `import { NetlinkSocket } from '${folder}/socket.ts'; import { whyNoLibc } from '${folder}/libc.ts'; ${line}`;
  const [program = '', ...args] = [...wrapper, process.execPath, ...nodeArgs, '--input-type=module', '-e', script];
  const { stdout, stderr } = await runProgram(program, args);
  return stdout.trim() || stderr;
}

export const socketChecks: Checks = {
  'a socket is answered with what it asked for': async () => {
    const socket = openSocket();
    try {
      socket.send(request(NFT_MSG_GETGEN));
      const [answer] = readMessages(await receiveSoon(socket, 1000));
      const attributes = answer && attributesOf(answer);
      attributes?.next();
      return firstOf(
        differs('sequence', answer?.sequence, 5),
        differs('port', answer?.portId, socket.portId),
        differs('type of the first attribute', attributes?.type, 1),
      );
    } finally {
      socket.close();
    }
  },

  'an error has its name and the place of what is wrong': async () => {
    const socket = openSocket();
    try {
      await socket.sendAside(request(NFT_MSG_GETTABLE, 'nowhere'));
      const [message] = readMessages(await receiveSoon(socket, 1000));
      return differs('answer', message && readAnswer(message), { sequence: 5, code: 'ENOENT', offset: 20 });
    } finally {
      socket.close();
    }
  },

  'sockets have ports of their own, and nothing to receive at first': () => {
    const [one, two] = [openSocket(), openSocket()];
    const wrong = firstOf(
      differs('same port', one.portId === two.portId, false),
      differs('received', one.receive(), undefined),
    );
    one.close();
    two.close();
    one.close();
    return Promise.resolve(
      wrong ??
        differs(
          'after close',
          codeOf(() => one.receive()),
          'EBADF',
        ),
    );
  },

  'a request larger than the buffer is told apart, in both ways of sending': async () => {
    const socket = openSocket({ sendBufferBytes: 4096 });
    const large = Buffer.alloc(100_000);
    const aside = await socket.sendAside(large).then(
      () => 'none',
      (error: unknown) => (error as { code?: string }).code,
    );
    const wrong = firstOf(
      differs(
        'send',
        codeOf(() => socket.send(large)),
        'EMSGSIZE',
      ),
      differs('aside', aside, 'EMSGSIZE'),
    );
    socket.close();
    return wrong;
  },

  'no answer is an error in time': async () => {
    const socket = openSocket();
    const code = await receiveSoon(socket, 30).then(
      () => 'none',
      (error: unknown) => (error as { code?: string }).code,
    );
    socket.close();
    return differs('code', code, 'ETIMEDOUT');
  },

  'a process without the right to watch is told so': async () => {
    // Root of a user namespace that does not own this network namespace.
    const line = `try { NetlinkSocket.open({ groups: [7] }); console.log('opened'); } catch (error) { console.log(error.message); }`;
    const printed = await inOwnProcess(line, ['unshare', '--user', '--map-root-user']);
    return differs('printed', printed, 'netlink: join group 7: EPERM');
  },

  'without koffi there is no socket, and a reason': async () => {
    const hook = `import { registerHooks } from 'node:module'; registerHooks({ resolve(name, context, next) { if (name === 'koffi') throw new Error('not installed'); return next(name, context); } });`;
    const printed = await inOwnProcess(
      `console.log(NetlinkSocket.open(), whyNoLibc());`,
      [],
      ['--import', `data:text/javascript,${hook}`],
    );
    return differs('printed', printed, 'undefined koffi cannot be loaded (not installed)');
  },
};
