import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';

export const apiServer = 'https://192.168.100.10:6443';
export const clusterCidr = '10.244.0.0/16,fd00:244::/48';
export const nodes = ['node1', 'node2'] as const;
export const nodeAddresses = { node1: '192.168.100.11', node2: '192.168.100.12' } as const;
export const clusterFolder = process.env['DIR'] ?? '/tmp/vipmap-cluster';
/** What a whole part of the suite makes is in here. */
export const namespace = 'vipmap-test';

/** An object as the API server takes it. */
export type Json = Readonly<Record<string, unknown>>;

const agent = new Agent({ keepAlive: true, maxSockets: 32 });
let certificate: Buffer | undefined;

/** The API server's answer; fails unless that is a success or one of the codes that are allowed. */
export function callApi<T = unknown>(
  method: string,
  path: string,
  body?: Json,
  allowed: readonly number[] = [],
): Promise<T> {
  certificate ??= readFileSync(`${clusterFolder}/ca.crt`);
  const payload = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const call = request(`${apiServer}${path}`, {
      method,
      agent,
      ca: certificate,
      timeout: 60_000,
      headers: {
        authorization: 'Bearer admin-token',
        'content-type': 'application/json',
        ...(payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) }),
      },
    });
    call.on('timeout', () => call.destroy(new Error('no answer within 60 s')));
    call.on('error', (error: NodeJS.ErrnoException) => {
      // A connection that was kept open, and that the API server had closed meanwhile.
      if (call.reusedSocket && error.code === 'ECONNRESET') resolve(callApi(method, path, body, allowed));
      else reject(new Error(`${method} ${path}: ${error.message}`));
    });
    call.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode = 0 } = response;
        if (statusCode < 300 || allowed.includes(statusCode)) resolve(JSON.parse(text) as T);
        else reject(new Error(`${method} ${path}: ${statusCode} ${text.slice(0, 500)}`));
      });
    });
    call.end(payload);
  });
}

export const servicesPath = `/api/v1/namespaces/${namespace}/services`;
export const slicesPath = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;

/** A slice that is written by hand, of a service without a selector. */
export function slice(service: string, addresses: readonly string[], port: number): Json {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: service, namespace, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: [{ name: '', port, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
}
