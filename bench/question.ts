/** `5000x10`: so many services of one port with so many endpoints each. */
export interface Size {
  readonly services: number;
  readonly endpoints: number;
}

/** One thing measured: the values of all its runs, in one run of the bench on one machine. Written as JSON. */
export interface Row {
  /** The question's name: `cold-load`. */
  readonly question: string;
  /** What was measured, as a heading of a plot or a table: `all`, `reading`, `one endpoint added`. */
  readonly what: string;
  /** Whose: `vipmap`, `vipmap, mode ipvs`, `kube-proxy`, `a chain per service`, `no rules`. */
  readonly program: string;
  readonly size: Size;
  readonly unit: Unit;
  /** A value for each run or event, unsorted; not empty. */
  readonly values: readonly number[];
  /** Of a value that was not measured in this run: where and when it was. */
  readonly recorded?: { readonly machine: string; readonly date: string };
}

export type Unit = 'ms' | 'us' | 'MB' | 'count' | 'per second';

export interface Context {
  readonly sizes: readonly Size[];
  /** How many times a pair is measured alternately. */
  readonly runs: number;
  /** A folder of its own, deleted afterwards. */
  readonly folder: string;
  /** Says how far it is, for the person who waits. */
  readonly say: (text: string) => void;
}

/** One question that a user would ask; runs in a process and a network namespace of its own, which has its loopback interface only. */
export interface Question {
  readonly name: string;
  readonly title: string;
  /** One sentence: what is timed, from where to where. */
  readonly about: string;
  /** The sizes of a quick run and of a whole one. */
  readonly quick: readonly string[];
  readonly full: readonly string[];
  /** Rows as they are measured, so that what was measured stays when a later size fails. */
  run(context: Context): AsyncIterable<Row>;
}

/** One run of the bench. `bench/results/report.json` is one. */
export interface Report {
  /** ISO 8601. */
  readonly date: string;
  readonly machine: {
    readonly processors: number;
    readonly model: string;
    readonly memoryGiB: number;
    readonly kernel: string;
  };
  /** Program to version: `vipmap`, `node`, `nft`, `kube-proxy`. */
  readonly versions: Readonly<Record<string, string>>;
  /** The load average of one minute before and after. */
  readonly load: readonly [number, number];
  readonly rows: readonly Row[];
  /** By question: why it, or a part of it, was not measured. */
  readonly missing: Readonly<Record<string, string>>;
}

/** @throws Error for anything but two positive numbers with an `x` between */
export function parseSize(text: string): Size {
  const [, services, endpoints] = /^([1-9]\d*)x([1-9]\d*)$/.exec(text) ?? [];
  if (services === undefined || endpoints === undefined)
    throw new Error(`"${text}" is not a size: write SERVICESxENDPOINTS, like 5000x10`);
  return { services: Number(services), endpoints: Number(endpoints) };
}

export function printSize({ services, endpoints }: Size): string {
  return `${services}x${endpoints}`;
}
