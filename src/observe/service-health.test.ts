import { Agent, request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Family, Ip } from '../net/ip.ts';
import type { Port } from '../net/port.ts';
import { type ServiceHealthFailure, ServiceHealthServers } from './service-health.ts';
import type { ServiceHealth } from './service-health-state.ts';

const loopback = ['127.0.0.1' as Ip];
let isProxyHealthy = true;
let failures: ServiceHealthFailure[];
let servers: ServiceHealthServers;

beforeEach(() => {
  isProxyHealthy = true;
  failures = [];
  servers = new ServiceHealthServers({
    isProxyHealthy: () => isProxyHealthy,
    onFailure: (failure) => failures.push(failure),
  });
});
afterEach(() => servers.close());

const service = (name: string, port: number, localEndpoints: number, family: Family = 'ip'): ServiceHealth => ({
  namespace: 'ns',
  name,
  family,
  port: port as Port,
  localEndpoints,
});

/** A port that nobody listens on: the kernel's choice, let go again. */
async function freePort(host = '127.0.0.1'): Promise<number> {
  const { port, free } = await takePort(host);
  await free();
  return port;
}

async function takePort(host = '127.0.0.1') {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return { port, free: () => new Promise((resolve) => server.close(resolve)) };
}

const get = (port: number, path = '/', init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init);
const nameAt = async (port: number) => ((await (await get(port)).json()) as { service: { name: string } }).service.name;

describe('the health of a service', () => {
  it('is answered as kube-proxy does', async () => {
    const port = await freePort();
    await servers.sync([service('web', port, 2)], loopback);
    const response = await get(port);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('x-load-balancing-endpoint-weight')).toBe('2');
    expect(await response.text()).toBe(
      '{\n\t"service": {\n\t\t"namespace": "ns",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
    );
  });

  it('is answered at any path, to any method', async () => {
    const port = await freePort();
    await servers.sync([service('web', port, 1)], loopback);
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'DELETE']) {
      const response = await get(port, '/any/path?query', { method });
      expect([method, response.status, response.headers.get('x-load-balancing-endpoint-weight')]).toEqual([
        method,
        200,
        '1',
      ]);
      expect((await response.text()) === '').toBe(method === 'HEAD');
    }
  });

  it('is bad with nobody here or a proxy that does not work, and the weight is told', async () => {
    const port = await freePort();
    await servers.sync([service('web', port, 0)], loopback);
    const empty = await get(port);
    expect([empty.status, empty.headers.get('x-load-balancing-endpoint-weight')]).toEqual([503, '0']);
    await servers.sync([service('web', port, 3)], loopback);
    isProxyHealthy = false;
    const stuck = await get(port);
    expect([stuck.status, stuck.headers.get('x-load-balancing-endpoint-weight')]).toEqual([503, '3']);
    expect(await stuck.json()).toMatchObject({ localEndpoints: 3, serviceProxyHealthy: false });
  });

  it('is asked of the family that the address has', async () => {
    if (!Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'))) {
      console.log('SKIPPED: this host has no ::1');
      return;
    }
    const port = await freePort('::');
    await servers.sync([service('web', port, 1), service('web', port, 0, 'ip6')], ['0.0.0.0', '::'] as Ip[]);
    expect(failures).toEqual([]);
    expect((await get(port)).status).toBe(200);
    expect((await fetch(`http://[::1]:${port}/`)).status).toBe(503);
  });
});

describe('the servers of services', () => {
  it('go on while their port and address stay', async () => {
    const port = await freePort();
    await servers.sync([service('web', port, 1)], loopback);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = () =>
      new Promise<{ status: number | undefined; reused: boolean }>((resolve, reject) => {
        const sent = request({ agent, port, host: '127.0.0.1' }, (response) => {
          response.resume().on('end', () => resolve({ status: response.statusCode, reused: sent.reusedSocket }));
        });
        sent.on('error', reject).end();
      });
    expect(await ask()).toEqual({ status: 200, reused: false });
    await servers.sync([service('web', port, 0), service('other', await freePort(), 1)], loopback);
    expect(await ask()).toEqual({ status: 503, reused: true });
    const before = Date.now();
    await servers.close();
    expect(Date.now() - before).toBeLessThan(1000);
    await expect(ask()).rejects.toThrow();
    agent.destroy();
  });

  it('follow ports, also those that services exchange', async () => {
    const [one, two] = [await freePort(), await freePort()];
    await servers.sync([service('a', one, 1), service('b', two, 1)], loopback);
    await servers.sync([service('a', two, 1), service('b', one, 1)], loopback);
    expect(await nameAt(one)).toBe('b');
    expect(await nameAt(two)).toBe('a');
    await servers.sync([service('b', one, 1)], loopback);
    await expect(get(two)).rejects.toThrow();
    expect(failures).toEqual([]);
  });

  it('follow addresses', async () => {
    const port = await freePort();
    const at = (host: string) => fetch(`http://${host}:${port}/`).then(({ status }) => status);
    await servers.sync([service('web', port, 1)], ['127.0.0.1', '127.0.0.2'] as Ip[]);
    expect([await at('127.0.0.1'), await at('127.0.0.2')]).toEqual([200, 200]);
    await servers.sync([service('web', port, 1)], ['127.0.0.2', '127.0.0.3'] as Ip[]);
    await expect(at('127.0.0.1')).rejects.toThrow();
    expect([await at('127.0.0.2'), await at('127.0.0.3')]).toEqual([200, 200]);
    await servers.sync([service('web', port, 1)], ['0.0.0.0' as Ip]);
    expect(await at('127.0.0.1')).toBe(200);
  });

  it('that cannot listen are told of once, do not stop the others, and are tried again', async () => {
    const { port, free } = await takePort();
    const other = await freePort();
    const services = [service('web', port, 1), service('other', other, 1)];
    await servers.sync(services, loopback);
    await servers.sync(services, loopback);
    expect(failures).toEqual([
      {
        namespace: 'ns',
        name: 'web',
        port,
        message: `Service ns/web: its health check cannot listen on 127.0.0.1:${port} (EADDRINUSE, another program listens there; \`ss -ltnp\` names it); it is tried again at the next sync`,
      },
    ]);
    expect(await nameAt(other)).toBe('other');
    await free();
    await servers.sync(services, loopback);
    expect(await nameAt(port)).toBe('web');
    expect(failures).toHaveLength(1);
  });

  it('are told of again when what fails has changed', async () => {
    const { port, free } = await takePort();
    await servers.sync([service('web', port, 1)], loopback);
    await servers.sync([service('web', port, 1)], ['127.0.0.1', '192.0.2.1'] as Ip[]);
    expect(failures.map(({ message }) => message.match(/E[A-Z]+/g))).toEqual([
      ['EADDRINUSE'],
      ['EADDRINUSE', 'EADDRNOTAVAIL'],
    ]);
    await servers.sync([], loopback);
    await servers.sync([service('web', port, 1)], loopback);
    expect(failures).toHaveLength(3);
    await free();
  });

  it('come in the order of syncs that overlap, and never after close', async () => {
    const port = await freePort();
    void servers.sync([service('first', port, 1)], loopback);
    void servers.sync([], loopback);
    await servers.sync([service('last', port, 1)], loopback);
    expect(await nameAt(port)).toBe('last');
    void servers.sync([service('gone', port, 1)], loopback);
    await servers.close();
    await servers.sync([service('late', port, 1)], loopback);
    await expect(get(port)).rejects.toThrow();
  });
});
