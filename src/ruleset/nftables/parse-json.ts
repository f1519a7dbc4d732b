import { parseIp } from '../../net/ip.ts';
import type { Family } from '../../net/ip.ts';
import { protocolNumber, protocols } from '../../net/protocol.ts';
import type { Expression, Operator, Rule, Statement } from './expression.ts';
import { statementJson } from './print-json.ts';
import type { BaseChain, Chain, Elements, SetDeclaration, SetFlag, Table } from './ruleset.ts';

/** What `nft -j` prints, so far as we look into it. */
interface Listing {
  readonly nftables: readonly Readonly<Record<string, unknown>>[];
}
type JsonObject = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What one run of `nft -j list` printed. */
export function parseListing(output: string): Listing {
  return JSON.parse(output) as Listing;
}

/**
 * The table's chains, sets and maps from `nft -j -t list table`, without elements. Whatever we never write becomes a `foreign`
 * statement, or a set with a key that equals none of ours, so that a comparison sees it.
 */
export function parseTable(family: Family, listing: Listing): Table {
  const chains = new Map<string, Chain>();
  const rules = new Map<string, Rule[]>();
  const sets = new Map<string, SetDeclaration>();
  const elements = new Map<string, Elements>();
  for (const item of listing.nftables) {
    const [kind, value] = Object.entries(item)[0] ?? [];
    if (!isObject(value)) continue;
    const name = String(value['name']);
    if (kind === 'chain') {
      const chainRules: Rule[] = [];
      rules.set(name, chainRules);
      const base = parseBase(value);
      chains.set(name, { name, rules: chainRules, ...(base === undefined ? {} : { base }) });
    } else if (kind === 'rule') {
      rules.get(String(value['chain']))?.push(parseRule(value));
    } else if (kind === 'set' || kind === 'map') {
      sets.set(name, parseDeclaration(value));
      if (Array.isArray(value['elem'])) elements.set(name, parseElements(value['elem']));
    } else if (kind !== 'metainfo' && kind !== 'table') {
      // Flow tables, counters and the like: none of ours, so any makes the table differ from what we want.
      sets.set(`${kind} ${name}`, { name: `${kind} ${name}`, key: l4, flags: [] });
    }
  }
  return { family, chains, sets, elements };
}

const l4: Expression = { kind: 'meta', key: 'l4proto' };

/** The elements that a listing of one set or map holds. */
export function parseElementListing(listing: Listing): Elements {
  for (const item of listing.nftables) {
    const value = item['set'] ?? item['map'];
    if (isObject(value) && Array.isArray(value['elem'])) return parseElements(value['elem']);
  }
  return new Map();
}

function parseElements(elements: readonly unknown[]): Elements {
  const parsed = new Map<string, string>();
  for (const element of elements) {
    if (Array.isArray(element)) parsed.set(parseKey(element[0]), parseValue(element[1]));
    else parsed.set(parseKey(element), '');
  }
  return parsed;
}

function parseKey(json: unknown): string {
  if (isObject(json)) {
    const { concat, elem } = json;
    if (Array.isArray(concat)) {
      let text = parsePart(concat[0]);
      for (let i = 1; i < concat.length; i++) text += ` . ${parsePart(concat[i])}`;
      return text;
    }
    // With a timeout, a counter or a comment, the key stands inside.
    if (isObject(elem)) return parseKey(elem['val']);
  }
  return parsePart(json);
}

const protocolNames = new Map(protocols.map((protocol) => [String(protocolNumber[protocol]), protocol]));

function parsePart(json: unknown): string {
  if (typeof json === 'string') {
    // nft prints IPv6 as inet_ntop does, which writes some addresses with a dotted tail; ours is RFC 5952 throughout.
    return json.includes(':') && json.includes('.') ? (parseIp(json) ?? json) : json;
  }
  if (typeof json === 'number') return String(json);
  if (isObject(json)) {
    const { prefix, range } = json;
    if (isObject(prefix)) return `${parsePart(prefix['addr'])}/${String(prefix['len'])}`;
    if (Array.isArray(range)) return `${parsePart(range[0])}-${parsePart(range[1])}`;
  }
  return JSON.stringify(json);
}

function parseValue(json: unknown): string {
  if (isObject(json)) {
    if (isObject(json['goto'])) return `goto ${String(json['goto']['target'])}`;
    for (const verdict of ['drop', 'return', 'accept']) if (verdict in json) return verdict;
  }
  return parseKey(json);
}

/** Where /etc/protocols is missing, nft prints protocols as numbers; in keys that stand for one, ours are names. */
export function namedProtocols(set: SetDeclaration, elements: Elements): Elements {
  const parts = set.key.kind === 'concat' ? set.key.parts : [set.key];
  const index = parts.findIndex((part) => part.kind === 'meta' && part.key === 'l4proto');
  if (index < 0) return elements;
  const named = new Map<string, string>();
  for (const [key, value] of elements) {
    const texts = key.split(' . ');
    texts[index] = protocolNames.get(texts[index] ?? '') ?? texts[index] ?? '';
    named.set(texts.join(' . '), value);
  }
  return named;
}

function parseBase(chain: JsonObject): BaseChain | undefined {
  if (typeof chain['hook'] !== 'string') return undefined;
  return {
    type: chain['type'] as BaseChain['type'],
    hook: chain['hook'] as BaseChain['hook'],
    // A policy other than accept is none of ours; NaN equals nothing, so the chain differs.
    priority: chain['policy'] === 'accept' ? Number(chain['prio']) : Number.NaN,
  };
}

function parseDeclaration(value: JsonObject): SetDeclaration {
  const data = value['map'];
  const flags = Array.isArray(value['flags']) ? (value['flags'] as SetFlag[]).toSorted() : [];
  return {
    name: String(value['name']),
    key: parseType(value['type']),
    // nft lists a map's data by type even where it was declared by typeof: only its being there and its kind can be compared.
    ...(data === undefined ? {} : { data: data === 'verdict' ? 'verdict' : { kind: 'concat', parts: [] } }),
    flags,
    ...(typeof value['size'] === 'number' ? { size: value['size'] } : {}),
    ...(typeof value['comment'] === 'string' ? { comment: value['comment'] } : {}),
  };
}

function parseType(type: unknown): Expression {
  const parsed = isObject(type) ? parseExpression(type['typeof']) : undefined;
  // Declared by `type`: never ours (see printTransactionJson).
  return parsed ?? { kind: 'concat', parts: [] };
}

function parseRule(rule: JsonObject): Rule {
  const statements = Array.isArray(rule['expr']) ? rule['expr'].map(parseStatement) : [];
  return typeof rule['comment'] === 'string' ? { statements, comment: rule['comment'] } : { statements };
}

function parseStatement(json: unknown): Statement {
  const parsed = isObject(json) ? parseKnownStatement(json) : undefined;
  // Only what prints back to the same JSON is understood: a flag or field that we do not know must not be passed over.
  if (parsed !== undefined && sameJson(statementJson(parsed), withProtocolName(json))) return parsed;
  return { kind: 'foreign', json: JSON.stringify(json) };
}

function withProtocolName(json: unknown): unknown {
  const match = isObject(json) ? json['match'] : undefined;
  if (!isObject(match) || !sameJson(match['left'], { meta: { key: 'l4proto' } })) return json;
  return { match: { ...match, right: protocolNames.get(String(match['right'])) ?? match['right'] } };
}

function sameJson(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, i) => sameJson(each, b[i]));
  if (isObject(a) && isObject(b)) {
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => sameJson(a[key], b[key]));
  }
  return a === b;
}

function parseKnownStatement(json: JsonObject): Statement | undefined {
  const [kind, body] = Object.entries(json)[0] ?? [];
  if (kind === 'accept' || kind === 'drop' || kind === 'return') return { kind };
  if (!isObject(body)) return undefined;
  const expression = (value: unknown) => parseExpression(value);
  switch (kind) {
    case 'match': {
      const left = expression(body['left']);
      const right = parsePart(body['right']);
      const isProtocol = left?.kind === 'meta' && left.key === 'l4proto';
      return (
        left && {
          kind,
          left,
          operator: body['op'] as Operator,
          right: (isProtocol && protocolNames.get(right)) || right,
        }
      );
    }
    case 'vmap': {
      const key = expression(body['key']);
      return key && { kind, key, map: setName(body['data']) };
    }
    case 'mangle': {
      const from = body['value'] === 'none' ? 'none' : parseMap(body['value']);
      return from && { kind: 'set-priority', from };
    }
    case 'dnat': {
      const map = parseMap(body['addr']);
      return map && { kind, family: body['family'] as Family, ...map };
    }
    case 'map':
      return parseUpdate(body);
    case 'masquerade':
      return { kind };
    case 'reject':
      return { kind, family: body['type'] === 'icmpv6' ? 'ip6' : 'ip' };
    case 'jump':
    case 'goto':
      return { kind, target: String(body['target']) };
    default:
      return undefined;
  }
}

function parseMap(json: unknown): { readonly key: Expression; readonly map: string } | undefined {
  const map = isObject(json) ? json['map'] : undefined;
  const key = isObject(map) ? parseExpression(map['key']) : undefined;
  return isObject(map) && key !== undefined ? { key, map: setName(map['data']) } : undefined;
}

function parseUpdate(body: JsonObject): Statement | undefined {
  const elem = isObject(body['elem']) && isObject(body['elem']['elem']) ? body['elem']['elem'] : {};
  const key = parseExpression(elem['val']);
  const data = parseExpression(body['data']);
  if (key === undefined || data === undefined) return undefined;
  return { kind: 'update', map: setName(body['map']), key, data, timeoutSeconds: Number(elem['timeout']) };
}

const setName = (text: unknown): string => String(text).replace(/^@/, '');

function parseExpression(json: unknown): Expression | undefined {
  if (!isObject(json)) return undefined;
  const [kind, body] = Object.entries(json)[0] ?? [];
  if (kind === 'concat' && Array.isArray(body)) {
    const parts = body.map(parseExpression);
    return parts.every((part) => part !== undefined) ? { kind, parts } : undefined;
  }
  if (!isObject(body)) return undefined;
  switch (kind) {
    case 'payload':
      return { kind, protocol: body['protocol'] as never, field: body['field'] as never };
    case 'meta':
      return { kind, key: body['key'] as never };
    case 'ct':
      return { kind: body['dir'] === 'original' ? 'ct-original' : 'ct', key: body['key'] as never };
    case 'fib':
      return { kind: 'fib-type', address: (Array.isArray(body['flags']) ? body['flags'][0] : undefined) as never };
    case 'numgen':
      return { kind: 'random', modulus: Number(body['mod']) };
    default:
      return undefined;
  }
}
