import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Unacked } from './unacked.js';

describe('unacknowledged revisions', () => {
  it('are open until an ack covers them', () => {
    const unacked = new Unacked();
    for (const revision of [3n, 3n, 5n, 9n]) unacked.add(revision);
    expect(unacked.first).toBe(3n);
    unacked.acknowledge(4n);
    expect(unacked.first).toBe(5n);
    unacked.acknowledge(5n);
    expect(unacked.first).toBe(9n);
    unacked.acknowledge(100n);
    expect(unacked.first).toBeUndefined();
  });

  it('are never thought acknowledged too early, however many there are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4_000, max: 9_000 }), fc.integer({ min: 0, max: 20_000 }), (count, acked) => {
        const unacked = new Unacked();
        for (let index = 1; index <= count; index += 1) unacked.add(BigInt(index * 2));
        unacked.acknowledge(BigInt(acked));
        const truly = Array.from({ length: count }, (_, index) => (index + 1) * 2).find((each) => each > acked);
        const first = unacked.first;
        if (truly === undefined) expect(first).toBeUndefined();
        else expect(first !== undefined && first <= BigInt(truly)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});
