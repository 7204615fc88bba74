import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Compare, Transaction } from '../store/store.js';
import { Barriers } from './barriers.js';

const never = new AbortController().signal;
const writing = (...keys: readonly string[]): Transaction => ({
  compares: [],
  puts: keys.map((key) => ({ key, value: new Uint8Array() })),
  deletes: [],
});
const unchanged = (key: string): Compare => ({ kind: 'unchanged', key, modRevision: 1n });
const UNDER: Compare = { kind: 'notNewer', prefix: 'network/', revision: 1n };
/** Whether it is over now. */
const isOver = async (work: Promise<void> | undefined): Promise<boolean> =>
  Promise.race([work?.then(() => true) ?? true, delay(5).then(() => false)]);

describe('a barrier', () => {
  it('lets others wait that would write what its command lost by, and nobody else', async () => {
    const barriers = new Barriers();
    const loser = barriers.open();
    expect(barriers.open().wait(writing('network/1'), never)).toBeUndefined();
    loser.raise([UNDER, unchanged('guard'), { kind: 'absent', key: 'claim' }]);
    const waiting = [
      barriers.open().wait(writing('x', 'network/1'), never),
      barriers.open().wait({ compares: [], puts: [], deletes: ['guard'] }, never),
    ];
    expect(waiting).not.toContain(undefined);
    for (const elsewhere of ['network', 'guard/1', 'claim']) {
      expect(barriers.open().wait(writing(elsewhere), never)).toBeUndefined();
    }
    expect(await Promise.all(waiting.map(isOver))).toEqual([false, false]);
    loser[Symbol.dispose]();
    loser[Symbol.dispose]();
    expect(await Promise.all(waiting.map(isOver))).toEqual([true, true]);
    expect(barriers.size).toBe(0);
  });

  it('is waited for once, and not by who has lost too', async () => {
    const barriers = new Barriers();
    const [one, two, third] = [barriers.open(), barriers.open(), barriers.open()];
    one.raise([UNDER]);
    two.raise([unchanged('other')]);
    // In a circle they would wait for ever.
    expect(one.wait(writing('other'), never)).toBeUndefined();
    expect(two.wait(writing('network/1'), never)).toBeUndefined();
    const waiting = third.wait(writing('network/1'), never);
    expect(await isOver(waiting)).toBe(false);
    one[Symbol.dispose]();
    await waiting;
    const next = barriers.open();
    next.raise([UNDER]);
    // One after the other could otherwise keep it waiting for ever.
    expect(third.wait(writing('network/1'), never)).toBeUndefined();
  });

  it('falls when its command loses all the same', async () => {
    const barriers = new Barriers();
    const loser = barriers.open();
    for (let loss = 0; loss < 16; loss += 1) loser.raise([UNDER]);
    const waiting = barriers.open().wait(writing('network/1'), never);
    expect(await isOver(waiting)).toBe(false);
    expect(loser.hurries).toBe(true);
    loser.raise([UNDER]);
    expect(loser.hurries).toBe(false);
    expect(await isOver(waiting)).toBe(true);
    expect(barriers.size).toBe(0);
    loser[Symbol.dispose]();
  });

  it('lets go who has no more time', async () => {
    const barriers = new Barriers();
    using loser = barriers.open();
    loser.raise([UNDER]);
    const gone = new AbortController();
    const waiting = barriers.open().wait(writing('network/1'), gone.signal);
    gone.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
  });
});
