import { connect, createServer, type Server } from 'node:net';

/** Another instance works on the same tables. */
export class AlreadyRunning extends Error {
  override readonly name = 'AlreadyRunning';
}

/**
 * A name in the abstract namespace of unix sockets (unix(7)), which the kernel keeps for each network namespace and frees when the
 * process ends, however it ends: just the reach and the life of our tables' owner. No file, nothing to clean up.
 */
const address = '\0vipmap';

/** Holds this network namespace for this process until release() or its end. Throws AlreadyRunning, naming the other process. */
export async function holdInstance(): Promise<{ release: () => void }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(`${process.pid}\n`);
  });
  try {
    await listen(server);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new AlreadyRunning(
      `another vipmap (process ${await askOwner()}) already runs in this network namespace; two would undo each other's rules, so end that one first`,
    );
  }
  server.unref();
  return { release: () => server.close() };
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** The process id that the owner knows of itself, which in a container is not the host's. */
function askOwner(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(address);
    let text = '';
    const end = () => {
      socket.destroy();
      resolve(text.trim() || 'unknown');
    };
    socket.setTimeout(500, end);
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', end);
    socket.on('error', end);
  });
}
