/** Aborting, waiting and releasing: the few helpers every long-lived part shares. */
import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

/** What each combined signal was made of. */
const parts = new WeakMap<AbortSignal, readonly AbortSignal[]>();

/**
 * A signal that aborts when any of `signals` does. Use it in place of AbortSignal.any, whose result holds what it was
 * made of only weakly: a timeout that nobody else holds is collected as garbage, and then never comes
 * (https://github.com/nodejs/node/issues/57736, seen on 20.20).
 */
export function anySignal(...signals: readonly AbortSignal[]): AbortSignal {
  const combined = AbortSignal.any([...signals]);
  parts.set(combined, signals);
  return combined;
}

/** A signal that aborts when any of `signals` does, or after `ms`, which need not be whole. */
export function withDeadline(ms: number, ...signals: readonly AbortSignal[]): AbortSignal {
  // AbortSignal.timeout throws for fractions, and shares of a deadline are fractions.
  return anySignal(...signals, AbortSignal.timeout(Math.max(0, Math.ceil(ms))));
}

/** Waits `ms`; false when the signal aborted first. Never throws, so loops read `while (await pause(ms, signal))`. */
export async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}

/** Milliseconds before try number `attempt` (0 is the first retry): doubling from `firstMs` to `capMs`, with up to half of jitter. */
export function backoffMs(attempt: number, firstMs: number, capMs: number): number {
  const ceiling = Math.min(capMs, firstMs * 2 ** Math.min(attempt, 30));
  return ceiling * (0.5 + Math.random() / 2);
}

/** Resolves with `promise`, or rejects with the signal's reason where that aborts first; `promise` goes on. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = deferred<never>();
  const abort = (): void => {
    aborted.reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
  };
  if (signal.aborted) abort();
  // Many wait with a daemon's one signal: many listeners are no leak.
  setMaxListeners(0, signal);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Work that goes on beside everything else. Disposing ends it, and waits for it. */
interface Background extends AsyncDisposable {
  /** Settles as the work does. */
  readonly done: Promise<void>;
}

/** Begins work that goes on until its signal aborts: when it is disposed of. */
export function inBackground(work: (signal: AbortSignal) => Promise<void>): Background {
  const stop = new AbortController();
  const done = work(stop.signal);
  // Whoever waits for it hears; nobody may.
  done.catch(() => undefined);
  return {
    done,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await done.catch(() => undefined);
    },
  };
}

/** Whether a signal has aborted, asked afresh: TypeScript takes `signal.aborted` for unchanged across an await. */
export function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** A promise with its handles, for the places that settle from an event. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

export function deferred<T>(): Deferred<T> {
  let handles: Pick<Deferred<T>, 'resolve' | 'reject'> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    handles = { resolve, reject };
  });
  if (handles === undefined) throw new Error('the executor of a promise runs at once');
  return { promise, ...handles };
}

/** Runs every step, also after one failed; throws one AggregateError at the end. For teardown, which must carry on. */
export async function allSettledOrThrow(what: string, steps: readonly (() => Promise<void> | void)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const run of steps) {
    try {
      await run();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, `${what}: ${String(errors.length)} of its steps failed`);
}
