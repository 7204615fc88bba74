import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AddressSet } from './address-set.js';

const BASE = 0x0a000000n;
const number = fc.bigInt({ min: 0n, max: 2_000n }).map((offset) => BASE + offset);

describe('a set of addresses', () => {
  it('finds the next free one as a search one by one would', () => {
    const edit = fc.record({ add: fc.boolean(), from: number, count: fc.integer({ min: 1, max: 700 }) });
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 12 }), fc.array(fc.tuple(number, number)), (edits, searches) => {
        const set = new AddressSet();
        const model = new Set<bigint>();
        for (const { add, from, count } of edits) {
          for (let at = from; at < from + BigInt(count); at += 1n) {
            if (add) set.add(at);
            else set.delete(at);
            if (add) model.add(at);
            else model.delete(at);
          }
        }
        expect(set.size).toBe(model.size);
        for (const [first, last] of searches) {
          let expected: bigint | undefined = first;
          while (expected <= last && model.has(expected)) expected += 1n;
          if (expected > last) expected = undefined;
          expect(set.nextFree(first, last)).toBe(expected);
          expect(set.countIn(first, last)).toBe([...model].filter((at) => first <= at && at <= last).length);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('keeps nothing of what went', () => {
    const set = new AddressSet();
    for (const at of [0n, 255n, 256n, 2n ** 128n - 1n]) {
      set.add(at);
      set.add(at);
    }
    expect([set.size, set.blocks]).toEqual([4, 3]);
    for (const at of [0n, 255n, 256n, 2n ** 128n - 1n, 7n]) set.delete(at);
    expect([set.size, set.blocks]).toEqual([0, 0]);
  });

  it('passes over a quarter of a million in a few steps', () => {
    const set = new AddressSet();
    const last = BASE + (1n << 18n) - 1n;
    for (let at = BASE; at <= last; at += 1n) set.add(at);
    const began = performance.now();
    for (let round = 0; round < 100; round += 1) expect(set.nextFree(BASE, last)).toBeUndefined();
    // One by one this is some 20 ms a round.
    expect(performance.now() - began).toBeLessThan(500);
    set.delete(last - 1_000n);
    expect(set.nextFree(BASE, last)).toBe(last - 1_000n);
  });
});
