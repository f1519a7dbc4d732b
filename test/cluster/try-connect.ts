import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/*
 * Connects until it succeeds: try-connect.ts HOST PORT TIMEOUT-MS. Prints how many milliseconds that took; exit code 1 after the time.
 */
const [host = '', port = '', timeoutMs = ''] = process.argv.slice(2);
const start = performance.now();
let last = '';
while (performance.now() - start < Number(timeoutMs)) {
  last = await new Promise<string>((resolve) => {
    const socket = connect({ host, port: Number(port), timeout: 1000 });
    const end = (problem: string) => {
      socket.destroy();
      resolve(problem);
    };
    socket.on('connect', () => end(''));
    socket.on('timeout', () => end('no answer within 1 s'));
    socket.on('error', (error) => end(error.message));
  });
  if (last === '') {
    console.log(performance.now() - start);
    process.exit();
  }
  await sleep(20);
}
console.error(`${host}:${port} could not be reached within ${timeoutMs} ms: ${last}`);
process.exit(1);
