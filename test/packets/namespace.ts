import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** The command to put before another to run it in a fresh network namespace, or the reason why there can be none. */
export type Entrance = { readonly command: readonly string[] } | { readonly unavailable: string };

// As root, or as anybody who may make a user namespace.
const entrances = [
  ['unshare', '--net'],
  ['unshare', '--user', '--map-root-user', '--net'],
] as const;

// Making a namespace is not enough: some containers let one be made and keep /proc/sys read-only.
const probe = `
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link add probe0 type veth peer name probe1
"$1" list ruleset`;

/** Finds a way into a network namespace in which a playground can be opened and the nft command given works. */
export async function findEntrance(nft: string): Promise<Entrance> {
  const reasons: string[] = [];
  for (const command of entrances) {
    try {
      await execute(command[0], [...command.slice(1), 'sh', '-ec', probe, 'probe', nft]);
      return { command };
    } catch (error) {
      const { stderr, message } = error as Error & { stderr?: string };
      reasons.push(`${command.join(' ')}: ${(stderr?.trim() || message).replaceAll('\n', '; ')}`);
    }
  }
  return { unavailable: reasons.join(' | ') };
}

/** Runs a script with this Node in a fresh network namespace and gives its standard output. Rejects if the script fails. */
export async function runScriptInside(
  entrance: Extract<Entrance, { command: unknown }>,
  script: string,
  args: readonly string[],
): Promise<string> {
  const [program = '', ...rest] = [...entrance.command, process.execPath, script, ...args];
  const { stdout } = await execute(program, rest, { maxBuffer: 2 ** 28 });
  return stdout;
}
