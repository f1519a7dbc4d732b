import { openPath, type Path } from '../packets/path.ts';
import { clear, findPrograms, type Program } from '../packets/programs.ts';
import type { Protocol } from '../packets/services.ts';
import { type Context, printSize, type Question, type Row, type Size } from '../question.ts';

export const packets: Question = {
  name: 'packets',
  title: 'What do rules cost a connection?',
  about:
    'From a client through a node to a backend, each in a network namespace of its own, by veth: how long a connect takes until the ' +
    'connection is set up, and a datagram there and back, to services chosen at random. Without rules, and with conntrack only, the ' +
    'client goes to the endpoints themselves. A value is of one round of 1,000; the programs take turns.',
  quick: ['10x2', '1000x2'],
  full: ['10x2', '1000x2', '10000x2'],
  run,
};

/** A program's rules in a node of their own: at 10,000 services kube-proxy's take too long to load to change places. */
interface Lane {
  readonly program: Program;
  readonly path: Path;
}

async function* run(context: Context): AsyncIterable<Row> {
  const lanes: Lane[] = [];
  try {
    for (const program of await findPrograms(context.say)) lanes.push({ program, path: await openPath(program.node) });
    for (const size of context.sizes) {
      for (const { program, path } of lanes) {
        await clear(path);
        await program.load(path, size, context.folder);
        context.say(`${printSize(size)}: ${program.name} is loaded`);
      }
      for (const measurement of measurements) yield* takeTurns(lanes, measurement, size, context.runs * roundsPerRun);
      context.say(`${printSize(size)}: measured`);
    }
  } finally {
    for (const { path } of lanes) await path.end();
  }
}

/** A round takes a small part of a second. */
const roundsPerRun = 3;
const samples = 1000;
const rateMs = 250;

interface Measurement {
  readonly rows: readonly Pick<Row, 'what' | 'unit'>[];
  /** A value for each row. */
  readonly measure: (lane: Lane, size: Size) => Promise<readonly number[]>;
}

const measurements: readonly Measurement[] = [
  time('first packet: connection set up by TCP', 'tcp', 'tcp'),
  time('first packet: UDP there and back, new flow', 'udp', 'udp'),
  time('steady packet: UDP there and back in a flow that exists', 'udp-steady', 'udp'),
  {
    rows: [{ what: 'connections a second', unit: 'per second' }],
    async measure({ path, program }, size) {
      const counts = await path.askAll({ kind: 'tcp-rate', ms: rateMs, targets: program.targets('tcp', size) });
      return [counts.reduce((sum: number, count) => sum + Number(count), 0) * (1000 / rateMs)];
    },
  },
];

function time(what: string, kind: 'tcp' | 'udp' | 'udp-steady', protocol: Protocol): Measurement {
  return {
    rows: [
      { what, unit: 'us' },
      { what: `${what}, p99`, unit: 'us' },
    ],
    async measure({ path, program }, size) {
      const times = await path.ask({ kind, count: samples, targets: program.targets(protocol, size) });
      const sorted = (times as readonly number[]).toSorted((a, b) => a - b);
      return [0.5, 0.99].map((share) => sorted[Math.floor(share * sorted.length)] ?? NaN);
    },
  };
}

async function* takeTurns(lanes: readonly Lane[], { rows, measure }: Measurement, size: Size, rounds: number) {
  const measured = lanes.map((): (readonly number[])[] => []);
  // The round before the first warms everything up.
  for (let round = -1; round < rounds; round++) {
    for (const [n, lane] of lanes.entries()) {
      await lane.path.forget();
      const values = await measure(lane, size);
      if (round >= 0) measured[n]?.push(values);
    }
  }
  for (const [row, what] of rows.entries()) {
    for (const [n, { program }] of lanes.entries()) {
      const values = (measured[n] ?? []).map((round) => round[row] ?? NaN);
      yield { question: packets.name, ...what, program: program.name, size, values } satisfies Row;
    }
  }
}
