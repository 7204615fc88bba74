import { describe, expect, it } from 'vitest';
import { countWord } from './count.js';
import { inWords } from './words.js';

describe('inWords', () => {
  it('says states as tables do, wherever they are, and leaves all else', () => {
    const sandbox = { state: 'SANDBOX_STATE_READY', endpoints: [{ id: 'e', state: 'ENDPOINT_STATE_PENDING' }], n: 1 };
    expect(inWords(sandbox)).toEqual({ state: 'ready', endpoints: [{ id: 'e', state: 'pending' }], n: 1 });
    expect(inWords({ state: 'HOST_STATE_UNREACHABLE', labels: { state: 'mine', x: 'HOST_STATE_READY' } })).toEqual({
      ...{ state: 'unreachable', labels: { state: 'mine', x: 'HOST_STATE_READY' } },
    });
    expect(inWords({ availability: 'HOST_AVAILABILITY_DRAINED', absence: 'HOST_ABSENCE_NONE' })).toEqual({
      ...{ availability: 'drained', absence: 'none' },
    });
    expect([inWords(null), inWords(undefined), inWords('HOST_STATE_READY')]).toEqual([
      ...[null, undefined, 'HOST_STATE_READY'],
    ]);
  });
});

describe('countWord', () => {
  it('says so where the wire could not hold it', () => {
    expect([0n, 13n, 2n ** 63n - 2n].map(countWord)).toEqual(['0', '13', '9223372036854775806']);
    expect(countWord(2n ** 63n - 1n)).toBe('>9.2e18');
  });
});
