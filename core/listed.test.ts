import { describe, expect, it } from 'vitest';
import { listed } from './listed.js';

describe('a list in a sentence', () => {
  const names = Array.from({ length: 12 }, (_, index) => `n${String(index)}`);
  it('names ten, and counts the rest', () => {
    expect(listed(names)).toBe('n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 2 more');
    expect(listed(names.slice(0, 10), '; ')).toBe('n0; n1; n2; n3; n4; n5; n6; n7; n8; n9');
    expect(listed(['one'])).toBe('one');
  });
});
