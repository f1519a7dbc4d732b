import { type FSWatcher, watch } from 'node:fs';
import type { Problem } from '../model/proxy-state.ts';
import type { ObjectSink, Observed, WatchedKind } from './cluster-store.ts';
import { reasonOf } from './fields.ts';
import { type Manifests, readManifests } from './manifests.ts';

export interface StateFilesOptions {
  readonly paths: readonly string[];
  readonly sink: ObjectSink;
  /** Told once for each new problem. */
  readonly warn: (problem: Problem) => void;
  /** Changed files are read at once where the system tells of them; where it does not (a network file system), this often. */
  readonly periodMs?: number;
}

/** How long files may settle after a change: editors and `kubectl get > file` write in several steps. */
const settleMs = 100;

/**
 * Manifest files as the source of a daemon: read as a whole at the start and whenever one of them changes. A state that cannot be read
 * is told and changes nothing: the last good one stays.
 */
export class StateFiles {
  readonly #options: StateFilesOptions;
  readonly #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  #said = new Set<string>();

  constructor(options: StateFilesOptions) {
    this.#options = options;
  }

  /** Reads the files, then watches them. Throws SourceError if they cannot be read the first time. */
  async start(): Promise<void> {
    const manifests = await readManifests(this.#options.paths);
    this.#take(manifests);
    for (const path of this.#options.paths) {
      try {
        this.#watchers.push(watch(path, { recursive: true, persistent: false }, () => this.#changed()));
      } catch {
        // No inotify watches left, or no such thing here: the period below does it.
      }
    }
    this.#timer = setInterval(() => void this.#read(), this.#options.periodMs ?? 30_000).unref();
  }

  stop(): void {
    for (const watcher of this.#watchers) watcher.close();
    clearInterval(this.#timer);
    clearTimeout(this.#settling);
  }

  #changed(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => void this.#read(), settleMs);
  }

  async #read(): Promise<void> {
    try {
      this.#take(await readManifests(this.#options.paths));
    } catch (error) {
      this.#say([{ object: 'State', message: `${reasonOf(error)}; the last state stays in place` }]);
    }
  }

  #take({ objects, problems, lost }: Manifests): void {
    if (lost.length > 0) {
      const message = `nothing could be read of ${lost.join(', ')}; the last state stays in place`;
      return this.#say([...problems, { object: 'State', message }]);
    }
    this.#say(problems);
    const { sink } = this.#options;
    const namespaced = (object: Observed['object'] & { namespace: string }): Observed => ({
      key: `${object.namespace}/${object.name}`,
      object,
      problems: [],
    });
    const replace = (kind: WatchedKind, observed: readonly Observed[]) => sink.replace(kind, observed);
    const named = (object: NonNullable<Observed['object']>): Observed => ({ key: object.name, object, problems: [] });
    replace('Node', objects.nodes.map(named));
    replace('ServiceCIDR', objects.serviceCidrs.map(named));
    replace('EndpointSlice', objects.endpointSlices.map(namespaced));
    replace('Service', objects.services.map(namespaced));
  }

  #say(problems: readonly Problem[]): void {
    const texts = new Set(problems.map(({ object, message }) => `${object}: ${message}`));
    for (const problem of problems)
      if (!this.#said.has(`${problem.object}: ${problem.message}`)) this.#options.warn(problem);
    this.#said = texts;
  }
}
