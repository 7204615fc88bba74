/**
 * Filters of lists, as `docker ... ls --filter` takes them: `NAME=VALUE`, and `NAME!=VALUE` where that has a meaning.
 * Labels must all fit; of the others, one of each name. One way for everything that can be listed: a kind is a table of
 * filter names.
 */
import type { Labels } from '../../core/model.js';
import { nameKey } from '../../core/name.js';
import type { Labelled, LabelWish } from '../cache/label-index.js';
import type { View } from '../cache/view.js';
import { quote, type Checker } from './validate.js';

/** Whether an item fits; `view` is the one that it is in. */
export type Fits<Item> = (item: Item, view: View) => boolean;

/** Reads a filter's value: what fits, or what is wrong with the value, as a sentence. */
export type ReadFilter<Item> = (value: string, nowMs: number) => Fits<Item> | string;

/** What can be listed, by the names of its filters; `label` goes without saying. */
export type FilterKind<Item> = Readonly<Record<string, ReadFilter<Item>>>;

interface Listable {
  readonly id: string;
  readonly labels: Labels;
}

/** The filters of one request. */
export interface Filter<Item extends Listable> {
  /** Whether an item fits all of them. */
  readonly fits: Fits<Item>;
  /** What fits: found through the index where a label is asked for, else by a look at everything. */
  select(view: View, everything: Iterable<Item>, index: Labelled<Item>): Iterable<Item>;
}

/** Reads `filters`. What is wrong with one is noted under `filters[i]`. */
export function readFilters<Item extends Listable>(
  check: Checker,
  filters: readonly string[],
  { kind, nowMs }: { readonly kind: FilterKind<Item>; readonly nowMs: number },
): Filter<Item> {
  const labels: LabelWish[] = [];
  const all: Fits<Item>[] = [];
  const byName = new Map<string, Fits<Item>[]>();
  for (const [index, text] of check.bounded('filters', 'filters', filters).entries()) {
    const field = `filters[${String(index)}]`;
    const refuse = (why: string): void => check.refuse(field, `${quote(text)}: ${why}`);
    const parsed = split(text);
    const read = parsed !== undefined && Object.hasOwn(kind, parsed.name) ? kind[parsed.name] : undefined;
    if (parsed?.name === 'label') {
      const wish = readLabel(parsed.value);
      if (wish === undefined) refuse('expected label=KEY or label=KEY=VALUE');
      else if (parsed.negated) all.push((item) => !hasLabel(item.labels, wish));
      else labels.push(wish);
    } else if (parsed === undefined || read === undefined) {
      refuse(`there is no such filter; there are ${knownNames(kind)}`);
    } else if (parsed.negated) {
      refuse(`${parsed.name} takes =, and only label takes !=`);
    } else {
      const fits = read(parsed.value, nowMs);
      if (typeof fits === 'string') refuse(fits);
      else byName.set(parsed.name, [...(byName.get(parsed.name) ?? []), fits]);
    }
  }
  all.push(
    ...labels.map(
      (wish): Fits<Item> =>
        (item) =>
          hasLabel(item.labels, wish),
    ),
  );
  all.push(
    ...[...byName.values()].map(
      (any): Fits<Item> =>
        (item, view) =>
          any.some((each) => each(item, view)),
    ),
  );
  const fits: Fits<Item> = (item, view) => all.every((each) => each(item, view));
  return {
    fits,
    select: (view, everything, index) => {
      const [smallest] = labels.map((wish) => index.with(wish)).sort((a, b) => a.size - b.size);
      return [...(smallest?.values() ?? everything)].filter((item) => fits(item, view));
    },
  };
}

/** `name=PART`: part of it, in whatever case, as names are compared. */
export function partOf<Item>(textOf: (item: Item) => string): ReadFilter<Item> {
  return (value) => {
    if (value === '') return 'expected a part of it';
    const part = nameKey(value);
    return (item) => nameKey(textOf(item)).includes(part);
  };
}

/** `id=PREFIX`: how it begins. */
export function prefixOf<Item>(textOf: (item: Item) => string): ReadFilter<Item> {
  return (value) => (value === '' ? 'expected how it begins' : (item) => textOf(item).startsWith(value));
}

/** `state=a`: one of a few words, and what fits each. */
export function oneOf<Item>(words: Readonly<Record<string, Fits<Item>>>): ReadFilter<Item> {
  return (value) =>
    (Object.hasOwn(words, value) ? words[value] : undefined) ?? `expected ${Object.keys(words).join(' or ')}`;
}

/** `until=24h`: made that long ago or longer; also a time, as in 2026-01-31T10:00:00Z, or seconds since 1970. */
export function until<Item>(timeMsOf: (item: Item) => number): ReadFilter<Item> {
  return (value, nowMs) => {
    const end = readUntil(value, nowMs);
    return end === undefined
      ? 'expected how long ago, as in 24h or 1h30m, or a time, as in 2026-01-31T10:00:00Z'
      : (item) => timeMsOf(item) <= end;
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function readUntil(text: string, nowMs: number): number | undefined {
  if (/^(\d{1,12}(ms|s|m|h))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+)(ms|s|m|h)/g)];
    return parts.reduce((end, [, count = '', unit = '']) => end - Number(count) * (UNIT_MS[unit] ?? 0), nowMs);
  }
  if (/^\d{1,12}$/.test(text)) return Number(text) * 1_000;
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text);
  const time = isTime ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

/** `NAME=VALUE` or `NAME!=VALUE`. */
function split(text: string): { readonly name: string; readonly negated: boolean; readonly value: string } | undefined {
  const at = text.indexOf('=');
  if (at < 1) return undefined;
  const negated = text[at - 1] === '!';
  return { name: text.slice(0, negated ? at - 1 : at), negated, value: text.slice(at + 1) };
}

function readLabel(text: string): LabelWish | undefined {
  const at = text.indexOf('=');
  const key = at < 0 ? text : text.slice(0, at);
  return key === '' ? undefined : { key, value: at < 0 ? undefined : text.slice(at + 1) };
}

function hasLabel(labels: Labels, { key, value }: LabelWish): boolean {
  return Object.hasOwn(labels, key) && (value === undefined || labels[key] === value);
}

function knownNames(kind: FilterKind<never>): string {
  return ['label=KEY[=VALUE]', 'label!=KEY[=VALUE]', ...Object.keys(kind).map((name) => `${name}=...`)].join(', ');
}
