import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LabelIndex } from './label-index.js';

interface Item {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

const key = fc.constantFrom('a', 'b', 'constructor', 'a.b');
const value = fc.constantFrom('', '1', '1=2', 'x');
const item: fc.Arbitrary<Item> = fc.record({
  id: fc.constantFrom('1', '2', '3'),
  labels: fc.array(fc.tuple(key, value), { maxLength: 3 }).map((pairs) => Object.fromEntries(pairs)),
});
const change = fc.oneof(
  item.map((after) => ({ id: after.id, after })),
  item.map(({ id }) => ({ id, after: undefined })),
);

describe('an index of labels', () => {
  it('finds what a look at everything would, however often anything changes', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        const index = new LabelIndex<Item>();
        const items = new Map<string, Item>();
        for (const { id, after } of changes) {
          index.change(items.get(id), after);
          if (after === undefined) items.delete(id);
          else items.set(id, after);
        }
        const ids = (found: Iterable<Item>): string[] => [...found].map(({ id }) => id).sort();
        for (const wanted of ['a', 'b', 'constructor', 'a.b', 'c']) {
          const having = [...items.values()].filter(({ labels }) => Object.hasOwn(labels, wanted));
          expect(ids(index.with({ key: wanted, value: undefined }).values())).toEqual(ids(having));
          for (const each of ['', '1', '1=2', 'x', 'y']) {
            const same = having.filter(({ labels }) => labels[wanted] === each);
            expect(ids(index.with({ key: wanted, value: each }).values())).toEqual(ids(same));
          }
        }
      }),
    );
  });
});
