import { accessSync, constants } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { repository, run } from '../../test/cluster/command.ts';

/** Where the programs are, as absolute paths. */
export interface Binaries {
  readonly etcd: string;
  readonly apiServer: string;
  readonly kubeProxy: string;
  readonly nft: string;
}

const buildScript = join(repository, 'test', 'cluster', 'build.sh');
/** The first build takes its time: modules are fetched and compiled. */
const buildMs = 40 * 60_000;

/** The programs, or in words why there are none. Builds nothing: in a network namespace without a way out nothing can be fetched. */
export async function findBinaries(): Promise<Binaries | string> {
  if (process.getuid?.() !== 0) return 'it needs root: for addresses, and for the kernel';
  const kept = async (name: string) => (await run(buildScript, ['--path', name])).trim();
  const binaries: Binaries = {
    etcd: inPath('etcd') ?? (await kept('etcd')),
    apiServer: await kept('kube-apiserver'),
    kubeProxy: await kept('kube-proxy'),
    nft: inPath(process.env['VIPMAP_NFT'] || 'nft') ?? 'nft',
  };
  const missing = Object.values(binaries).filter((file: string) => !isProgram(file));
  return missing.length === 0 ? binaries : `not there: ${missing.join(', ')}; test/cluster/build.sh makes them`;
}

/** Builds what is missing, where the machine has root, Go and a network; gives why something still is, undefined if nothing. */
export async function buildBinaries(say: (text: string) => void): Promise<string | undefined> {
  if (typeof (await findBinaries()) !== 'string') return undefined;
  say('building kube-proxy and an API server, which takes ten minutes the first time');
  try {
    await run(buildScript, ['control', 'proxy', 'etcd'], { timeoutMs: buildMs });
  } catch (error) {
    return (error as Error).message;
  }
  const found = await findBinaries();
  return typeof found === 'string' ? found : undefined;
}

/** `kube-proxy v1.36.3`; nothing where it is not built. */
export async function versions(): Promise<Readonly<Record<string, string>>> {
  const found = await findBinaries();
  if (typeof found === 'string') return {};
  const [, version = ''] = / v?(\S+)/.exec(await run(found.kubeProxy, ['--version'])) ?? [];
  return { 'kube-proxy': version };
}

/** kube-proxy knows no setting for nft: it takes the first in PATH. */
export function pathWith(nft: string): string {
  return `${dirname(nft)}${delimiter}${process.env['PATH'] ?? ''}`;
}

function inPath(name: string): string | undefined {
  if (name.includes('/')) return name;
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin']
    .map((folder) => join(folder, name))
    .find(isProgram);
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
