import { reasonOf } from './fields.ts';

export type JsonText =
  { readonly kind: 'value'; readonly value: unknown } | { readonly kind: 'error'; readonly reason: string };

/** True if the text is to be read as JSON: it starts like an object or a list. */
export function looksLikeJson(text: string): boolean {
  return /^\s*[{[]/.test(text);
}

/** The value of the text, or what is wrong with it: `line 3: Expected double-quoted property name in JSON at position 40 ...`. */
export function parseJson(text: string): JsonText {
  try {
    return { kind: 'value', value: JSON.parse(text) as unknown };
  } catch (error) {
    const line = lineOf(text, error);
    return { kind: 'error', reason: `${line === undefined ? '' : `line ${line}: `}${reasonOf(error)}` };
  }
}

/** V8 tells a position in some messages only; in the others the quoted surroundings lead to it, where they occur once. */
function lineOf(text: string, error: unknown): number | undefined {
  const message = error instanceof Error ? error.message : '';
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return lineAt(text, Number(position));
  const [, token, dots, around] =
    /^Unexpected token '(.+?)', (\.\.\.)?"([^]*)"(?:\.\.\.)? is not valid JSON$/.exec(message) ?? [];
  if (token === undefined || around === undefined) return undefined;
  const start = text.indexOf(around);
  if (start === -1 || start !== text.lastIndexOf(around)) return undefined;
  return lineAt(text, dots === undefined ? text.indexOf(token, start) : start + surroundings);
}

/** How many characters V8 quotes before the place of the error. */
const surroundings = 10;

function lineAt(text: string, position: number): number {
  return text.slice(0, position).split('\n').length;
}
