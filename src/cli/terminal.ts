import { styleText } from 'node:util';
import { pino } from 'pino';

/** Everything that is said to people goes to standard error; standard output is data. */
export interface Reporter {
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
  /** Names the step that begins; said only once work has taken more than a second, so short runs stay quiet. */
  stage(name: string): void;
}

export type LogFormat = 'text' | 'json';

const quietMs = 1000;

/** A daemon's lines come with the time; those of a command that somebody waits for do not. */
export function createReporter(format: LogFormat, { hasTime = false } = {}): Reporter {
  const start = performance.now();
  const say = format === 'json' ? jsonLines() : textLines(hasTime);
  return {
    ...say,
    stage(name) {
      const elapsedMs = performance.now() - start;
      if (elapsedMs > quietMs) say.info(`${(elapsedMs / 1000).toFixed(1)} s: ${name}`);
    },
  };
}

function jsonLines(): Omit<Reporter, 'stage'> {
  const logger = pino({ base: null }, pino.destination({ dest: 2, sync: true }));
  return {
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
  };
}

function textLines(hasTime: boolean): Omit<Reporter, 'stage'> {
  const line = (style: 'yellow' | 'red' | 'dim', prefix: string) => (message: string) => {
    const start = hasTime ? `${new Date().toISOString()} ` : 'vipmap: ';
    process.stderr.write(`${paint(process.stderr, style, `${start}${prefix}`)}${message}\n`);
  };
  return { info: line('dim', ''), warn: line('yellow', 'warning: '), error: line('red', 'error: ') };
}

type Style = Parameters<typeof styleText>[0];

/** Colour on a terminal only, and not where NO_COLOR asks for none. */
export function paint(stream: NodeJS.WriteStream, style: Style, text: string): string {
  return stream.isTTY && process.env['NO_COLOR'] === undefined
    ? styleText(style, text, { validateStream: false })
    : text;
}

/** Writes data and waits until it has gone, however large. */
export function writeData(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}

/** The user's mistake in how the program is called: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** `1 service`, `2 services`. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
