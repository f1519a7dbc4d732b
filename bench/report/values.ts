import type { Report, Size, Unit } from '../question.ts';

/** What a unit is shown in, the largest first: from so many of it on, and how many of it that is. */
const shownIn: Readonly<Record<Unit, readonly (readonly [factor: number, suffix: string])[]>> = {
  ms: [
    [1000, ' s'],
    [1, ' ms'],
    [0.001, ' µs'],
  ],
  us: [
    [1_000_000, ' s'],
    [1000, ' ms'],
    [1, ' µs'],
  ],
  MB: [
    [1000, ' GB'],
    [1, ' MB'],
    [0.001, ' kB'],
  ],
  count: [[1, '']],
  'per second': [[1, '/s']],
};

// Three digits that count; whole numbers keep all of theirs.
const digits = new Intl.NumberFormat('en', {
  maximumSignificantDigits: 3,
  maximumFractionDigits: 0,
  roundingPriority: 'morePrecision',
});

/** `1.24 s`, `815 ms`, `12,345/s` */
export function printValue(value: number, unit: Unit): string {
  const [factor, suffix] = shown(value, unit);
  return `${digits.format(value / factor)}${suffix}`;
}

/** Both in what suits the larger one: `0.98–1.24 s`. */
export function printRange(least: number, most: number, unit: Unit): string {
  const [factor, suffix] = shown(most, unit);
  return `${digits.format(least / factor)}–${digits.format(most / factor)}${suffix}`;
}

/** `0.31`, `1.2`, `47`; what is small as a part, `1/38`, since nobody sees at a glance how many noughts 0.0026 has. */
export function printRatio(ratio: number): string {
  if (ratio > 0 && ratio < 0.095) return `1/${digits.format(Number((1 / ratio).toPrecision(2)))}`;
  return ratio > 0 && ratio < 10 ? ratio.toPrecision(2) : digits.format(ratio);
}

/** `5 values` */
export function printCount(values: number): string {
  return values === 1 ? '1 value' : `${digits.format(values)} values`;
}

/** `5,000 × 10` */
export function printSizeForPeople({ services, endpoints }: Size): string {
  return `${digits.format(services)} × ${digits.format(endpoints)}`;
}

/** `20k` */
export function printShortly(count: number): string {
  return count < 1000 ? `${count}` : `${digits.format(count / 1000)}k`;
}

/** `2026-01-31 09:26 UTC` */
export function printDate({ date }: Report): string {
  return `${new Date(date).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** `2 × Some Processor, 7.8 GiB` */
export function printMachine({ machine: { processors, model, memoryGiB } }: Report): string {
  return `${processors} × ${model}, ${digits.format(memoryGiB)} GiB`;
}

/** `vipmap 0.1.0, kube-proxy 1.35.0` */
export function printVersions({ versions }: Report): string {
  return Object.entries(versions)
    .map(([program, version]) => `${program} ${version}`)
    .join(', ');
}

function shown(value: number, unit: Unit): readonly [factor: number, suffix: string] {
  const choices = shownIn[unit];
  const fitting = value === 0 ? 1 : Math.abs(value);
  return choices.find(([factor]) => fitting >= factor) ?? choices.at(-1) ?? [1, ''];
}
