import { describe, expect, it } from 'vitest';
import { byName } from './natural-order.js';

describe('byName', () => {
  it('counts as people do', () => {
    const names = ['h10', 'h2', 'web', 'h1', 'Db', 'h1-b', 'h1-a10', 'h1-a9'];
    expect(
      names
        .map((name) => ({ name }))
        .sort(byName)
        .map(({ name }) => name),
    ).toEqual([...['Db', 'h1', 'h1-a9', 'h1-a10', 'h1-b', 'h2', 'h10', 'web']]);
  });
});
