import type { Entrance } from './namespace.ts';

/**
 * Jest's `describe` for tests that need a network namespace. Where there can be none they are skipped, and the reason is
 * printed; in CI (CI=true) they fail, so that nobody takes tests that never ran for tests that passed.
 */
export function describeInside(
  entrance: Entrance,
  name: string,
  tests: (entrance: Extract<Entrance, { command: unknown }>) => void,
): void {
  if ('command' in entrance) {
    describe(name, () => tests(entrance));
    return;
  }
  const reason = entrance.unavailable;
  console.log(`SKIPPED ${name}: ${reason}`);
  if (process.env['CI'] === 'true') {
    it(`${name} must not be skipped in CI`, () => {
      throw new Error(reason);
    });
  } else {
    it.skip(name, () => {});
  }
}
