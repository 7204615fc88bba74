import { describe, expect, it } from 'vitest';
import { median, medianRatio, percentile } from './statistics.js';

describe('statistics', () => {
  it('take percentiles by nearest rank', () => {
    const samples = [5, 1, 4, 2, 3];
    expect(median(samples)).toBe(3);
    expect(percentile(samples, 0.99)).toBe(5);
    expect(percentile(samples, 0)).toBe(1);
    expect(samples).toEqual([5, 1, 4, 2, 3]);
    expect(() => percentile([], 0.5)).toThrow(RangeError);
  });

  it('compare pair by pair', () => {
    expect(
      medianRatio([
        [2, 1],
        [30, 10],
        [8, 2],
      ]),
    ).toBe(3);
  });
});
