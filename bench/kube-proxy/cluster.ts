import { run } from '../../test/cluster/command.ts';
import { inParallel } from '../../test/cluster/wait.ts';
import { startApiServer } from './api-server.ts';
import type { Binaries } from './binaries.ts';

/** What a proxy needs. */
export interface Place {
  /** For files that are written along the way. */
  readonly folder: string;
  readonly binaries: Binaries;
  readonly kubeconfig: string;
}

/** A cluster's objects in a real API server, in this process's network namespace. */
export interface Cluster extends Place {
  /** Makes these all objects that there are (see generate.ts): writes and deletes what differs from what is there, and nothing else. */
  fill(objects: Iterable<Json>): Promise<void>;
  /** Creates an object, or puts it in the place of the one of its name. */
  write(object: Json): Promise<void>;
  close(): Promise<void>;
}

type Json = Readonly<Record<string, unknown>>;

const namespace = 'bench';
export const nodeName = 'node-1';
const collections: Readonly<Record<string, string>> = {
  Node: '/api/v1/nodes',
  Service: `/api/v1/namespaces/${namespace}/services`,
  EndpointSlice: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
};
/** So many requests at a time keep two processors busy. */
const width = 32;

/** Opens an empty one. Everything it writes is in `folder`, which must be empty. */
export async function openCluster(binaries: Binaries, folder: string): Promise<Cluster> {
  // The node's own, as generate.ts has it; the namespace has no other interface.
  await run('ip', ['address', 'replace', '192.168.0.2/32', 'dev', 'lo']);
  const server = await startApiServer(binaries, folder);
  await server.call('POST', '/api/v1/namespaces', JSON.stringify({ metadata: { name: namespace } }));
  /** Path to object, as JSON. */
  const present = new Map<string, string>();

  const write = async (path: string, body: string) => {
    const isNew = !present.has(path);
    await server.call(isNew ? 'POST' : 'PUT', isNew ? path.slice(0, path.lastIndexOf('/')) : path, body);
    present.set(path, body);
  };
  return {
    folder,
    binaries,
    kubeconfig: server.kubeconfig,
    async fill(objects) {
      const wanted = new Map(Array.from(objects, placed));
      const gone = [...present.keys()].filter((path) => !wanted.has(path));
      await inParallel(gone, width, async (path) => {
        await server.call('DELETE', path);
        present.delete(path);
      });
      const changed = [...wanted].filter(([path, body]) => present.get(path) !== body);
      await inParallel(changed, width, ([path, body]) => write(path, body));
    },
    write: (object) => write(...placed(object)),
    close: () => server.close(),
  };
}

/** An object's path, and the object as it is sent. */
function placed(object: Json): [path: string, body: string] {
  const { kind, metadata } = object as { readonly kind: string; readonly metadata: { readonly name: string } };
  return [`${collections[kind]}/${metadata.name}`, JSON.stringify(object)];
}
