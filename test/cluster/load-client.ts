import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { LoadLine } from './load.ts';

/*
 * Opens so many new TCP connections a second, each for one small HTTP request, in turn to each target, and keeps a few connections per
 * target open all the time with a request every half second. Prints a JSON line for each failure, and totals when standard input ends:
 *   load-client.ts --rate 60 --kept 2 --target 'cluster IP=10.96.1.2:80' --target ...
 */
const { values } = parseArgs({
  options: {
    rate: { type: 'string' },
    kept: { type: 'string', default: '0' },
    target: { type: 'string', multiple: true, default: [] },
  },
});
const connectTimeoutMs = 1000;
const answerTimeoutMs = 5000;
const rate = Number(values.rate);
const targets = values.target.map((text) => {
  const [, name = '', host = '', port] = /^(.*)=\[?([^\]]*)\]?:(\d+)$/.exec(text) ?? [];
  return { name, host, port: Number(port), ok: 0, failed: 0, connectMs: [] as number[] };
});
type Target = (typeof targets)[number];

const print = (line: LoadLine) => process.stdout.write(`${JSON.stringify(line)}\n`);
let open = 0;

function fail(target: Target, reason: string): void {
  target.failed++;
  print({ kind: 'failure', at: Date.now(), target: target.name, reason });
}

// A timer may run before the answer that has arrived meanwhile is read, on a machine that is busy: look once more after that.
function onTimeout(ms: number, isDone: () => boolean, act: () => void): NodeJS.Timeout {
  return setTimeout(() => setImmediate(() => setImmediate(() => !isDone() && act())), ms);
}

function openConnection(target: Target): void {
  const start = performance.now();
  let done = false;
  let connected = false;
  let answer = '';
  open++;
  const socket = connect({ host: target.host, port: target.port });
  const end = (reason?: string) => {
    if (done) return;
    done = true;
    open--;
    clearTimeout(connecting);
    clearTimeout(answering);
    // A reset: no state of closed connections is left behind on either side.
    socket.resetAndDestroy();
    if (reason === undefined) target.ok++;
    else fail(target, reason);
  };
  const connecting = onTimeout(
    connectTimeoutMs,
    () => connected,
    () => end(`not connected within ${connectTimeoutMs} ms`),
  );
  const answering = onTimeout(
    answerTimeoutMs,
    () => done,
    () => end(`connected, but no answer within ${answerTimeoutMs} ms`),
  );
  socket.on('connect', () => {
    connected = true;
    target.connectMs.push(performance.now() - start);
    socket.write(`GET / HTTP/1.0\r\nHost: load\r\n\r\n`);
  });
  socket.on('data', (data) => (answer += data.toString()));
  socket.on('end', () =>
    end(answer.startsWith('HTTP/1.0 200') ? undefined : `answer ${JSON.stringify(answer.slice(0, 60))}`),
  );
  socket.on('error', (error: NodeJS.ErrnoException) =>
    end(`${connected ? 'after connecting: ' : ''}${error.code ?? error.message}`),
  );
}

const kept: Socket[] = [];
function keepConnection(target: Target): void {
  const socket = connect({ host: target.host, port: target.port });
  let answering: NodeJS.Timeout | undefined;
  kept.push(socket);
  const broke = (reason: string) => {
    clearInterval(timer);
    clearTimeout(answering);
    socket.destroy();
    if (!isEnding) fail(target, `kept connection: ${reason}`);
  };
  const timer = setInterval(() => {
    if (answering !== undefined) return;
    socket.write('GET / HTTP/1.1\r\nHost: load\r\n\r\n');
    answering = onTimeout(
      answerTimeoutMs,
      () => answering === undefined,
      () => broke(`no answer within ${answerTimeoutMs} ms`),
    );
  }, 500);
  socket.on('data', () => {
    clearTimeout(answering);
    answering = undefined;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => broke(error.code ?? error.message));
  socket.on('end', () => broke('closed by the other side'));
}

let isEnding = false;
let begun = 0;
const start = performance.now();
for (const target of targets) for (let index = 0; index < Number(values.kept); index++) keepConnection(target);
const timer = setInterval(() => {
  const due = Math.floor(((performance.now() - start) * rate) / 1000);
  // After a pause of the whole machine: not all at once what was missed.
  begun = Math.max(begun, due - rate);
  for (; begun < due; begun++) openConnection(targets[begun % targets.length] as Target);
}, 4);
print({ kind: 'started' });

createInterface({ input: process.stdin }).on('close', () => {
  clearInterval(timer);
  isEnding = true;
  for (const socket of kept) socket.destroy();
  const waiting = setInterval(() => {
    if (open > 0) return;
    clearInterval(waiting);
    const totals = targets.map(({ name, ok, failed, connectMs }) => ({
      name,
      ok,
      failed,
      connectMs: connectMs.map((ms) => Math.round(ms * 10) / 10),
    }));
    process.stdout.write(
      `${JSON.stringify({ kind: 'totals', seconds: (performance.now() - start) / 1000, targets: totals } satisfies LoadLine)}\n`,
      () => process.exit(),
    );
  }, 10);
});
