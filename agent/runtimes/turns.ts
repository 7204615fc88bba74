/** One at a time, by key: changes of one sandbox wait for each other. */
import { WeftError } from '../../core/errors.js';

export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `act` when everything before it under the key has ended. Rejects with SANDBOX_BUSY when the signal aborts before its turn. */
  async take<T>(key: string, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    let done: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => {
      done = resolve;
    });
    const last = before.then(() => mine);
    this.#last.set(key, last);
    try {
      await orAborted(before, signal, key);
      return await act();
    } finally {
      done();
      // Not at once: who went before its turn leaves those before it where they are.
      const forget = (): void => {
        if (this.#last.get(key) === last) this.#last.delete(key);
      };
      last.then(forget, forget);
    }
  }
}

function orAborted(turn: Promise<void>, signal: AbortSignal, key: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      const message = `sandbox ${key} is being changed by another request; try again when that is done`;
      reject(new WeftError({ reason: 'SANDBOX_BUSY', message }));
    };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    turn.then(
      () => {
        signal.removeEventListener('abort', abort);
        resolve();
      },
      () => undefined, // turns end, they do not fail
    );
  });
}
