import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

/** The compiled module; `npm test` builds it first. */
const DIST = join(import.meta.dirname, '..', '..', 'dist', 'core');

/** A daemon that says what happens to it, and takes its time to stop. */
const DAEMON = `
  import { createLogger } from ${JSON.stringify(join(DIST, 'daemon', 'log.js'))};
  import { runDaemon } from ${JSON.stringify(join(DIST, 'daemon', 'run.js'))};
  import { WeftError } from ${JSON.stringify(join(DIST, 'errors.js'))};
  const [stopMs, failure] = process.argv.slice(1);
  const log = createLogger({ daemon: 'test', level: 'info' });
  process.exitCode = await runDaemon(log, async (signal) => {
    if (failure === 'told') throw new WeftError({ reason: 'INTERNAL', message: 'a plain sentence' });
    if (failure === 'bug') throw new TypeError('a bug');
    const alive = setInterval(() => undefined, 1_000);
    const stopped = new Promise((resolve) => signal.addEventListener('abort', resolve));
    process.stdout.write('ready');
    await stopped;
    process.stdout.write('stopping');
    await new Promise((resolve) => setTimeout(resolve, Number(stopMs)));
    process.stdout.write('stopped');
    clearInterval(alive);
  });
`;

let child: ChildProcess | undefined;
afterEach(() => {
  if (child?.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
});

function start(...args: string[]) {
  const argv = ['--input-type=module', '-e', DAEMON, ...args];
  const started = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  child = started;
  let [told, log] = ['', ''];
  started.stdout.setEncoding('utf8').on('data', (text: string) => (told += text));
  started.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = once(started, 'close').then(([code]) => code as number | null);
  return {
    ended,
    kill: (name: NodeJS.Signals) => started.kill(name),
    until: async (word: string) => {
      while (!told.includes(word)) await Promise.race([once(started.stdout, 'data'), fail(ended)]);
    },
    told: () => told,
    messages: () =>
      log
        .split('\n')
        .slice(0, -1)
        .map((line) => (JSON.parse(line) as { msg: string }).msg),
  };
}

async function fail(ended: Promise<unknown>): Promise<never> {
  await ended;
  throw new Error('the daemon is gone');
}

describe('a daemon', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('stops in good order at %s', async (name) => {
    const daemon = start('10');
    await daemon.until('ready');
    daemon.kill(name);
    expect(await daemon.ended).toBe(0);
    expect(daemon.told()).toBe('readystoppingstopped');
    expect(daemon.messages()).toEqual(['stopping']);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('takes two %s in quick succession for one', async (name) => {
    const daemon = start('300');
    await daemon.until('ready');
    daemon.kill(name);
    // Told twice only when the first was taken: signals of one kind that nobody took yet are one.
    await daemon.until('stopping');
    daemon.kill(name);
    expect(await daemon.ended).toBe(0);
    expect(daemon.told()).toBe('readystoppingstopped');
    expect(daemon.messages()).toEqual(['stopping']);
  });

  it.each([
    ['the same signal, a second later', 'SIGTERM', 1_100],
    ['another signal', 'SIGINT', 0],
  ] as const)('does not keep waiting who asks again by %s', async (_, name, afterMs) => {
    const daemon = start('60000');
    await daemon.until('ready');
    daemon.kill('SIGTERM');
    await daemon.until('stopping');
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    daemon.kill(name);
    expect(await daemon.ended).toBe(1);
    expect(daemon.told()).toBe('readystopping');
    expect(daemon.messages().at(-1)).toContain('ended by a second signal');
  });

  it.each([
    ['told', 'a plain sentence'],
    ['bug', 'failed'],
  ])('that cannot go on ends with status 1: %s', async (failure, message) => {
    const daemon = start('0', failure);
    expect(await daemon.ended).toBe(1);
    expect(daemon.messages()).toEqual([message]);
  });
});
