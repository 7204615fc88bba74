import { describe, expect, it } from 'vitest';
import { deferred } from '../../core/lifetime.js';
import { Turns } from './turns.js';

const NEVER = new AbortController().signal;

describe('turns', () => {
  it('run one after another under one key, side by side under two', async () => {
    const turns = new Turns();
    const done: string[] = [];
    const gate = deferred<undefined>();
    const first = turns.take('a', NEVER, async () => {
      await gate.promise;
      done.push('a1');
    });
    const second = turns.take('a', NEVER, () => Promise.resolve(done.push('a2')));
    await turns.take('b', NEVER, () => Promise.resolve(done.push('b')));
    expect(done).toEqual(['b']);
    gate.resolve(undefined);
    await Promise.all([first, second]);
    expect(done).toEqual(['b', 'a1', 'a2']);
  });

  it('go on after one that failed, and after one that did not wait', async () => {
    const turns = new Turns();
    const gate = deferred<undefined>();
    const first = turns.take('a', NEVER, () => gate.promise);
    const impatient = turns.take('a', AbortSignal.timeout(10), () => Promise.resolve('ran'));
    const last = turns.take('a', NEVER, () => Promise.resolve('last'));
    await expect(impatient).rejects.toMatchObject({ reason: 'SANDBOX_BUSY' });
    gate.reject(new Error('failed'));
    await expect(first).rejects.toThrow('failed');
    expect(await last).toBe('last');
  });

  it('stay one after another when one that did not wait was the last of them', async () => {
    const turns = new Turns();
    const gate = deferred<undefined>();
    const done: string[] = [];
    const first = turns.take('a', NEVER, async () => {
      await gate.promise;
      done.push('first');
    });
    const impatient = turns.take('a', AbortSignal.timeout(10), () => Promise.resolve());
    await expect(impatient).rejects.toMatchObject({ reason: 'SANDBOX_BUSY' });
    const last = turns.take('a', NEVER, () => Promise.resolve(done.push('last')));
    setImmediate(() => {
      gate.resolve(undefined);
    });
    await Promise.all([first, last]);
    expect(done).toEqual(['first', 'last']);
  });
});
