import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { callApi, slice, slicesPath } from './api.ts';

/*
 * Runs in a node's network: gives a service its only endpoint and takes it again, and connects to the service all the time to see when
 * that is so on this node. Prints milliseconds from the request to the API server, an array, in the order of the changes.
 *   latency-probe.ts SERVICE CLUSTER-IP ENDPOINT-IP ENDPOINT-PORT CHANGES
 */
const [service = '', clusterIp = '', endpointIp = '', endpointPort = '', changes = ''] = process.argv.slice(2);
const giveUpMs = 60_000;
/** Longer than kube-proxy's minSyncPeriod of a second, so that no change has to wait for the one before it. */
const pauseMs = () => 1200 + Math.random() * 400;

const canConnect = () =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host: clusterIp, port: 80, timeout: 1000 });
    const end = (isConnected: boolean) => {
      socket.resetAndDestroy();
      resolve(isConnected);
    };
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
    socket.on('timeout', () => end(false));
  });

async function millisecondsUntil(expected: boolean, start: number): Promise<number> {
  while (performance.now() - start < giveUpMs) {
    if ((await canConnect()) === expected) return performance.now() - start;
    await sleep(1);
  }
  throw new Error(`${clusterIp}: no ${expected ? 'connection' : 'refusal'} within ${giveUpMs} ms of the change`);
}

async function change(hasEndpoint: boolean): Promise<number> {
  const start = performance.now();
  const written = callApi(
    'PUT',
    `${slicesPath}/${service}`,
    slice(service, hasEndpoint ? [endpointIp] : [], Number(endpointPort)),
  );
  const [ms] = await Promise.all([millisecondsUntil(hasEndpoint, start), written]);
  return ms;
}

const all: number[] = [];
await millisecondsUntil(false, performance.now());
for (let index = 0; index < Number(changes); index++) {
  await sleep(pauseMs());
  all.push(await change(index % 2 === 0));
}
console.log(JSON.stringify(all));
process.exit();
