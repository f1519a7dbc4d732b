import partition from 'lodash-es/partition.js';
import { KernelError, type KernelFailure } from '../kernel/kernel.ts';
import { MemoryKernel } from '../kernel/memory.ts';
import type { SetDeclaration } from '../ruleset/nftables/ruleset.ts';
import type { Command, ElementCommand, Transaction } from '../ruleset/nftables/transaction.ts';
import { applyTransaction } from './apply-transaction.ts';
import { chunkTransaction } from './plan-transactions.ts';

const set: SetDeclaration = { name: 'service-ips', key: { kind: 'meta', key: 'l4proto' }, data: 'verdict', flags: [] };
const structure: readonly Command[] = [
  { kind: 'table', verb: 'add', family: 'ip' },
  { kind: 'set', verb: 'add', family: 'ip', set },
];
const element = (key: string): ElementCommand => ({
  kind: 'element',
  verb: 'add',
  family: 'ip',
  set,
  key,
  value: 'drop',
});
const services = (count: number) => Array.from({ length: count }, (_, n) => element(`svc-${n}`));
const ownerOf = (_family: string, _set: string, key: string) => `shop/${key}`;

/** A kernel that refuses every transaction with one of these keys in it. */
function refusing(bad: readonly string[], failure: KernelFailure = 'refused'): MemoryKernel {
  return new MemoryKernel({}, ({ commands }: Transaction) => {
    const isBad = commands.some((command) => command.kind === 'element' && bad.includes(command.key));
    if (isBad) throw new KernelError(failure, `nft refused: ${failure}`, { stderr: 'Error: File exists' });
  });
}
const keysIn = (kernel: MemoryKernel) => [...(kernel.ruleset.ip?.elements.get('service-ips')?.keys() ?? [])];

describe('applyTransaction', () => {
  it('finds one bad service among 64 by halving, and applies all others', async () => {
    const kernel = refusing(['svc-37']);
    const { setAside } = await applyTransaction(kernel, { commands: [...structure, ...services(64)] }, ownerOf);
    expect(setAside.map(({ owner, error }) => [owner, error.details.stderr])).toEqual([
      ['shop/svc-37', 'Error: File exists'],
    ]);
    expect(keysIn(kernel)).toHaveLength(63);
    // The whole, the structure, and two halves at each of six levels.
    expect(kernel.tried.length).toBeLessThanOrEqual(2 + 2 * 6);
  });

  it('finds several', async () => {
    const kernel = refusing(['svc-0', 'svc-1', 'svc-63']);
    const { setAside } = await applyTransaction(kernel, { commands: [...structure, ...services(64)] }, ownerOf);
    expect(setAside.map(({ owner }) => owner)).toEqual(['shop/svc-0', 'shop/svc-1', 'shop/svc-63']);
    expect(keysIn(kernel)).toHaveLength(61);
  });

  it.each<KernelFailure>(['crashed', 'timeout', 'missing', 'too-old', 'not-permitted', 'unsupported'])(
    'does not halve where nft or the machine is at fault: %s',
    async (failure) => {
      const kernel = refusing(['svc-1'], failure);
      await expect(
        applyTransaction(kernel, { commands: [...structure, ...services(8)] }, ownerOf),
      ).rejects.toMatchObject({ failure });
      expect(kernel.tried).toHaveLength(1);
    },
  );

  it('does not tear the replacement of a table apart', async () => {
    const kernel = refusing(['svc-1']);
    await kernel.apply({ commands: [...structure, element('old')] });
    const commands: Command[] = [{ kind: 'table', verb: 'delete', family: 'ip' }, ...structure, ...services(8)];
    await expect(applyTransaction(kernel, { commands }, ownerOf)).rejects.toMatchObject({ failure: 'refused' });
    expect(keysIn(kernel)).toEqual(['old']);
  });

  it('throws where the tables themselves are refused', async () => {
    const kernel = new MemoryKernel({}, () => {
      throw new KernelError('refused', 'nft refused');
    });
    await expect(applyTransaction(kernel, { commands: [...structure, ...services(2)] }, ownerOf)).rejects.toMatchObject(
      { failure: 'refused' },
    );
  });
});

describe('chunkTransaction', () => {
  it('cuts what only adds, in its order, declarations first and alone', () => {
    const commands = [structure[0] as Command, structure[1] as Command, ...services(5)];
    const chunks = chunkTransaction({ commands }, 3);
    expect(chunks.map((chunk) => chunk.commands.length)).toEqual([2, 3, 2]);
    expect(chunks.flatMap((chunk) => chunk.commands)).toEqual(commands);
  });

  it('sends intervals, which cannot take the short way, with the declarations', () => {
    const block = (key: string): ElementCommand => ({ ...element(key), set: { ...set, flags: ['interval'] } });
    const before = [block('10.244.0.0/16')];
    const between = [block('192.0.2.0/24'), block('198.51.100.0/24')];
    const commands = [...structure, ...before, ...services(2), ...between, ...services(4), block('10.96.0.0/12')];
    const chunks = chunkTransaction({ commands }, 3);
    expect(chunks.map((chunk) => chunk.commands.length)).toEqual([6, 3, 3]);
    const isLong = (command: Command) => command.kind !== 'element' || command.set.flags.includes('interval');
    expect(chunks.flatMap((chunk) => chunk.commands)).toEqual(partition(commands, isLong).flat());
  });

  it('never cuts what takes something away', () => {
    const commands: Command[] = [{ ...element('old'), verb: 'delete' }, ...services(5)];
    expect(chunkTransaction({ commands }, 3)).toEqual([{ commands }]);
  });

  it('makes nothing of nothing', () => {
    expect(chunkTransaction({ commands: [] })).toEqual([]);
  });
});
