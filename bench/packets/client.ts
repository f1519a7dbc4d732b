import { answer } from './helper.ts';
import {
  bind,
  close,
  connect,
  giveUpSoon,
  openSocket,
  pinToProcessor,
  receive,
  resetOnClose,
  send,
  setAddress,
  SOCK_DGRAM,
  SOCK_STREAM,
  socketAddress,
} from './sockets.ts';

/** Addresses to choose from: every `step`th from the first on. */
export interface Targets {
  readonly first: number;
  readonly step: number;
  readonly count: number;
  readonly port: number;
}

export type Task =
  /** Which of how many clients with the same address it is: each has ports and a processor of its own. */
  | { readonly kind: 'be'; readonly client: number; readonly clients: number }
  /** Microseconds of each. */
  | { readonly kind: 'tcp' | 'udp' | 'udp-steady'; readonly count: number; readonly targets: Targets }
  /** How many connections in so long. */
  | { readonly kind: 'tcp-rate'; readonly ms: number; readonly targets: Targets };

const firstPort = 2000;
let ports = 0;
let lowestPort = firstPort;
let used = 0;

const source = socketAddress(0, 0);
const destination = socketAddress(0, 0);
const bytes = Buffer.from('there and back');
const answered = Buffer.alloc(64);

answer((task: Task): unknown => {
  switch (task.kind) {
    case 'be':
      pinToProcessor(task.client);
      ports = Math.floor((0xffff - firstPort) / task.clients);
      lowestPort = firstPort + ports * task.client;
      return undefined;
    case 'tcp':
      return repeat(task.count, () => timeConnect(task.targets));
    case 'udp':
      return repeat(task.count, () => timeNewFlow(task.targets));
    case 'udp-steady':
      return timeOneFlow(task.count, task.targets);
    case 'tcp-rate':
      return countConnects(task.ms, task.targets);
  }
});

function repeat(count: number, measure: () => number): number[] {
  return Array.from({ length: count }, measure);
}

// A port that this client has not used for the longest time, for an address chosen at random: the flow is new.
function open(type: number, { first, step, count, port }: Targets): number {
  const fd = openSocket(type);
  giveUpSoon(fd);
  setAddress(source, 0, lowestPort + (used++ % ports));
  bind(fd, source);
  setAddress(destination, first + step * Math.floor(Math.random() * count), port);
  return fd;
}

function microseconds(act: () => void): number {
  const start = process.hrtime.bigint();
  act();
  return Number(process.hrtime.bigint() - start) / 1000;
}

function timeConnect(targets: Targets): number {
  const fd = open(SOCK_STREAM, targets);
  resetOnClose(fd);
  const time = microseconds(() => connect(fd, destination));
  close(fd);
  return time;
}

// Connecting a UDP socket sends nothing.
function timeNewFlow(targets: Targets): number {
  const fd = open(SOCK_DGRAM, targets);
  connect(fd, destination);
  const time = microseconds(() => thereAndBack(fd));
  close(fd);
  return time;
}

function timeOneFlow(count: number, targets: Targets): number[] {
  const fd = open(SOCK_DGRAM, targets);
  connect(fd, destination);
  thereAndBack(fd);
  const times = repeat(count, () => microseconds(() => thereAndBack(fd)));
  close(fd);
  return times;
}

function thereAndBack(fd: number): void {
  send(fd, bytes);
  receive(fd, answered);
}

function countConnects(ms: number, targets: Targets): number {
  const end = performance.now() + ms;
  let count = 0;
  for (; performance.now() < end; count++) {
    const fd = open(SOCK_STREAM, targets);
    resetOnClose(fd);
    connect(fd, destination);
    close(fd);
  }
  return count;
}
