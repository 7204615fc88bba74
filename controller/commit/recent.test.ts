import { describe, expect, it } from 'vitest';
import { Recent } from './recent.js';

describe('what was written recently', () => {
  it('is remembered, and the rest forgotten', () => {
    const recent = new Recent<number>(100);
    for (let index = 0; index < 1_000; index += 1) {
      recent.set(`k${String(index)}`, index);
      for (let back = 0; back < Math.min(100, index + 1); back += 33) {
        expect(recent.get(`k${String(index - back)}`)).toBe(index - back);
      }
    }
    const kept = Array.from({ length: 1_000 }, (_, index) => recent.get(`k${String(index)}`) !== undefined).filter(
      Boolean,
    );
    expect(kept.length).toBeGreaterThanOrEqual(100);
    expect(kept.length).toBeLessThanOrEqual(200);
  });

  it('has the last value, and none that was deleted', () => {
    const recent = new Recent<number>(2);
    recent.set('a', 1);
    recent.set('b', 2);
    recent.set('a', 3);
    expect(recent.get('a')).toBe(3);
    recent.delete('a');
    expect([recent.get('a'), recent.get('b')]).toEqual([undefined, 2]);
  });
});
