import {
  boolYaml11Tag,
  defineScalarTag,
  FAILSAFE_SCHEMA,
  floatCoreTag,
  load,
  mergeTag,
  NOT_RESOLVED,
  nullCoreTag,
  YAMLException,
} from 'js-yaml';
import { reasonOf } from './fields.ts';

/** A document of a YAML stream: its value, or what js-yaml says about it. */
export type YamlDocument =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'error'; readonly line: number; readonly reason: string };

/** Integers as Kubernetes reads them (go-yaml 2): 0755 is octal, 1_000 is a thousand, and 12:30 is no number. */
const goInteger = defineScalarTag<number>('tag:yaml.org,2002:int', {
  implicit: true,
  implicitFirstChars: ['-', '+', ...'0123456789'],
  resolve: (source) => {
    const match = /^([-+]?)(?:0[bB]([01]+)|0[oO]?([0-7]+)|0[xX]([0-9a-fA-F]+)|(0|[1-9]\d*))$/.exec(
      source.replaceAll('_', ''),
    );
    if (match === null) return NOT_RESOLVED;
    const [, sign, binary, octal, hexadecimal, decimal] = match;
    const digits = binary ?? octal ?? hexadecimal ?? decimal ?? '';
    const value = parseInt(digits, binary ? 2 : octal ? 8 : hexadecimal ? 16 : 10);
    return sign === '-' ? -value : value;
  },
  identify: Number.isInteger,
});

/** Scalars as Kubernetes reads them: yes, no, on and off are booleans (they were in YAML 1.1), timestamps stay text. */
const schema = FAILSAFE_SCHEMA.withTags(nullCoreTag, boolYaml11Tag, goInteger, floatCoreTag, mergeTag);

/** From this size on a List is read in pieces: js-yaml takes half the time and a third of the memory for it. */
const largeDocument = 1_000_000;

/**
 * The documents of a stream, in order, empty ones left out. A syntax error costs the document it is in. In a list as kubectl prints it
 * (`items:` on a line, each item from a line that starts with `- `) it costs the item: each piece of the list is a list of its own.
 */
export function* yamlDocuments(text: string): Generator<YamlDocument> {
  let line = 1;
  for (const document of text.split(/^(?=---(?:\s|$))/m)) {
    if (hasContent(document)) yield* oneDocument(document, line);
    line += lineCount(document);
  }
}

/** False for comments, directives and separators alone. */
function hasContent(document: string): boolean {
  return /^(?!---\s*$|---\s+#|\.\.\.\s*$|%|\s*#|\s*$)/m.test(document);
}

function lineCount(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

function* oneDocument(document: string, firstLine: number): Generator<YamlDocument> {
  if (document.length >= largeDocument) {
    const pieces = listPieces(document);
    if (pieces !== undefined) {
      yield* piecewise(pieces, firstLine);
      return;
    }
  }
  const whole = parse(document, firstLine);
  const pieces = whole.kind === 'error' ? listPieces(document) : undefined;
  if (pieces === undefined) yield whole;
  else yield* piecewise(pieces, firstLine);
}

function parse(text: string, firstLine: number): YamlDocument {
  try {
    return { kind: 'value', value: load(text, { schema }) };
  } catch (error) {
    // Other errors (a stack too deep, say) are about this document too.
    const mark = error instanceof YAMLException ? error.mark : undefined;
    const reason = error instanceof YAMLException ? error.reason : reasonOf(error);
    return { kind: 'error', line: firstLine + (mark?.line ?? 0), reason };
  }
}

interface ListPieces {
  /** What stands before and after the items: apiVersion, kind, metadata. */
  readonly frame: string;
  readonly linesBefore: number;
  readonly items: readonly string[];
}

/** The items of a list in kubectl's layout, or undefined. Nothing inside an item can stand in the first column, so lines tell items apart. */
function listPieces(document: string): ListPieces | undefined {
  const start = /^items:[ \t]*\r?\n(?=- )/m.exec(document);
  if (start === null) return undefined;
  const from = start.index + start[0].length;
  const rest = /^(?![-\s#])/m;
  const tail = rest.exec(document.slice(from));
  const to = tail === null ? document.length : from + tail.index;
  const frame = document.slice(0, start.index) + document.slice(to);
  if (!hasContent(frame)) return undefined;
  return {
    frame,
    linesBefore: lineCount(document.slice(0, from)),
    items: document.slice(from, to).split(/^(?=- )/m),
  };
}

function* piecewise({ frame, linesBefore, items }: ListPieces, firstLine: number): Generator<YamlDocument> {
  const list = parse(frame, firstLine);
  if (list.kind === 'error') {
    yield list;
    return;
  }
  let line = firstLine + linesBefore;
  for (const chunk of chunksOf(items)) {
    const whole = parse(chunk.join(''), line);
    const parts = whole.kind === 'error' && chunk.length > 1 ? chunk : [];
    if (parts.length === 0) yield withItems(list.value, whole);
    for (const item of parts) {
      yield withItems(list.value, parse(item, line));
      line += lineCount(item);
    }
    if (parts.length === 0) line += lineCount(chunk.join(''));
  }
}

function withItems(list: unknown, items: YamlDocument): YamlDocument {
  return items.kind === 'error' ? items : { kind: 'value', value: { ...Object(list), items: items.value } as unknown };
}

function* chunksOf(items: readonly string[]): Generator<readonly string[]> {
  let chunk: string[] = [];
  let size = 0;
  for (const item of items) {
    chunk.push(item);
    size += item.length;
    if (size < largeDocument / 2) continue;
    yield chunk;
    chunk = [];
    size = 0;
  }
  if (chunk.length > 0) yield chunk;
}
