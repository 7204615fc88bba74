import { describe, expect, it } from 'vitest';
import { vainWait } from './restore.js';

const MINUTE_MS = 60_000;

/** What needs a cluster is tried in cli/cluster-commands.test.ts. */
describe('a wait in vain', () => {
  it.each([
    [
      ['h2'],
      1,
      /^it is restored, but nothing was heard of what runs on h2; start weft-agent there: nothing is allocated/,
    ],
    [
      ['h2'],
      11,
      /on h2; start weft-agent there: the controllers go on without it, and what runs there may lose its place/,
    ],
    [['h2', 'h10'], 11, /on h2, h10; start weft-agent there: the controllers go on without them/],
    [undefined, 11, /no controller serves the new epoch yet: see its log, and weft status/],
  ])('for %j after %d minutes says what to do', (awaited, minutes, says) => {
    expect(vainWait(awaited, minutes * MINUTE_MS)).toMatch(says);
  });
});
