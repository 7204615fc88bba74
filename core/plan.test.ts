import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDone, plan } from './plan.js';

const table = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(2))
  .map((entries) => new Map(Object.entries(entries)));
const same = (a: number, b: number): boolean => a === b;

describe('plan', () => {
  it('leads from what is to what should be, touching only what differs', () => {
    fc.assert(
      fc.property(table, table, (want, have) => {
        const { put, drop } = plan(want, have, same);
        const result = new Map(have);
        for (const [key, value] of put) result.set(key, value);
        for (const [key] of drop) result.delete(key);
        expect(new Map([...result].sort())).toEqual(new Map([...want].sort()));
        for (const [key, value] of put) expect(have.get(key)).not.toBe(value);
        expect(isDone(plan(want, result, same))).toBe(true);
      }),
    );
  });
});
