import { parseIp, type Ip } from '../net/ip.ts';
import { parseCidr, type Cidr } from '../net/cidr.ts';

/** An object as JSON.parse and YAML give it: nothing about its fields is known. */
export type Json = Readonly<Record<string, unknown>>;

/** Takes a sentence about a field; who calls knows the object that it belongs to. */
export type Report = (message: string) => void;

/** What a field may hold: a reader that gives undefined for everything else, and what to tell then. */
export interface Accepts<T> {
  /** Reads on from "is not": `a port (1-65535)`. */
  readonly expected: string;
  readonly parse: (value: unknown) => T | undefined;
}

export const aText: Accepts<string> = {
  expected: 'text',
  parse: (value) => (typeof value === 'string' ? value : undefined),
};

export const aBoolean: Accepts<boolean> = {
  expected: 'true or false',
  parse: (value) => (typeof value === 'boolean' ? value : undefined),
};

export const anIp: Accepts<Ip> = {
  expected: 'an IP address',
  parse: (value) => (typeof value === 'string' ? parseIp(value.trim()) : undefined),
};

export const aCidr: Accepts<Cidr> = {
  expected: 'a CIDR block such as 10.0.0.0/8',
  parse: (value) => (typeof value === 'string' ? parseCidr(value) : undefined),
};

export const aRecord: Accepts<Json> = {
  expected: 'an object',
  parse: (value) => (isRecord(value) ? value : undefined),
};

export function oneOf<const T extends string>(...values: readonly T[]): Accepts<T> {
  return {
    expected: `one of ${values.map((value) => (value === '' ? 'empty' : value)).join(', ')}`,
    parse: (value) => values.find((accepted) => accepted === value),
  };
}

export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value in quotes for a message, `"70000"`; shortened, for an object may be of any size. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/** `"70000" is not a port (1-65535)`, with a word on quotes where only they are wrong. */
export function refusal(value: unknown, accepts: Accepts<unknown>): string {
  const isQuotedNumber = typeof value === 'string' && value.trim() !== '' && accepts.parse(Number(value)) !== undefined;
  return `${quote(value)} is ${isQuotedNumber ? 'text, ' : ''}not ${accepts.expected}`;
}

/**
 * The field's value, or undefined if it is absent, null or not accepted; the last is reported as
 * `nodePort "70000" is not a port (1-65535); the node port is skipped`, where `consequence` is what comes after the semicolon.
 */
export function readField<T>(
  parent: Json,
  name: string,
  accepts: Accepts<T>,
  consequence: string,
  report: Report,
): T | undefined {
  const value = parent[name];
  if (value === undefined || value === null) return undefined;
  const parsed = accepts.parse(value);
  if (parsed === undefined) report(`${name} ${refusal(value, accepts)}; ${consequence}`);
  return parsed;
}

/** The object in a field, `{}` if there is none. */
export function readRecord(parent: Json, name: string, report: Report): Json {
  return readField(parent, name, aRecord, 'it is ignored', report) ?? nothing;
}

// One for all: a large cluster has hundreds of thousands of fields that are not there.
const nothing: Json = {};
const noValues: readonly never[] = [];

/** The list in a field as it is, empty if there is none. */
export function readList(parent: Json, name: string, report: Report): readonly unknown[] {
  const value = parent[name];
  if (value === undefined || value === null) return noValues;
  if (Array.isArray(value)) return value;
  report(`${name} ${quote(value)} is not a list; it is ignored`);
  return noValues;
}

/** The accepted values of a list; the others are reported one by one and cost only themselves. */
export function readValues<T>(
  parent: Json,
  name: string,
  accepts: Accepts<T>,
  consequence: string,
  report: Report,
): readonly T[] {
  const list = readList(parent, name, report);
  if (list.length === 0) return noValues;
  const values: T[] = [];
  for (const value of list) {
    const parsed = accepts.parse(value);
    if (parsed === undefined) report(`${name}: ${refusal(value, accepts)}; ${consequence}`);
    else values.push(parsed);
  }
  return values;
}

/** Visits the objects in a list, each with its place there; whatever else is in it is reported. */
export function readRecords(
  parent: Json,
  name: string,
  report: Report,
  visit: (record: Json, index: number) => void,
): void {
  readList(parent, name, report).forEach((value, index) => {
    if (isRecord(value)) visit(value, index);
    else report(`${name}[${index}] ${quote(value)} is not an object; it is skipped`);
  });
}

/** A report that says where: `port "http": nodePort ...`. The place is asked for only where there is something to report. */
export function within(place: () => string, report: Report): Report {
  return (message) => report(`${place()}: ${message}`);
}

/** What an error says, in one line. */
export function reasonOf(error: unknown): string {
  const text = isRecord(error) && typeof error['message'] === 'string' ? error['message'] : String(error);
  return text.replace(/\s+/g, ' ');
}
