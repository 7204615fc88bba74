/** Tells many who wait on one signal that it aborted, with one listener on it: a batch has one signal for thousands. */
export class Departures {
  readonly #waiting = new Map<
    AbortSignal,
    { readonly leave: Set<(reason: Error) => void>; readonly end: () => void }
  >();

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
      for (const each of leave) each(asError(signal.reason));
    };
    signal.addEventListener('abort', abort, { once: true });
    const end = (): void => {
      signal.removeEventListener('abort', abort);
      this.#waiting.delete(signal);
    };
    const waiting = { leave, end };
    this.#waiting.set(signal, waiting);
    return waiting;
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
