import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Turns } from './turns.js';

const never = new AbortController().signal;

describe('turns', () => {
  it('are taken in the order they were asked for, and leave no line behind', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const work = async (name: string, keys: readonly string[]): Promise<void> => {
      using turn = turns.open();
      await (turn.take(keys, never) ?? Promise.resolve());
      order.push(`${name} begins`);
      await delay(2);
      order.push(`${name} ends`);
    };
    await Promise.all([work('1', ['a']), work('2', ['a', 'b']), work('3', ['b']), work('4', ['c'])]);
    expect(order.indexOf('2 begins')).toBeGreaterThan(order.indexOf('1 ends'));
    expect(order.indexOf('3 begins')).toBeGreaterThan(order.indexOf('2 ends'));
    expect(order.indexOf('4 begins')).toBeLessThan(order.indexOf('1 ends'));
    expect(turns.size).toBe(0);
  });

  it('are had at once where nobody has any of it, and kept', async () => {
    const turns = new Turns();
    const [one, two] = [turns.open(), turns.open()];
    expect(one.take(['a', 'b'], never)).toBeUndefined();
    expect(one.take(['b'], never)).toBeUndefined();
    const waiting = two.take(['b', 'c'], never);
    // More than it has: it goes to the end of the line, so that nobody waits for each other.
    const more = one.take(['a', 'b', 'c'], never);
    await waiting;
    two[Symbol.dispose]();
    await more;
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await delay(2);
    expect(turns.size).toBe(0);
  });

  it('are given back in part when a part is needed no more', async () => {
    const turns = new Turns();
    const [one, two] = [turns.open(), turns.open()];
    expect(one.take(['a', 'b'], never)).toBeUndefined();
    const waiting = two.take(['b'], never);
    expect(one.take(['a'], never)).toBeUndefined();
    await waiting;
    const [third, fourth] = [turns.open(), turns.open()];
    expect([third.take(['c'], never), fourth.take(['a'], never)]).toEqual([undefined, expect.any(Promise)]);
    for (const each of [one, two, third, fourth]) each[Symbol.dispose]();
    await delay(2);
    expect(turns.size).toBe(0);
  });

  it('that are given up do not let those behind pass those before', async () => {
    const turns = new Turns();
    const first = turns.open();
    expect(first.take(['a'], never)).toBeUndefined();
    const impatient = new AbortController();
    const second = (async () => {
      using turn = turns.open();
      await turn.take(['a'], impatient.signal);
    })();
    const third = turns.open();
    let begun = false;
    const taken = third.take(['a'], never)?.then(() => {
      begun = true;
    });
    impatient.abort(new Error('gone'));
    await expect(second).rejects.toThrow('gone');
    await delay(2);
    expect(begun).toBe(false);
    first[Symbol.dispose]();
    await taken;
    third[Symbol.dispose]();
    await delay(2);
    expect(turns.size).toBe(0);
  });
});
