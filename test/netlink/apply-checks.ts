import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Kernel, KernelError } from '../../src/kernel/kernel.ts';
import { NetlinkKernel } from '../../src/kernel/netlink/netlink-kernel.ts';
import type { SetDeclaration } from '../../src/ruleset/nftables/ruleset.ts';
import type { ElementCommand } from '../../src/ruleset/nftables/transaction.ts';
import { runProgram } from '../kernel/vipmap.ts';
import { type Checks, differs, firstOf } from './check.ts';
import { listing, nftKernel, OtherKernel, withNetlink } from './element-checks.ts';
import { openSocket } from './socket-checks.ts';
import { longestWait } from './waits.ts';

const daddr = { kind: 'payload', protocol: 'ip', field: 'daddr' } as const;
const dport = { kind: 'payload', protocol: 'tcp', field: 'dport' } as const;
const verdicts: SetDeclaration = { name: 'verdicts', key: daddr, data: 'verdict', flags: [] };
const small: SetDeclaration = { name: 'small', key: daddr, flags: [], size: 3 };
const endpoints: SetDeclaration = {
  name: 'endpoints',
  key: { kind: 'concat', parts: [daddr, dport, { kind: 'random', modulus: 2 }] },
  data: { kind: 'concat', parts: [daddr, dport] },
  flags: [],
};

const command = (verb: 'add' | 'delete', set: SetDeclaration, key: string, value = ''): ElementCommand => ({
  kind: 'element',
  verb,
  family: 'ip',
  set,
  key,
  value,
});

async function prepare(): Promise<void> {
  await nftKernel.apply({
    commands: [
      { kind: 'table', verb: 'add', family: 'ip' },
      { kind: 'chain', verb: 'add', family: 'ip', name: 'there' },
      ...[verdicts, small, endpoints].map((set) => ({ kind: 'set', verb: 'add', family: 'ip', set }) as const),
      command('add', verdicts, '10.0.0.1', 'drop'),
      command('add', verdicts, '10.0.0.2', 'goto there'),
    ],
  });
}

const slots = (count: number, verb: 'add' | 'delete' = 'add') =>
  Array.from({ length: count }, (_, n) =>
    command(
      verb,
      endpoints,
      `10.${96 + (n >> 18)}.${(n >> 10) & 255}.${(n >> 2) & 255} . 80 . ${n & 3}`,
      `10.244.${(n >> 8) & 255}.${n & 255} . 8080`,
    ),
  );

/** In parts where the whole does not fit: what a socket takes without CAP_NET_ADMIN over the machine, net.core.wmem_max says. */
async function applyMany(kernel: Kernel, commands: readonly ElementCommand[]): Promise<void> {
  const error = await errorOf(kernel.apply({ commands }));
  if (error === undefined) return;
  if (error.failure !== 'too-big') throw error;
  for (let i = 0; i < commands.length; i += 5000) await kernel.apply({ commands: commands.slice(i, i + 5000) });
}

async function errorOf(run: Promise<unknown>): Promise<KernelError | undefined> {
  try {
    await run;
    return undefined;
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
}

/** Commands that are refused, with what the error is and says. */
const refused: Readonly<Record<string, readonly [readonly ElementCommand[], string, RegExp]>> = {
  'another value': [
    [command('add', verdicts, '10.0.0.9', 'drop'), command('add', verdicts, '10.0.0.1', 'return')],
    'refused',
    /^the kernel refused: File exists: add element ip vipmap verdicts \{ 10\.0\.0\.1 : return \}$/,
  ],
  'no such chain': [
    [command('add', verdicts, '10.0.0.9', 'goto nowhere')],
    'refused',
    /No such file or directory: add element ip vipmap verdicts \{ 10\.0\.0\.9 : goto nowhere \}/,
  ],
  'no such element': [
    [command('add', small, '10.0.0.9'), command('delete', verdicts, '10.0.0.9', 'drop')],
    'refused',
    /No such file or directory: delete element ip vipmap verdicts \{ 10\.0\.0\.9 \}/,
  ],
  'no such set': [
    [command('add', { ...small, name: 'nothing' }, '10.0.0.9')],
    'refused',
    /No such file or directory: add element ip vipmap nothing/,
  ],
  'no such table': [
    [{ ...command('add', { ...small, key: { ...daddr, protocol: 'ip6' } }, 'fd00::1'), family: 'ip6' }],
    'refused',
    /No such file or directory: add element ip6 vipmap small/,
  ],
  'a key of another length': [
    [command('add', { ...small, key: dport }, '80')],
    'refused',
    /Invalid argument: add element ip vipmap small \{ 80 \}/,
  ],
  'a full set': [
    ['1', '2', '3', '4'].map((n) => command('add', small, `10.0.0.${n}`)),
    'full',
    /is full \(Too many open files in system: add element ip vipmap small \{ 10\.0\.0\.4 \}\)/,
  ],
};

export const applyChecks: Checks = {
  'a refused transaction of elements changes nothing and says what was wrong': async () => {
    await prepare();
    const before = await listing();
    return withNetlink(async (kernel, other) => {
      for (const [name, [commands, failure, message]] of Object.entries(refused)) {
        const error = await errorOf(kernel.apply({ commands }));
        const wrong = firstOf(
          differs(`${name}: failure`, error?.failure, failure),
          message.test(error?.message ?? '') ? undefined : `${name}: ${error?.message}`,
          differs(`${name}: ruleset`, await listing(), before),
        );
        if (wrong !== undefined) return wrong;
      }
      // The socket is fit for the next transaction.
      await kernel.apply({ commands: [command('add', small, '10.0.0.1')] });
      return firstOf(
        differs('after', (await kernel.readElements('ip', small)).size, 1),
        differs('left to nft', other.asked, []),
      );
    });
  },

  'netlink and nft find the same failure in a transaction': async () => {
    await prepare();
    return withNetlink(async (kernel) => {
      for (const [name, [commands]] of Object.entries(refused)) {
        // nft looks at what is there, and names another set for what has another key.
        if (name === 'a key of another length') continue;
        const [byNetlink, byNft] = [
          await errorOf(kernel.apply({ commands })),
          await errorOf(nftKernel.apply({ commands })),
        ];
        const wrong = differs(name, byNetlink?.failure, byNft?.failure);
        if (wrong !== undefined) return `${wrong}: ${byNft?.message}`;
      }
      return undefined;
    });
  },

  'one bad element among thousands is named': async () => {
    await prepare();
    const commands = slots(5000);
    const bad = commands[3210] as ElementCommand;
    await nftKernel.apply({ commands: [{ ...bad, value: '10.9.9.9 . 1' }] });
    return withNetlink(async (kernel) => {
      const error = await errorOf(kernel.apply({ commands }));
      return firstOf(
        differs('failure', error?.failure, 'refused'),
        differs(
          'words',
          error?.details.stderr,
          `File exists: add element ip vipmap endpoints { ${bad.key} : ${bad.value} }`,
        ),
        differs('elements', (await kernel.readElements('ip', endpoints)).size, 1),
      );
    });
  },

  'a value is changed by a deletion and an addition at once; adding what is there does nothing': async () => {
    await prepare();
    return withNetlink(async (kernel) => {
      await kernel.apply({
        commands: [
          command('delete', verdicts, '10.0.0.1', 'drop'),
          command('add', verdicts, '10.0.0.1', 'return'),
          command('add', verdicts, '10.0.0.2', 'goto there'),
        ],
      });
      const expected = new Map([
        ['10.0.0.1', 'return'],
        ['10.0.0.2', 'goto there'],
      ]);
      return differs('elements', await kernel.readElements('ip', verdicts), expected);
    });
  },

  'transactions that are asked for at once are made one after the other': async () => {
    await prepare();
    return withNetlink(async (kernel) => {
      const one = slots(3000);
      const outcomes = await Promise.allSettled([
        kernel.apply({ commands: one }),
        kernel.apply({ commands: one.map((each) => ({ ...each, verb: 'delete' })) }),
        kernel.apply({ commands: [command('delete', small, '10.0.0.1')] }),
        kernel.apply({ commands: [command('add', small, '10.0.0.1')] }),
        kernel.apply({ commands: [command('delete', small, '10.0.0.1')] }),
      ]);
      return firstOf(
        differs(
          'outcomes',
          outcomes.map(({ status }) => status).join(' '),
          'fulfilled fulfilled rejected fulfilled fulfilled',
        ),
        differs('left', (await kernel.readElements('ip', endpoints)).size, 0),
      );
    });
  },

  'a transaction larger than the buffer is too big': async () => {
    await prepare();
    const open = () => openSocket({ sendBufferBytes: 4096 });
    const kernel = NetlinkKernel.open(new OtherKernel(), { open });
    const errors = [
      await errorOf(kernel?.apply({ commands: slots(500) }) ?? Promise.resolve()),
      await errorOf(kernel?.apply({ commands: slots(5000) }) ?? Promise.resolve()),
    ];
    kernel?.close();
    return differs(
      'failures',
      errors.map((error) => error?.failure),
      ['too-big', 'too-big'],
    );
  },

  'without the right to change rules it is not permitted': async () => {
    await prepare();
    const folder = join(import.meta.dirname, '..', '..', 'src', 'kernel', 'netlink');
    const script = `import { NetlinkKernel } from '${folder}/netlink-kernel.ts';
      const set = ${JSON.stringify(small)};
      const kernel = NetlinkKernel.open({ readElements: () => { throw new Error('left to the other'); } });
      for (const run of [() => kernel.apply({ commands: [{ kind: 'element', verb: 'add', family: 'ip', set, key: '10.0.0.1', value: '' }] }), () => kernel.readElements('ip', set)])
        await run().catch((error) => console.log(error.failure, error.message));
      kernel.close();`;
    const { stdout, stderr } = await runProgram('unshare', [
      '--user',
      '--map-root-user',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ]);
    return differs(
      'printed',
      stdout + stderr,
      "not-permitted this process may not change the kernel's rules (Operation not permitted); run as root or with CAP_NET_ADMIN\nundefined left to the other\n",
    );
  },

  'what changes while it is read is read whole': async () => {
    await prepare();
    return withNetlink(async (kernel) => {
      const commands = slots(20_000);
      await applyMany(kernel, commands);
      let changes = 0;
      let isReading = true;
      const changing = (async () => {
        while (isReading && changes < 10_000) {
          await kernel.apply({ commands: [command(changes++ % 2 === 0 ? 'add' : 'delete', small, '10.0.0.1')] });
          await nextTurn();
        }
      })();
      const found = await kernel.readElements('ip', endpoints);
      isReading = false;
      await changing;
      return firstOf(
        differs('changed meanwhile', changes > 1, true),
        differs('elements', found, new Map(commands.map(({ key, value }) => [key, value]))),
      );
    });
  },

  'large transactions and maps do not hold up the event loop': async () => {
    await prepare();
    return withNetlink(async (kernel, other) => {
      const commands = slots(count);
      const times: Record<string, readonly number[]> = {};
      const timed = async <T>(name: string, run: () => Promise<T>): Promise<T> => {
        const { longestMs, tookMs, result } = await longestWait(run);
        times[name] = [tookMs, longestMs];
        return result;
      };
      await timed('add', () => applyMany(kernel, commands));
      const found = await timed('read', () => kernel.readElements('ip', endpoints));
      const single: number[] = [];
      for (let i = 0; i < 200; i++) {
        const start = performance.now();
        await kernel.apply({ commands: [command(i % 2 === 0 ? 'add' : 'delete', small, '10.0.0.1')] });
        single.push(performance.now() - start);
      }
      single.sort((a, b) => a - b);
      times['one element'] = [single[100] ?? 0, single[198] ?? 0];
      const deletions = slots(count, 'delete');
      await timed('delete', () => applyMany(kernel, deletions));
      if (process.env['VIPMAP_TEST_ELEMENTS'] !== undefined) {
        process.stderr.write(`${count} elements, ms and longest wait: ${JSON.stringify(times)}\n`);
      }
      const longest = Math.max(...Object.values(times).map(([, wait]) => wait ?? 0));
      return firstOf(
        differs('read', found, new Map(commands.map(({ key, value }) => [key, value]))),
        differs('left', (await kernel.readElements('ip', endpoints)).size, 0),
        differs('left to nft', other.asked, []),
        differs('kept waiting', longest < 300 ? 'short' : JSON.stringify(times), 'short'),
      );
    });
  },
};

/** With VIPMAP_TEST_ELEMENTS=200000 the times are printed. */
const count = Number(process.env['VIPMAP_TEST_ELEMENTS'] ?? 100_000);
