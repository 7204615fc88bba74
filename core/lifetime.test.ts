import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import {
  aborted,
  allSettledOrThrow,
  anySignal,
  backoffMs,
  deferred,
  inBackground,
  pause,
  withDeadline,
} from './lifetime.js';

describe('lifetimes', () => {
  it('work in the background is ended and waited for, and says how it ended', async () => {
    const log: string[] = [];
    {
      await using _work = inBackground(async (signal) => {
        await aborted(signal);
        await pause(5, new AbortController().signal);
        log.push('cleaned up');
      });
      log.push('beside it');
    }
    log.push('after it');
    expect(log).toEqual(['beside it', 'cleaned up', 'after it']);
    const failing = inBackground(() => Promise.reject(new Error('broken')));
    await expect(failing.done).rejects.toThrow('broken');
    // Told to whoever asked; taking it down goes on.
    await failing[Symbol.asyncDispose]();
    await failing[Symbol.asyncDispose]();
    await aborted(AbortSignal.abort());
  });

  it('a pause ends early, and says so, when it is aborted', async () => {
    const stop = new AbortController();
    const pausing = pause(60_000, stop.signal);
    stop.abort();
    expect(await pausing).toBe(false);
    expect(await pause(1, new AbortController().signal)).toBe(true);
  });

  it('a deadline aborts by itself, or with what it was made from', async () => {
    const stop = new AbortController();
    const late = withDeadline(60_000, stop.signal);
    stop.abort();
    expect(late.aborted).toBe(true);
    const soon = [0, 0.1, 1, 1.5].map((ms) => withDeadline(ms, new AbortController().signal));
    await pause(50, new AbortController().signal);
    expect(soon.map(({ aborted }) => aborted)).toEqual([true, true, true, true]);
  });

  it('a deadline that nobody else holds is not collected before it comes', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    let came = false;
    // Combined once more, and held by its listener alone: as in a call that waits.
    anySignal(new AbortController().signal, withDeadline(300, new AbortController().signal)).addEventListener(
      'abort',
      () => (came = true),
    );
    const polled = withDeadline(300);
    const never = new AbortController().signal;
    for (let round = 0; round < 10; round += 1) {
      await pause(10, never);
      collect();
    }
    await pause(400, never);
    expect([came, polled.aborted]).toEqual([true, true]);
  });

  it('backing off doubles up to its cap, with jitter of at most a half', () => {
    for (let attempt = 0; attempt < 40; attempt += 1) {
      const ceiling = Math.min(2_000, 100 * 2 ** attempt);
      const ms = backoffMs(attempt, 100, 2_000);
      expect(ms).toBeGreaterThanOrEqual(ceiling / 2);
      expect(ms).toBeLessThanOrEqual(ceiling);
    }
  });

  it('a deferred settles from outside', async () => {
    const one = deferred<number>();
    one.resolve(1);
    expect(await one.promise).toBe(1);
    const two = deferred<number>();
    two.reject(new Error('no'));
    await expect(two.promise).rejects.toThrow('no');
  });

  it('teardown carries on after a failure and reports every one', async () => {
    const done: string[] = [];
    const steps = [
      () => {
        throw new Error('first');
      },
      () => {
        done.push('second');
      },
      () => Promise.reject(new Error('third')),
    ];
    const failure = await allSettledOrThrow('teardown', steps).catch((error: unknown) => error);
    expect(done).toEqual(['second']);
    expect((failure as AggregateError).errors.map(String)).toEqual(['Error: first', 'Error: third']);
    expect((failure as AggregateError).message).toBe('teardown: 2 of its steps failed');
  });
});
