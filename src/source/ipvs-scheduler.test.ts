import { aKnownScheduler, aScheduler, printScheduler } from './ipvs-scheduler.ts';

describe('a scheduler', () => {
  it.each([
    ['rr', 'rr', []],
    [' lc ', 'lc', []],
    // As kube-proxy has it.
    ['mh', 'mh', ['mh-port']],
    ['mh,mh-fallback', 'mh', ['mh-fallback']],
    ['mh, mh-port, mh-fallback, mh-port', 'mh', ['mh-fallback', 'mh-port']],
    ['sh', 'sh', []],
    ['sh,sh-port', 'sh', ['sh-port']],
    // Another project's.
    ['hrw', 'hrw', []],
    ['constructor', 'constructor', []],
  ])('is read from %j', (text, name, flags) => {
    const choice = aScheduler.parse(text);
    expect(choice).toEqual({ name, flags });
    expect(choice && aScheduler.parse(printScheduler(choice))).toEqual(choice);
  });

  it.each([
    '',
    ',',
    'RR',
    'w-rr',
    'rr;x',
    'abcdefghijklmnop',
    'mh,',
    'mh,sh-port',
    'rr,mh-port',
    'hrw,x',
    5,
    undefined,
  ])('is not %j', (value) => {
    expect(aScheduler.parse(value)).toBeUndefined();
  });

  it('that Linux comes with is told from others', () => {
    expect(aKnownScheduler.parse('twos')).toEqual({ name: 'twos', flags: [] });
    expect(aKnownScheduler.parse('hrw')).toBeUndefined();
  });

  it('is printed in short where that says the same', () => {
    expect(printScheduler({ name: 'mh', flags: ['mh-port'] })).toBe('mh');
    expect(printScheduler({ name: 'mh', flags: ['mh-fallback', 'mh-port'] })).toBe('mh,mh-fallback,mh-port');
    expect(printScheduler({ name: 'rr', flags: [] })).toBe('rr');
  });
});
