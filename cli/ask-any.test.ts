import { describe, expect, it } from 'vitest';
import { WeftError, type Reason } from '../core/errors.js';
import { askAny, type Ask } from './ask-any.js';
import { testSurroundings } from './surroundings.testing.js';

/** Which of a list is asked. */
class Place {
  #at = 0;

  constructor(readonly size: number) {}

  get at(): number {
    return this.#at;
  }

  moveOn(): void {
    this.#at = (this.#at + 1) % this.size;
  }
}

/** Asks a list of controllers of which each answers with what is in its place: a reason, or that it is done. */
async function asking(answers: readonly (Reason | 'done')[]) {
  const place = new Place(answers.length);
  let asked = 0;
  const ask: Ask = () => {
    const { at } = place;
    const answer = answers[at] ?? 'INTERNAL';
    asked++;
    if (answer === 'done') return Promise.resolve(`from ${String(at + 1)}` as never);
    return Promise.reject(new WeftError({ reason: answer, message: `${answer} of ${String(at + 1)}` }));
  };
  const method = (() => undefined) as never;
  const outcome = await askAny(
    ask,
    place,
    testSurroundings(),
  )(method, {}).catch((error: unknown) => (error instanceof WeftError ? error.message : error));
  return { outcome, asked };
}

describe('asking one of several controllers', () => {
  it.each([
    [['done', 'done'], 'from 1', 1],
    [['CONTROLLER_UNAVAILABLE', 'done'], 'from 2', 2],
    [['STORE_UNAVAILABLE', 'CONTROLLER_UNAVAILABLE', 'done'], 'from 3', 3],
    [['CONTROLLER_UNAVAILABLE'], 'CONTROLLER_UNAVAILABLE of 1', 1],
    [['STORE_UNAVAILABLE', 'CONTROLLER_UNAVAILABLE'], 'CONTROLLER_UNAVAILABLE of 2', 2],
    [['NETWORK_NOT_FOUND', 'done'], 'NETWORK_NOT_FOUND of 1', 1],
    [['TIMED_OUT', 'done'], 'TIMED_OUT of 1', 1],
    [['RESTORE_UNFINISHED', 'done'], 'RESTORE_UNFINISHED of 1', 1],
    [['CONTROLLER_UNAVAILABLE', 'QUOTA_REACHED'], 'QUOTA_REACHED of 2', 2],
    // Perhaps removed, or made, by the call that was not answered.
    [['CONTROLLER_UNAVAILABLE', 'NETWORK_NOT_FOUND'], 'CONTROLLER_UNAVAILABLE of 1', 2],
    [['STORE_UNAVAILABLE', 'REVISION_CHANGED'], 'STORE_UNAVAILABLE of 1', 2],
  ] satisfies [(Reason | 'done')[], string, number][])('%j: %s', async (answers, outcome, asked) => {
    expect(await asking(answers)).toEqual({ outcome, asked });
  });
});
