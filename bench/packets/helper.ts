import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** A script of this folder in a process of its own, which does what it is asked, one thing after another. */
export interface Helper {
  readonly pid: number;
  /** Rejects with the helper's own words when it cannot do it. */
  ask(request: object): Promise<unknown>;
  end(): Promise<void>;
}

type Answer = { readonly value?: unknown } | { readonly error: string };

/** It is ready to be asked, and ends with this process. @param before a program that becomes the one whose command follows, like unshare */
export async function startHelper(script: string, before: readonly string[] = []): Promise<Helper> {
  const [program = '', ...args] = [...before, process.execPath, join(import.meta.dirname, script)];
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit').then(
    () => ({ error: 'it ended' }),
    (error: Error) => ({ error: error.message }),
  );
  const answered = async () => {
    const message = once(child, 'message').then(([answer]) => answer as Answer);
    const answer = await Promise.race([message, ended]);
    if ('error' in answer) throw new Error(`${script}: ${answer.error}`);
    return answer.value;
  };
  await answered();
  return {
    pid: child.pid ?? 0,
    ask: (request) => {
      child.send(request);
      return answered();
    },
    end: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** In a helper: says that it is ready, and answers what it is asked. */
export function answer(act: (request: never) => unknown): void {
  const say = (answer: Answer) => process.send?.(answer);
  process.on('message', (request) => {
    try {
      say({ value: act(request as never) });
    } catch (error) {
      say({ error: (error as Error).message });
    }
  });
  say({});
}
