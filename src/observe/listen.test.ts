import { Agent, get } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { textAnswer } from './answer.ts';
import { listen, ListenError, type Listening, type ListenOptions } from './listen.ts';

let opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened) await each.close();
  opened = [];
});

async function start(options: Partial<ListenOptions>): Promise<Listening> {
  const server = await listen({
    name: 'test server',
    address: '127.0.0.1:0',
    defaultPort: 0,
    answer: (path) => textAnswer(path),
    ...options,
  });
  opened.push(server);
  return server;
}

async function occupied(): Promise<{ server: Server; address: string }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push({ close: () => server.close() });
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const textAt = async (port: number | undefined, path: string) =>
  (await fetch(`http://127.0.0.1:${port}${path}`)).text();

describe('listen', () => {
  it('serves paths without their query', async () => {
    const { port } = await start({});
    expect(await textAt(port, '/a/b?c')).toBe('/a/b');
  });

  it('takes all IPv4 addresses into "[::]:0", as kube-proxy does', async () => {
    const { port } = await start({ address: '[::]:0' });
    expect(await textAt(port, '/')).toBe('/');
  });

  it('starts no server for an empty address', async () => {
    const server = await start({ address: '' });
    expect(server.port).toBeUndefined();
    await server.close();
  });

  it('refuses an address that cannot be read', async () => {
    await expect(start({ address: 'nowhere' })).rejects.toThrow('"nowhere" is not an IP address and port');
  });

  it('tells of a port that is taken once, and takes it when it is free', async () => {
    const { server, address } = await occupied();
    const failures: string[] = [];
    const listening = new Promise<number>((resolve) => {
      void start({
        address,
        retryMs: 5,
        onFailure: (error) => failures.push(error.message),
        onListening: resolve,
      });
    });
    await sleep(50);
    server.close();
    expect(await textAt(await listening, '/x')).toBe('/x');
    expect(failures).toEqual([
      `test server: cannot listen on ${address} (EADDRINUSE, another program listens there; \`ss -ltnp\` names it)`,
    ]);
  });

  it('fails at once where that is asked for', async () => {
    const { address } = await occupied();
    const failure: unknown = await start({ address, isFailureFatal: true }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ListenError);
    expect((failure as ListenError).code).toBe('EADDRINUSE');
  });

  it('stops trying when it is closed', async () => {
    const { server, address } = await occupied();
    const listening = await start({ address, retryMs: 5 });
    await listening.close();
    server.close();
    await sleep(30);
    expect(listening.port).toBeUndefined();
    await expect(fetch(`http://${address}/`)).rejects.toThrow();
  });

  it('closes within a moment while clients keep their connections', async () => {
    const listening = await start({ answer: (path) => (path === '/hang' ? new Promise(() => {}) : textAnswer('')) });
    const agent = new Agent({ keepAlive: true });
    const request = (path: string) =>
      new Promise<string>((resolve) => {
        const sent = get({ agent, port: listening.port, host: '127.0.0.1', path }, (response) => {
          response.resume().on('end', () => resolve('answered'));
        });
        sent.on('error', (error) => resolve(error.message));
      });
    expect(await request('/')).toBe('answered');
    const hanging = request('/hang');
    await sleep(20);
    const before = Date.now();
    await listening.close();
    expect(await hanging).toBe('socket hang up');
    expect(Date.now() - before).toBeLessThan(1000);
    agent.destroy();
  });

  it('answers 500 where an answerer fails, and lives on', async () => {
    const { port } = await start({
      answer: (path) => {
        if (path === '/throw') throw new Error('broken');
        return path === '/reject' ? Promise.reject(new Error('refused')) : textAnswer('fine');
      },
    });
    const response = await fetch(`http://127.0.0.1:${port}/throw`, { method: 'POST', body: 'x'.repeat(100_000) });
    expect([response.status, await response.text()]).toEqual([500, 'internal error: broken\n']);
    expect(await textAt(port, '/reject')).toBe('internal error: refused\n');
    expect(await textAt(port, '/')).toBe('fine');
  });
});
