import type { Ran } from './vipmap.ts';

let runs = 0;

/**
 * As vipmap(), without a process of its own, for machines on which starting one takes seconds. The main file runs anew each time (the
 * number makes another module of it) over modules that are loaded already. One at a time: the standard streams are this process' own.
 */
export async function vipmapInProcess(args: readonly string[]): Promise<Ran> {
  const { argv } = process;
  const stdout = capture(process.stdout);
  const stderr = capture(process.stderr);
  process.argv = [...argv.slice(0, 2), ...args];
  // Each run listens for errors.
  process.stdout.setMaxListeners(0);
  try {
    const main = `../../src/cli/main.ts?run=${runs++}`;
    await import(main);
  } finally {
    process.argv = argv;
    stdout.end();
    stderr.end();
  }
  const exitCode = Number(process.exitCode ?? 0);
  process.exitCode = undefined;
  return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
}

function capture(stream: NodeJS.WriteStream): { text: () => string; end: () => void } {
  const write = stream.write.bind(stream);
  const parts: string[] = [];
  // As a stream may be written to: with or without an encoding, and a function to call when it is done.
  stream.write = (chunk: string | Uint8Array, ...rest: readonly unknown[]) => {
    parts.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
    const done = rest.at(-1);
    if (typeof done === 'function') queueMicrotask(() => void (done as () => void)());
    return true;
  };
  return {
    text: () => parts.join(''),
    end: () => {
      stream.write = write;
    },
  };
}
