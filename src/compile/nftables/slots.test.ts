import { assignSlots, slotsOfElements } from './slots.ts';

describe('assignSlots', () => {
  it('gives slots in the order of the endpoints at first', () => {
    expect(assignSlots(undefined, ['a', 'b', 'c'])).toEqual(['a', 'b', 'c']);
  });

  it('lets everybody else stay when one leaves: the last takes its slot', () => {
    expect(assignSlots(['a', 'b', 'c', 'd'], ['a', 'c', 'd'])).toEqual(['a', 'd', 'c']);
  });

  it('gives a new one the next slot', () => {
    expect(assignSlots(['c', 'b'], ['a', 'b', 'c'])).toEqual(['c', 'b', 'a']);
  });

  it('gives a new one the slot of one that leaves at the same time', () => {
    expect(assignSlots(['a', 'b', 'c'], ['a', 'c', 'x'])).toEqual(['a', 'x', 'c']);
  });

  it('closes holes and passes over doubles that somebody else made', () => {
    expect(assignSlots(['a', undefined, 'a', 'b'], ['a', 'b'])).toEqual(['a', 'b']);
    expect(assignSlots([undefined, undefined, 'b'], ['b'])).toEqual(['b']);
  });

  it('empties', () => {
    expect(assignSlots(['a', 'b'], [])).toEqual([]);
  });
});

describe('slotsOfElements', () => {
  it('finds frontends and their endpoints by slot', () => {
    const elements = new Map([
      ['10.96.0.1 . 80 . 1', '10.0.0.2 . 8080'],
      ['10.96.0.1 . 80 . 0', '10.0.0.1 . 8080'],
      ['30080 . 0', '10.0.0.1 . 8080'],
    ]);
    expect([...slotsOfElements(elements)]).toEqual([
      ['10.96.0.1 . 80', ['10.0.0.1 . 8080', '10.0.0.2 . 8080']],
      ['30080', ['10.0.0.1 . 8080']],
    ]);
  });

  it('does not believe a slot number that cannot be ours', () => {
    expect([...slotsOfElements(new Map([['10.96.0.1 . 80 . 4000000000', '10.0.0.1 . 8080']]))]).toEqual([]);
  });
});
