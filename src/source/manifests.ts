import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { compareText } from '../net/ip.ts';
import { type Collection, addValue, emptyCollection, type Manifests, manifestsOf } from './collect.ts';
import { isRecord, reasonOf } from './fields.ts';
import { looksLikeJson, parseJson } from './json.ts';
import { yamlDocuments } from './yaml.ts';

export type { Manifests } from './collect.ts';

/** The cluster's objects cannot be read at all, so nothing may be concluded from them. The message names the path and the remedy. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly path: string;
  constructor(path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.path = path;
  }
}

/** What readManifests needs besides files; tests give their own. */
export interface ManifestIo {
  readonly readStdin: () => Promise<string>;
}

const processIo: ManifestIo = { readStdin: () => readAll(process.stdin) };

/**
 * The objects in the manifests at the paths, with everything wrong in them. A path is a file (YAML or JSON), a folder (all .yaml, .yml
 * and .json files below it but dotfiles, in order of their names) or `-`, standard input. Of an object that is given twice the later
 * one counts. Throws SourceError if a path cannot be read.
 */
export async function readManifests(paths: readonly string[], io: ManifestIo = processIo): Promise<Manifests> {
  const collection = emptyCollection();
  const seen = new Set<string>();
  for (const path of paths) {
    for (const file of await filesOf(path, collection)) {
      if (seen.has(resolve(file))) continue;
      seen.add(resolve(file));
      addText(collection, await readPath(file, io), file);
    }
  }
  return manifestsOf(collection);
}

/** The objects in one text, as readManifests gives them; `file` is what problems call it. */
export function parseManifests(text: string, file: string): Manifests {
  const collection = emptyCollection();
  addText(collection, text, file);
  return manifestsOf(collection);
}

async function filesOf(path: string, collection: Collection): Promise<readonly string[]> {
  if (path === '-') return [path];
  if (!(await isFolder(path))) return [path];
  const files = await manifestsBelow(path);
  if (files.length === 0) {
    collection.lost.push(path);
    collection.problems.push({ object: `Folder ${path}`, message: 'holds no .yaml, .yml or .json file' });
  }
  return files;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Links to files are followed, as ConfigMap volumes consist of them; links to folders are not, as they may go in circles. */
async function manifestsBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw unreadable(folder, error);
  });
  const files: string[] = [];
  for (const entry of entries.sort((a, b) => compareText(a.name, b.name))) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith('.')) continue;
    if (entry.isDirectory()) files.push(...(await manifestsBelow(path)));
    else if (['.yaml', '.yml', '.json'].includes(extname(entry.name)) && !(await isFolder(path))) files.push(path);
  }
  return files;
}

async function readPath(path: string, io: ManifestIo): Promise<string> {
  try {
    return path === '-' ? await io.readStdin() : await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
}

const remedies: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder; check the path',
  EACCES: 'permission denied; make it readable for this user',
  EPERM: 'permission denied; make it readable for this user',
  ERR_STRING_TOO_LONG: 'it is larger than 512 MB; split it into several files',
};

function unreadable(path: string, error: unknown): SourceError {
  // Not instanceof: the error may come from another realm.
  const code = isRecord(error) ? String(error['code']) : '';
  const reason = remedies[code] ?? `${reasonOf(error)}; give a readable file or folder`;
  return new SourceError(path, `cannot read ${path === '-' ? 'standard input' : `"${path}"`}: ${reason}`, {
    cause: error,
  });
}

function addText(collection: Collection, rawText: string, path: string): void {
  const file = path === '-' ? 'standard input' : path;
  const text = rawText.charCodeAt(0) === 0xfeff ? rawText.slice(1) : rawText;
  if (looksLikeJson(text)) return addJson(collection, text, file);
  let count = 0;
  let understood = 0;
  for (const document of yamlDocuments(text)) {
    count += 1;
    if (document.kind === 'value') {
      understood += 1;
      addValue(collection, document.value, file);
    } else {
      const message = `line ${document.line}: ${document.reason}; what stands there is skipped`;
      collection.problems.push({ object: `File ${file}`, message });
    }
  }
  if (count === 0) collection.problems.push({ object: `File ${file}`, message: 'is empty' });
  if (understood === 0) collection.lost.push(file);
}

function addJson(collection: Collection, text: string, file: string): void {
  const json = parseJson(text);
  if (json.kind === 'value') addValue(collection, json.value, file);
  else {
    collection.lost.push(file);
    const message = `is not valid JSON: ${json.reason}; the file is skipped`;
    collection.problems.push({ object: `File ${file}`, message });
  }
}
