/** A value that changes, and those who wait for it to become something. */
import { asError } from '../../core/errors.js';

export class Latest<T> {
  #value: T;
  readonly #listeners = new Set<(value: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  /** Takes the value's place and tells everyone, in the order in which they came. */
  set(value: T): void {
    this.#value = value;
    for (const listener of [...this.#listeners]) listener(value);
  }

  /** Calls `listener` with every later value until disposed. It must not throw. */
  subscribe(listener: (value: T) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * What `pick` finds in the value, now or as soon as it finds something. Rejects with what `pick` throws, and with the
   * signal's reason when it aborts first.
   */
  until<S>(pick: (value: T) => S | undefined, signal: AbortSignal): Promise<S> {
    return new Promise((resolve, reject) => {
      const look = (value: T): void => {
        try {
          const found = pick(value);
          if (found === undefined) return;
          leave();
          resolve(found);
        } catch (error) {
          leave();
          reject(asError(error));
        }
      };
      const abort = (): void => {
        leave();
        reject(reasonOf(signal));
      };
      const subscription = this.subscribe(look);
      const leave = (): void => {
        subscription[Symbol.dispose]();
        signal.removeEventListener('abort', abort);
      };
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      else look(this.#value);
    });
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}
