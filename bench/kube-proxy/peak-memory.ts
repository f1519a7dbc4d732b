import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { memoryOf } from '../../test/cluster/process-memory.ts';

/** Watches a process and what it starts, twenty times a second. */
export class PeakMemory {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  #largestChild = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => {
      for (const child of childrenOf(pid)) {
        // Until it runs a program of its own it has its parent's memory, not as much again.
        if (programOf(child) === programOf(pid)) continue;
        this.#largestChild = Math.max(this.#largestChild, memoryOf(child, 'VmHWM'));
      }
    }, 50);
  }

  /** The process's peak so far and that of its largest child, in bytes: what would have to be there for both at once. */
  get bytes(): number {
    return memoryOf(this.#pid, 'VmHWM') + this.#largestChild;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** `''` of a process that has ended. */
function programOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return '';
  }
}

/** Those that any of its threads has started: a Go program does not start them from its first. */
function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    // It, or a thread of it, has just ended.
    return [];
  }
}
