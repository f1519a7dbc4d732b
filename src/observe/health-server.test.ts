import { startHealthServer } from './health-server.ts';
import type { Listening } from './listen.ts';
import { ProxyHealth } from './proxy-health.ts';

const start = Date.UTC(2026, 0, 2, 3, 4, 5, 120);
let now = start;
let health: ProxyHealth;
let server: Listening;
let answers: string[];

beforeEach(async () => {
  now = start;
  answers = [];
  health = new ProxyHealth({ clock: () => now, syncPeriodMs: 30_000 });
  health.setNodeEligible(true);
  server = await startHealthServer({
    address: '127.0.0.1:0',
    health,
    onAnswer: (page, status) => answers.push(`${page} ${status}`),
  });
});
afterEach(() => server.close());

const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init);

describe('the health server', () => {
  it('answers before the first sync', async () => {
    const response = await get('/healthz');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await response.text()).toBe(
      '{"lastUpdated":"2026-01-02T03:04:05.12Z","currentTime":"2026-01-02T03:04:05.12Z","nodeEligible":true,"healthy":true}',
    );
  });

  it('tells of each family, and of an update just now while it is healthy', async () => {
    health.updated('ip6');
    now += 880;
    health.updated('ip');
    now += 1000;
    expect(await (await get('/healthz?verbose')).text()).toBe(
      '{"lastUpdated":"2026-01-02T03:04:07Z","currentTime":"2026-01-02T03:04:07Z","nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:06Z","healthy":true},"IPv6":{"lastUpdated":"2026-01-02T03:04:05.12Z","healthy":true}}}',
    );
  });

  it('tells when it was last updated while it is not healthy', async () => {
    health.updated('ip');
    health.queued('ip');
    health.queued('ip6');
    now += 60_000;
    const response = await get('/livez');
    expect(response.status).toBe(503);
    expect(await response.text()).toBe(
      '{"lastUpdated":"2026-01-02T03:04:05.12Z","currentTime":"2026-01-02T03:05:05.12Z","healthy":false,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05.12Z","healthy":false},"IPv6":{"lastUpdated":"0001-01-01T00:00:00Z","healthy":false}}}',
    );
    expect((await get('/healthz')).status).toBe(503);
  });

  it('refuses load balancers at /healthz only, for a node on its way out', async () => {
    health.setNodeEligible(false);
    const response = await get('/healthz');
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      nodeEligible: false,
      healthy: true,
      lastUpdated: '0001-01-01T00:00:00Z',
    });
    expect((await get('/livez')).status).toBe(200);
    expect(answers).toEqual(['healthz 503', 'livez 200']);
  });

  it('answers HEAD without a body, and any other path with 404', async () => {
    const head = await get('/livez', { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(Number(head.headers.get('content-length'))).toBe((await (await get('/livez')).text()).length);
    expect(await head.text()).toBe('');
    for (const path of ['/', '/healthz/', '/metrics', '/constructor', '//']) {
      const response = await get(path);
      expect([path, response.status, await response.text()]).toEqual([path, 404, '404 page not found\n']);
    }
    expect(answers).toEqual(['livez 200', 'livez 200']);
  });
});
