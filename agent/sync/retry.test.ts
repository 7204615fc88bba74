import { describe, expect, it } from 'vitest';
import { Retry } from './retry.js';

const FAILED = { worked: false, replaced: false };
const WORKED = { worked: true, replaced: false };

describe('opening a stream again', () => {
  it('is done at once after one that worked, however often', () => {
    const retry = new Retry(1);
    expect([retry.after(WORKED), retry.after(WORKED)]).toEqual([0, 0]);
  });

  it('gives every other controller a try within 200 ms, and then waits longer and longer, up to 2 s', () => {
    const retry = new Retry(3, () => 0.5);
    expect(retry.after(WORKED)).toBe(0);
    expect([retry.after(FAILED), retry.after(FAILED)]).toEqual([100, 100]);
    const waits = Array.from({ length: 8 }, () => retry.after(FAILED));
    for (const [index, wait] of waits.entries()) {
      const most = Math.min(2_000, 200 * 2 ** index);
      expect(wait, String(index)).toBeGreaterThanOrEqual(most / 2);
      expect(wait, String(index)).toBeLessThanOrEqual(most);
    }
    expect(retry.failures).toBe(10);
    expect(retry.after(WORKED)).toBe(0);
    expect(retry.after(FAILED)).toBe(100);
  });

  it('with one controller waits from the first failure on', () => {
    const retry = new Retry(1);
    expect(retry.after(FAILED)).toBeGreaterThanOrEqual(100);
  });

  it('is put off where another agent of the same id has the stream, also when it worked', () => {
    const retry = new Retry(3, () => 0);
    for (let turn = 0; turn < 3; turn++) {
      expect(retry.after({ worked: true, replaced: true }), String(turn)).toBeGreaterThanOrEqual(100);
    }
  });
});
