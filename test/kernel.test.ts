import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { KernelError } from '../src/kernel/kernel.ts';
import { NftKernel } from '../src/kernel/nft.ts';
import { nftProgram } from './kernel/vipmap.ts';
import { describeInside } from './packets/describe-inside.ts';
import { findEntrance, runScriptInside } from './packets/namespace.ts';

const entrance = await findEntrance(nftProgram);

describeInside(entrance, 'a real kernel', (inside) => {
  let results: Readonly<Record<string, string>> = {};
  beforeAll(async () => {
    const script = join(import.meta.dirname, 'kernel', 'run-kernel-checks.ts');
    results = JSON.parse(await runScriptInside(inside, script, [])) as typeof results;
  }, 600_000);

  it('keeps what is promised of it', () => {
    expect(Object.keys(results).length).toBeGreaterThan(5);
    expect(Object.entries(results).filter(([, fault]) => fault !== '')).toEqual([]);
  });

  const noOldNft = process.env['VIPMAP_OLD_NFT'] === undefined ? 'nft 1.0.6 could not be fetched' : undefined;
  describeInside(noOldNft === undefined ? inside : { unavailable: noOldNft }, 'an older nft on the host', () => {
    it('lists our tables', () => {
      expect(results['our tables do not crash an older nft']).toBe('');
    });
  });
});

/** Scripts that stand in for nft and fail in the ways that nft fails in real life. */
const fakes = join(import.meta.dirname, 'kernel', 'fake-nft');

describe('nft that does not do its work', () => {
  const open = (name: string) => NftKernel.open({ program: join(fakes, name), timeoutMs: 1000 });
  const failureOf = async (promise: Promise<unknown>): Promise<KernelError> => {
    const error = await promise.then(
      () => undefined,
      (caught: unknown) => caught,
    );
    if (!(error instanceof KernelError)) throw new Error(`expected a KernelError, got ${String(error)}`);
    return error;
  };
  const transaction = { commands: [{ kind: 'table', verb: 'add', family: 'ip' }] } as const;

  it('is missing', async () => {
    const error = await failureOf(open('not-there'));
    expect(error.failure).toBe('missing');
    expect(error.message).toMatch(/cannot be started \(ENOENT\); install nftables 1\.1\.3 or newer/);
  });

  it('is too old', async () => {
    const error = await failureOf(open('old'));
    expect(error.failure).toBe('too-old');
    expect(error.message).toMatch(/nft 1\.1\.3 or newer is needed.*v1\.0\.6/);
  });

  it.each([
    ['crashing', 'crashed', /nft crashed \(SIGSEGV\)/],
    ['hanging', 'timeout', /did not end within 1 s/],
    ['full', 'full', /is full/],
    ['refusing', 'refused', /nft refused: .*File exists/],
    ['unprivileged', 'not-permitted', /run as root or with CAP_NET_ADMIN/],
    ['too-big', 'too-big', /does not fit/],
    ['no-kernel', 'unsupported', /this kernel has no nf_tables/],
  ])('%s is told as %s', async (name, failure, message) => {
    expect(existsSync(join(fakes, name))).toBe(true);
    const kernel = await open(name);
    const error = await failureOf(kernel.apply(transaction));
    expect(error.failure).toBe(failure);
    expect(error.message).toMatch(message);
    expect(error.details.durationMs).toBeGreaterThan(0);
  });
});
