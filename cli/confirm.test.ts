import { describe, expect, it } from 'vitest';
import { confirm } from './confirm.js';
import { resolveGlobals } from './globals.js';
import { Invocation } from './invocation.js';
import { testSurroundings, typing } from './surroundings.testing.js';
import type { Surroundings } from './surroundings.js';

async function ask(overrides: Partial<Surroundings>, force = false) {
  const { surroundings, written } = testSurroundings(overrides);
  const invocation = new Invocation(resolveGlobals({}, {}, '/root'), surroundings);
  return { sure: await confirm(invocation, { question: 'Go on?', force }), written };
}

describe('confirm', () => {
  it.each([
    ['y', true],
    ['Yes ', true],
    ['', false],
    ['n', false],
    ['yesterday', false],
  ])('%j is %s', async (line, sure) => {
    const answer = await ask(typing(line));
    expect(answer).toEqual({ sure, written: { stdout: '', stderr: 'Go on? [y/N] ' } });
  });

  it('is no at the end of what is typed', async () => {
    expect(await ask(typing())).toMatchObject({ sure: false });
  });

  it('does not ask who is sure, and refuses where nobody can be asked', async () => {
    expect(await ask({}, true)).toEqual({ sure: true, written: { stdout: '', stderr: '' } });
    await expect(ask({})).rejects.toMatchObject({ reason: 'ARGUMENT_INVALID', violations: [{ field: '-f' }] });
  });

  it('lets people think for longer than --timeout', async () => {
    let nowMs = 0;
    const readLine = (): Promise<string> => {
      nowMs += 60_000;
      return Promise.resolve('y');
    };
    const { surroundings } = testSurroundings({ stdin: { isTty: true, readLine } });
    const clock = { monotonicMs: () => nowMs, now: () => new Date(nowMs) };
    const invocation = new Invocation(resolveGlobals({ timeout: '10' }, {}, '/root'), surroundings, clock);
    nowMs = 4_000;
    expect(await confirm(invocation, { question: 'Go on?', force: false })).toBe(true);
    expect(invocation.remainingMs()).toBe(6_000);
    expect(invocation.remainingMs(3_600_000)).toBe(6_000);
  });
});
