import { median } from 'simple-statistics';
import { printSize, type Row, type Size, type Unit } from './question.ts';

/** Gathers the values of alternating runs into rows. */
export function collectRows(question: string, size: Size) {
  const rows = new Map<string, Row & { readonly values: number[] }>();
  return {
    add(what: string, program: string, unit: Unit, ...values: readonly number[]): void {
      const key = `${what}\n${program}`;
      const row = rows.get(key) ?? { question, what, program, size, unit, values: [] };
      rows.set(key, row);
      row.values.push(...values);
    },
    all(): readonly Row[] {
      return [...rows.values()];
    },
    /** `5000x10: vipmap 812 ms, a chain per service 3190 ms`. */
    summary(what: string): string {
      const parts = [...rows.values()]
        .filter((row) => row.what === what)
        .map(({ program, unit, values }) => `${program} ${median([...values]).toFixed(0)} ${unit}`);
      return `${printSize(size)}: ${parts.join(', ')}`;
    },
  };
}
