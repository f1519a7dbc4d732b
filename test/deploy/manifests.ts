import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadAll } from 'js-yaml';

/** A Kubernetes object, or a kustomization, as its YAML has it. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Manifest = any;

export const deployPath = fileURLToPath(new URL('../../deploy', import.meta.url));

export const readDeploy = (file: string) => readFileSync(`${deployPath}/${file}`, 'utf8');

/** The objects in a file of deploy/, e.g. `base/daemon-set.yaml`. */
export const readManifests = (file: string): readonly Manifest[] => parseManifests(readDeploy(file));

export const parseManifests = (text: string): readonly Manifest[] =>
  loadAll(text).filter((document) => document !== null);

/** The one object of a kind. */
export function only(manifests: readonly Manifest[], kind: string): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind);
  if (found.length !== 1) throw new Error(`${found.length} objects are a ${kind}, not one`);
  return found[0];
}
