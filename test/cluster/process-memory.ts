import { readFileSync } from 'node:fs';

/** A process's memory in bytes, by a field of /proc/PID/status; 0 of a process that has ended. */
export function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  try {
    const [, kilobytes = '0'] =
      new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kilobytes) * 1024;
  } catch {
    return 0;
  }
}

function childrenOf(pid: number): readonly number[] {
  try {
    const direct = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number);
    return direct.flatMap((child) => [child, ...childrenOf(child)]);
  } catch {
    return [];
  }
}

/** Looks at a process and what it starts, twenty times a second, and remembers the most. */
export class MemoryWatch {
  /** The process and all its children at one moment. */
  peak = 0;
  /** Its children alone. */
  childrenPeak = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      const children = childrenOf(pid).reduce((sum, child) => sum + memoryOf(child, 'VmRSS'), 0);
      this.childrenPeak = Math.max(this.childrenPeak, children);
      this.peak = Math.max(this.peak, children + memoryOf(pid, 'VmRSS'));
    }, 50);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
