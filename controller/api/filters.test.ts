import { describe, expect, it } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { LabelIndex } from '../cache/label-index.js';
import { ClusterView } from '../cache/view.js';
import { oneOf, partOf, prefixOf, readFilters, until, type FilterKind } from './filters.js';
import { Checker } from './validate.js';

interface Thing {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly odd: boolean;
  readonly madeMs: number;
}

const NOW = Date.parse('2026-01-31T12:00:00Z');
const HOUR = 3_600_000;

const KIND: FilterKind<Thing> = {
  name: partOf(({ name }) => name),
  id: prefixOf(({ id }) => id),
  odd: oneOf({ true: ({ odd }) => odd, false: ({ odd }) => !odd }),
  until: until(({ madeMs }) => madeMs),
};

const things: readonly Thing[] = [
  { id: 'a1', name: 'Web', labels: { tier: 'front', team: 'x' }, odd: true, madeMs: NOW - 30 * HOUR },
  { id: 'a2', name: 'web-2', labels: { tier: 'back' }, odd: false, madeMs: NOW - 24 * HOUR },
  { id: 'b3', name: 'db', labels: { tier: 'back', note: 'a=b' }, odd: true, madeMs: NOW - HOUR },
  { id: 'b4', name: 'cache', labels: {}, odd: false, madeMs: NOW },
];
const index = new LabelIndex<Thing>();
for (const thing of things) index.change(undefined, thing);
const view = new ClusterView();

const select = (...filters: string[]): string => {
  const check = new Checker();
  const filter = readFilters(check, filters, { kind: KIND, nowMs: NOW });
  check.done();
  const found = [...filter.select(view, things, index)].map(({ id }) => id).sort();
  expect(things.filter((thing) => filter.fits(thing, view)).map(({ id }) => id)).toEqual(found);
  return found.join(' ');
};

describe('filters', () => {
  it.each([
    [[], 'a1 a2 b3 b4'],
    [['label=tier'], 'a1 a2 b3'],
    [['label=tier=back'], 'a2 b3'],
    [['label=tier=back', 'label=note'], 'b3'],
    [['label=note=a=b'], 'b3'],
    [['label=note=a'], ''],
    [['label=constructor'], ''],
    [['label!=tier'], 'b4'],
    [['label!=tier=back'], 'a1 b4'],
    [['label=tier', 'label!=team'], 'a2 b3'],
    [['name=WEB'], 'a1 a2'],
    [['name=web', 'name=db'], 'a1 a2 b3'],
    [['name=web', 'label=tier=back'], 'a2'],
    [['id=a'], 'a1 a2'],
    [['id=a', 'odd=true'], 'a1'],
    [['odd=true', 'odd=false'], 'a1 a2 b3 b4'],
    [['until=24h'], 'a1 a2'],
    [['until=23h60m0s'], 'a1 a2'],
    [['until=0s'], 'a1 a2 b3 b4'],
    [['until=2026-01-30T12:00:00Z'], 'a1 a2'],
    [['until=2026-01-30T14:00:00+02:00'], 'a1 a2'],
    [['until=2026-01-31'], 'a1 a2'],
    [[`until=${String((NOW - HOUR) / 1_000)}`], 'a1 a2 b3'],
  ])('%j find %j', (filters, found) => {
    expect(select(...filters)).toBe(found);
  });

  it.each([
    [
      'colour=red',
      'there is no such filter; there are label=KEY[=VALUE], label!=KEY[=VALUE], name=..., id=..., odd=...',
    ],
    ['name', 'there is no such filter'],
    ['', 'there is no such filter'],
    ['=x', 'there is no such filter'],
    ['!=x', 'there is no such filter'],
    ['constructor=x', 'there is no such filter'],
    ['__proto__=x', 'there is no such filter'],
    ['label', 'there is no such filter'],
    ['label=', 'expected label=KEY'],
    ['label==x', 'expected label=KEY'],
    ['label!=', 'expected label=KEY'],
    ['name!=x', 'only label takes !='],
    ['name=', 'expected a part'],
    ['id=', 'expected how it begins'],
    ['odd=yes', 'expected true or false'],
    ['odd=constructor', 'expected true or false'],
    ['until=', 'expected how long ago'],
    ['until=24', ''],
    ['until=-1h', 'expected how long ago'],
    ['until=1h 30m', 'expected how long ago'],
    ['until=yesterday', 'expected how long ago'],
    ['until=2026-13-01', 'expected how long ago'],
    ['until=9999999999999h', 'expected how long ago'],
    ['name\u0007=x', 'there is no such filter'],
  ])('refuse %j', (filter, why) => {
    const refused = (): unknown => select('id=a', filter);
    if (why === '') {
      expect(refused()).toBe('');
      return;
    }
    try {
      refused();
    } catch (error) {
      expect(error).toBeInstanceOf(WeftError);
      expect((error as WeftError).violations).toEqual([
        { field: 'filters[1]', description: expect.stringContaining(why) as string },
      ]);
      expect((error as WeftError).message).not.toMatch(/\p{Cc}/u);
      return;
    }
    throw new Error('it was taken');
  });

  it('are no more than one looks at', () => {
    expect(() => select(...Array.from({ length: 65 }, () => 'id=a'))).toThrow('at most 64');
  });
});
