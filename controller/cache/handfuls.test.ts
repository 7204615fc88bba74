import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Handfuls } from './handfuls.js';

interface Item {
  readonly id: string;
  readonly version: number;
}

describe('groups of very few', () => {
  it('hold what maps of maps would, whatever is put in and taken out', () => {
    const step = fc.record({
      put: fc.boolean(),
      group: fc.constantFrom('a', 'b'),
      id: fc.constantFrom('1', '2', '3'),
      version: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const tested = new Handfuls<string, Item>();
        const model = new Map<string, Map<string, Item>>([
          ['a', new Map()],
          ['b', new Map()],
        ]);
        for (const { put, group, id, version } of steps) {
          const item = { id, version };
          if (put) tested.set(group, item);
          else tested.delete(group, id);
          if (put) model.get(group)?.set(id, item);
          else model.get(group)?.delete(id);
          for (const [name, members] of model) {
            const held = tested.of(name);
            expect(new Map(held.map((each) => [each.id, each]))).toEqual(members);
            expect(held.length).toBe(members.size);
          }
        }
      }),
    );
  });

  it('do not change a list that was handed out', () => {
    const tested = new Handfuls<string, Item>();
    tested.set('a', { id: '1', version: 1 });
    tested.set('a', { id: '2', version: 1 });
    const before = tested.of('a');
    tested.delete('a', '1');
    tested.set('a', { id: '3', version: 1 });
    expect(before.map(({ id }) => id)).toEqual(['1', '2']);
    expect(tested.of('a').map(({ id }) => id)).toEqual(['2', '3']);
  });
});
