import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

export interface LoadOptions {
  /** The program; default `modprobe`. */
  readonly modprobe?: string;
  /** A folder in place of `/`. */
  readonly root?: string;
}

/**
 * Loads the modules of IPVS, dummy interfaces and these schedulers (`rr`: ip_vs_rr) where they are not there yet. False if the kernel has
 * no IPVS after it. Never throws: a module can be built in, and the kernel loads most by itself when they are first asked for, even
 * for a container that has neither modprobe nor the modules. What is missing in the end is named by what opens IPVS.
 */
export async function loadIpvs(schedulers: readonly string[], options: LoadOptions = {}): Promise<boolean> {
  const { modprobe = 'modprobe', root = '/' } = options;
  const isThere = async (path: string) => {
    return access(join(root, path)).then(
      () => true,
      () => false,
    );
  };
  const hasIpvs = () => isThere('/proc/sys/net/ipv4/vs');
  const load = (...args: string[]) => run(modprobe, args, '', 30_000).catch(() => undefined);
  const missing = (await hasIpvs()) ? [] : ['ip_vs'];
  for (const scheduler of schedulers) {
    const module = `ip_vs_${scheduler}`;
    if (/^\w{1,15}$/.test(scheduler) && !(await isThere(`/sys/module/${module}`))) missing.push(module);
  }
  if (missing.length > 0) await load('-q', '-a', ...missing);
  // Without the number it would make an interface dummy0.
  if (!(await isThere('/sys/module/dummy'))) await load('-q', 'dummy', 'numdummies=0');
  return hasIpvs();
}
