import type { Listening } from './listen.ts';
import { startMetricsServer } from './metrics-server.ts';

let server: Listening;
let text = () => Promise.resolve('kubeproxy_something 1\n');

beforeEach(async () => {
  server = await startMetricsServer({
    address: '127.0.0.1:0',
    metrics: { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: () => text() },
    proxyMode: 'nftables',
    configuration: () => ({ kind: 'KubeProxyConfiguration', apiVersion: 'kubeproxy.config.k8s.io/v1alpha1' }),
  });
});
afterEach(() => server.close());

async function get(path: string, init?: RequestInit) {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
  return [response.status, response.headers.get('content-type'), await response.text()];
}

const plain = 'text/plain; charset=utf-8';

describe('the metrics server', () => {
  it.each([
    ['/metrics', 'text/plain; version=0.0.4; charset=utf-8', 'kubeproxy_something 1\n'],
    ['/healthz', plain, 'ok'],
    ['/healthz/ping', plain, 'ok'],
    ['/proxyMode', plain, 'nftables'],
    [
      '/configz',
      'application/json',
      '{"kubeproxy.config.k8s.io":{"kind":"KubeProxyConfiguration","apiVersion":"kubeproxy.config.k8s.io/v1alpha1"}}',
    ],
  ])('answers %s', async (path, contentType, body) => {
    expect(await get(path)).toEqual([200, contentType, body]);
    expect(await get(path, { method: 'HEAD' })).toEqual([200, contentType, '']);
  });

  it.each(['/', '/livez', '/metrics/', '/debug/pprof/'])('knows no %s', async (path) => {
    expect(await get(path)).toEqual([404, plain, '404 page not found\n']);
  });

  it('survives metrics that cannot be had', async () => {
    text = () => Promise.reject(new Error('no metrics'));
    expect(await get('/metrics')).toEqual([500, plain, 'internal error: no metrics\n']);
    expect((await get('/healthz'))[0]).toBe(200);
  });
});
