/** Where an axis begins and ends, and what is written along it. */
export interface Axis {
  readonly type: 'log' | 'linear';
  readonly domain: readonly [number, number];
  readonly ticks: readonly number[];
}

/**
 * An axis for values. Logarithmic, from a round number to another, with the powers of ten on it where there are enough of them; but from
 * nothing or below there is no logarithm.
 */
export function valueAxis(least: number, most: number): Axis {
  if (least <= 0) return linearAxis(least, most);
  const steps = stepsAround(least, most, most / least < 5 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : [1, 2, 5]);
  const powers = steps.filter((step) => Number.isInteger(Math.log10(step)));
  const domain = [steps[0] ?? least, steps.at(-1) ?? most] as const;
  return { type: 'log', domain, ticks: powers.length >= 3 ? powers : steps };
}

/** A logarithmic axis for the sizes that were measured, with room at both ends. As many of them are ticks as can be read side by side. */
export function sizeAxis(counts: readonly number[]): Axis {
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const isPower = (count: number) => Number.isInteger(Math.log10(count));
  const byImportance = [least, most, ...counts.filter(isPower), ...counts];
  const width = Math.log(most / least);
  const ticks: number[] = [];
  for (const count of byImportance) {
    if (ticks.every((tick) => Math.abs(Math.log(count / tick)) > 0.12 * width)) ticks.push(count);
  }
  const room = (most / least) ** 0.05;
  return { type: 'log', domain: [least / room, most * room], ticks };
}

function linearAxis(least: number, most: number): Axis {
  const width = most > least ? most - least : 1;
  const step = stepsAround(width / 5, width / 5, [1, 2, 5]).at(-1) ?? width;
  const [from, to] = [Math.floor(least / step), Math.ceil((least + width) / step)];
  const ticks = Array.from({ length: to - from + 1 }, (_, i) => (from + i) * step);
  return { type: 'linear', domain: [from * step, to * step], ticks };
}

/** The digits of each power of ten, from the last that is not above the least to the first that is not below the most. */
function stepsAround(least: number, most: number, digits: readonly number[]): number[] {
  const steps: number[] = [];
  for (let power = Math.floor(Math.log10(least)); (steps.at(-1) ?? 0) < most; power++) {
    for (const digit of digits) {
      // From its text, since a product has digits that the number does not: 3 * 0.1.
      const step = Number(`${digit}e${power}`);
      if (step <= least) steps.splice(0, steps.length, step);
      else if ((steps.at(-1) ?? 0) < most) steps.push(step);
    }
  }
  return steps;
}
