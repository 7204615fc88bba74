import { describe, expect, it } from 'vitest';
import { unreadyBecause } from './readiness.js';
import type { Known } from './state/settled.js';

describe('an agent', () => {
  const known = {} as Known;

  it('is ready when the kernel is as its state says, and says why it is not', () => {
    expect(unreadyBecause({ known, problems: [] })).toEqual([]);
    expect(unreadyBecause({ known: undefined, problems: [] })).toEqual([
      'no controller has told this host its state yet',
    ]);
    const problems = Array.from({ length: 30 }, (_, n) => ({ object: `h1 network n${String(n)}`, message: 'no room' }));
    const reasons = unreadyBecause({ known, problems });
    expect([reasons.length, reasons[0]]).toEqual([10, 'h1 network n0: no room']);
  });
});
