import { describe, expect, it } from 'vitest';
import { isName, nameKey } from './name.js';

describe('names', () => {
  it.each(['a', 'web', 'web-1', 'Web_2', '0', 'a'.repeat(63)])('accepts %j', (text) => {
    expect(isName(text)).toBe(true);
  });

  it.each(['', '-web', 'web-', '_web', 'we b', 'we.b', 'wéb', 'web\n', '../web', 'a'.repeat(64), 'web\u0000'])(
    'refuses %j',
    (text) => {
      expect(isName(text)).toBe(false);
    },
  );

  it('do not tell upper from lower case, as DNS does not', () => {
    expect(nameKey('Web')).toBe(nameKey('wEB'));
  });
});
