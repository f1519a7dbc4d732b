import childProcess, { type ChildProcessWithoutNullStreams, type SpawnOptions } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import { PassThrough } from 'node:stream';

/*
 * Preloaded (node --import) in an emulated machine, where starting a process takes half a second and a ruleset is read by dozens of
 * `nft list`: those are asked of one nft that stays (nft -i). Everything else starts nft as usual. The code under test does not notice.
 */
const program = process.env['VIPMAP_NFT'] ?? 'nft';
// Lists nothing, ever: the line that says so tells that the command before it is done.
const endCommand = 'list flowtables netdev';
const endLine = /^\{"nftables": \[\{"metainfo": \{[^{}]*\}\}\]\}$/;

interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

class ResidentNft {
  readonly #child: ChildProcessWithoutNullStreams;
  #buffered = '';
  #stderr = '';
  #lines: string[] = [];
  #isAtEnd = false;
  #done: ((ended: Ended) => void) | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: readonly string[]) {
    // It writes a history of what was typed.
    const env = { ...process.env, HOME: '/tmp' };
    this.#child = realSpawn(program, [...options, '-i'], { env });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#settle();
    });
    // It ends with this process, which must not wait for it.
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) {
      (stream as unknown as { unref(): void }).unref();
    }
  }

  run(command: string): Promise<Ended> {
    const ended = this.#last.then(
      () =>
        new Promise<Ended>((resolve) => {
          const waiting = setInterval(() => undefined, 60_000);
          this.#done = (result) => {
            clearInterval(waiting);
            resolve(result);
          };
          this.#child.stdin.write(`${command}\n${endCommand}\n`);
        }),
    );
    this.#last = ended;
    return ended;
  }

  #read(text: string): void {
    const lines = `${this.#buffered}${text}`.split('\n');
    this.#buffered = lines.pop() ?? '';
    for (const line of lines) {
      if (endLine.test(line)) this.#isAtEnd = true;
      else this.#lines.push(line);
    }
    this.#settle();
  }

  // A command gives a line or an error; the error comes by another pipe and may arrive after the end.
  #settle(): void {
    if (!this.#isAtEnd || (this.#lines.length === 0 && this.#stderr === '')) return;
    const stdout = this.#lines.map((line) => `${line}\n`).join('');
    const ended = { exitCode: this.#lines.length > 0 ? 0 : 1, stdout, stderr: this.#stderr };
    this.#lines = [];
    this.#stderr = '';
    this.#isAtEnd = false;
    this.#done?.(ended);
  }
}

const realSpawn = childProcess.spawn;
const residents = new Map<string, ResidentNft>();
let version: Promise<Ended> | undefined;

function runResident(args: readonly string[]): Promise<Ended> | undefined {
  if (args[0] === '--version') return (version ??= runReal(args));
  const list = args.indexOf('list');
  if (list < 0 || !args.includes('-j')) return undefined;
  const options = args.slice(0, list);
  const key = options.join(' ');
  let resident = residents.get(key);
  if (resident === undefined) residents.set(key, (resident = new ResidentNft(options)));
  return resident.run(args.slice(list).join(' '));
}

function runReal(args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    childProcess.execFile(program, args, (error, stdout, stderr) =>
      resolve({ exitCode: error === null ? 0 : 1, stdout, stderr }),
    );
  });
}

/** What a caller sees of a process: its streams and its end. */
function standIn(running: Promise<Ended>): EventEmitter {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const child = Object.assign(new EventEmitter(), {
    stdin: new PassThrough().resume(),
    stdout,
    stderr,
    kill: () => true,
  });
  void running.then(async (ended) => {
    const drained = [stdout, stderr].map((stream) => new Promise((resolve) => stream.once('end', resolve)));
    stdout.end(ended.stdout);
    stderr.end(ended.stderr);
    await Promise.all(drained);
    child.emit('close', ended.exitCode, null);
  });
  return child;
}

childProcess.spawn = ((command: string, args: readonly string[], options: SpawnOptions) => {
  const running = command === program ? runResident(args) : undefined;
  return running === undefined ? realSpawn(command, args, options) : standIn(running);
}) as typeof childProcess.spawn;
syncBuiltinESMExports();
