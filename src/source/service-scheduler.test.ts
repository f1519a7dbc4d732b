import { schedulerAnnotations, serviceScheduler } from './service-scheduler.ts';

const ours = 'vipmap.io/ipvs-scheduler';
const name = 'kube-router.io/service.scheduler';
const flags = 'kube-router.io/service.schedflags';

function read(annotations: Readonly<Record<string, unknown>>) {
  const said: string[] = [];
  const kept = schedulerAnnotations({ metadata: { annotations } });
  const scheduler = kept && serviceScheduler(kept, (message) => said.push(message));
  return { scheduler, said };
}

const known = 'one of rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq, mh, fo, ovf, twos';

describe("a Service's annotations", () => {
  it.each([
    [{ [ours]: 'mh,mh-port' }, { name: 'mh', flags: ['mh-port'] }],
    [{ [ours]: 'lc' }, { name: 'lc', flags: [] }],
    [{ [name]: 'lc' }, { name: 'lc', flags: [] }],
    [{ [name]: 'mh' }, { name: 'mh', flags: [] }],
    [
      { [name]: 'mh', [flags]: 'mh-port,mh-fallback' },
      { name: 'mh', flags: ['mh-fallback', 'mh-port'] },
    ],
    [
      { [name]: 'mh', [flags]: 'flag-1, flag-2' },
      { name: 'mh', flags: ['mh-fallback', 'mh-port'] },
    ],
    [
      { [name]: 'sh', [flags]: 'flag-2' },
      { name: 'sh', flags: ['sh-port'] },
    ],
    [
      { [name]: 'mh', [flags]: '' },
      { name: 'mh', flags: [] },
    ],
    [
      { [ours]: 'rr', [name]: 'mh', [flags]: 'x' },
      { name: 'rr', flags: [] },
    ],
    [
      { [ours]: '', [name]: 'lc' },
      { name: 'lc', flags: [] },
    ],
  ])('choose its scheduler: %j', (annotations, scheduler) => {
    expect(read(annotations)).toEqual({ scheduler, said: [] });
  });

  it.each([{}, { [ours]: '' }, { other: 'rr' }])('choose none: %j', (annotations) => {
    expect(schedulerAnnotations({ metadata: { annotations } })).toBeUndefined();
  });

  it.each<[Readonly<Record<string, unknown>>, string | undefined, string]>([
    [
      { [ours]: 'mx' },
      undefined,
      `annotation ${ours} "mx" is not ${known}, with flags after it by commas for sh (sh-fallback, sh-port) and mh (mh-fallback, mh-port), e.g. mh,mh-port; the node's scheduler is used`,
    ],
    [{ [ours]: 'rr,mh-port', [name]: 'lc' }, undefined, `annotation ${ours} "rr,mh-port" is not ${known}`],
    [{ [ours]: 7 }, undefined, `annotation ${ours} "7" is not ${known}`],
    [
      { [name]: 'mh,mh-port' },
      undefined,
      `annotation ${name} "mh,mh-port" is not ${known}, without flags, which go into ${flags}; the node's scheduler is used`,
    ],
    [
      { [name]: 'mh', [flags]: 'flag-3' },
      'mh',
      `annotation ${flags} "flag-3" is not a list of flag-1 (mh-fallback) and flag-2 (mh-port); mh is used without flags`,
    ],
    [
      { [name]: 'lc', [flags]: 'flag-1' },
      'lc',
      `annotation ${flags} "flag-1" is not what lc can have: it has no flags; lc is used without flags`,
    ],
    [{ [flags]: 'flag-1' }, undefined, `annotation ${flags} "flag-1" is given without ${name}; it is ignored`],
  ])('may be wrong: %j', (annotations, used, message) => {
    const { scheduler, said } = read(annotations);
    expect(scheduler).toEqual(used === undefined ? undefined : { name: used, flags: [] });
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(message);
  });
});
