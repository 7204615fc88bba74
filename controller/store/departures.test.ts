import { describe, expect, it } from 'vitest';
import { Departures } from './departures.js';

describe('those who wait on a signal', () => {
  it('are told once when it aborts, and nothing of them is kept', () => {
    const departures = new Departures();
    const stop = new AbortController();
    const told: string[] = [];
    departures.notice(stop.signal, ({ message }) => told.push(`a ${message}`));
    const gone = departures.notice(stop.signal, () => told.push('gone'));
    const late = departures.notice(stop.signal, ({ message }) => told.push(`b ${message}`));
    gone[Symbol.dispose]();
    expect(departures.size).toBe(1);
    stop.abort(new Error('enough'));
    expect(told).toEqual(['a enough', 'b enough']);
    expect(departures.size).toBe(0);
    late[Symbol.dispose]();
    expect(departures.size).toBe(0);
  });

  it('leave nothing behind when they all go by themselves', () => {
    const departures = new Departures();
    const { signal } = new AbortController();
    const both = [departures.notice(signal, () => undefined), departures.notice(signal, () => undefined)];
    for (const each of both) each[Symbol.dispose]();
    for (const each of both) each[Symbol.dispose]();
    expect(departures.size).toBe(0);
  });
});
