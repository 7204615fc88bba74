import { describe, expect, it } from 'vitest';
import { newNetworkId } from '../../core/ids.js';
import { Kept, type Parts } from './kept.js';

const [A, B] = [newNetworkId(), newNetworkId()];
const KEY_BYTES = 38;

describe('what is kept', () => {
  it('is made once for each network and key, until the network is touched', () => {
    const kept = new Kept({ bytes: 1_000 });
    let made = 0;
    const make = (): Parts => [new Uint8Array([(made += 1)])];
    const one = kept.of(A, 'x', make);
    expect([kept.of(A, 'x', make), kept.of(A, 'y', make), kept.of(B, 'x', make)].map(([part]) => part?.[0])).toEqual([
      1, 2, 3,
    ]);
    expect(kept.of(A, 'x', make)).toBe(one);
    kept.touched(A);
    expect(kept.of(B, 'x', make)[0]?.[0]).toBe(3);
    expect(kept.of(A, 'x', make)[0]?.[0]).toBe(4);
    expect(kept.of(A, 'y', make)[0]?.[0]).toBe(5);
  });

  it('is given up when room is needed, the one used longest ago first, and counted right', () => {
    const kept = new Kept({ bytes: 3 * (100 + KEY_BYTES) });
    const made: string[] = [];
    const use = (key: string): void => {
      kept.of(A, key, () => {
        made.push(key);
        return [new Uint8Array(60), new Uint8Array(40)];
      });
    };
    for (const key of ['1', '2', '3', '1', '4']) use(key);
    expect(made.splice(0)).toEqual(['1', '2', '3', '4']);
    for (const key of ['1', '3', '4']) use(key);
    expect(made).toEqual([]);
    for (let round = 0; round < 20; round += 1) {
      kept.touched(A);
      for (const key of ['1', '2', '3']) use(key);
      made.splice(0);
      for (const key of ['1', '2', '3']) use(key);
      expect(made).toEqual([]);
    }
  });

  it('is given all the same where it is more than there is room for', () => {
    const kept = new Kept({ bytes: 10 });
    const parts = kept.of(A, 'x', () => [new Uint8Array(100)]);
    expect(parts[0]?.length).toBe(100);
    expect(kept.of(A, 'x', () => [])).toEqual([]);
  });
});
