/** Tells many who wait on one signal that it aborted, with one listener on it: a batch has one signal for thousands. */
import { asError } from '../../core/errors.js';

export class Departures {
  readonly #waiting = new Map<
    AbortSignal,
    { readonly leave: Set<(reason: Error) => void>; readonly end: () => void }
  >();

  /** How many signals are waited on. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Calls `leave` when the signal aborts, once, unless it is disposed of before. */
  notice(signal: AbortSignal, leave: (reason: Error) => void): Disposable {
    const waiting = this.#waiting.get(signal) ?? this.#begin(signal);
    waiting.leave.add(leave);
    return {
      [Symbol.dispose]: () => {
        waiting.leave.delete(leave);
        if (waiting.leave.size === 0) waiting.end();
      },
    };
  }

  #begin(signal: AbortSignal) {
    const leave = new Set<(reason: Error) => void>();
    const abort = (): void => {
      // Nobody waits on it any more: who has gone need not say so.
      this.#waiting.delete(signal);
      for (const each of leave) each(asError(signal.reason));
    };
    signal.addEventListener('abort', abort, { once: true });
    const end = (): void => {
      signal.removeEventListener('abort', abort);
      if (this.#waiting.get(signal) === waiting) this.#waiting.delete(signal);
    };
    const waiting = { leave, end };
    this.#waiting.set(signal, waiting);
    return waiting;
  }
}
