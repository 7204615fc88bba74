/**
 * One after the other: work that rewrites the same guards stands in line for them, in the order it came. Only the first
 * of a line is woken when the one before it is done, so a long line costs no more than its length.
 */
import { deferred, type Deferred } from '../../core/lifetime.js';
import { Departures } from '../store/departures.js';

export class Turns {
  /** The last in each line. */
  readonly #last = new Map<string, Promise<void>>();
  readonly #departures = new Departures();

  /** A place in no line yet. */
  open(): Turn {
    return new Turn(this.#last, this.#departures);
  }

  /** How many lines there are. */
  get size(): number {
    return this.#last.size;
  }
}

export class Turn implements Disposable {
  readonly #last: Map<string, Promise<void>>;
  readonly #departures: Departures;
  /** What it has or waits for, each with what lets the next one have it. */
  readonly #held = new Map<string, () => void>();

  constructor(last: Map<string, Promise<void>>, departures: Departures) {
    this.#last = last;
    this.#departures = departures;
  }

  /**
   * Has all of `keys` and nothing else: at once where it returns undefined, or when others that had to be waited for are
   * done. If there is more to have than it has, it gives everything back and stands in line anew, for all at once: so
   * each waits only for those that came before it, and nobody for each other. Rejects with the signal's reason.
   */
  take(keys: readonly string[], signal: AbortSignal): Promise<void> | undefined {
    if (keys.every((key) => this.#held.has(key))) {
      if (keys.length < this.#held.size) this.#release((key) => !keys.includes(key));
      return undefined;
    }
    this.#release(() => true);
    const before = keys.map((key) => this.#last.get(key)).filter((each) => each !== undefined);
    const ready = before.length === 0 ? undefined : Promise.all(before);
    for (const key of keys) {
      const over: Deferred<void> = deferred();
      this.#last.set(key, over.promise);
      const end = (): void => {
        if (this.#last.get(key) === over.promise) this.#last.delete(key);
        over.resolve();
      };
      // Who leaves early does not let those behind it pass those before it.
      this.#held.set(key, ready === undefined ? end : () => void ready.then(end, end));
    }
    return ready === undefined ? undefined : this.#wait(ready, signal);
  }

  async #wait(ready: Promise<unknown>, signal: AbortSignal): Promise<void> {
    const woken: Deferred<void> = deferred();
    using _leaving = this.#departures.notice(signal, woken.reject);
    ready.then(() => {
      woken.resolve();
    }, woken.reject);
    await woken.promise;
  }

  /** Lets those behind it have what it had; it may take again. */
  leave(): void {
    this.#release(() => true);
  }

  [Symbol.dispose](): void {
    this.leave();
  }

  #release(which: (key: string) => boolean): void {
    for (const [key, end] of this.#held) {
      if (!which(key)) continue;
      this.#held.delete(key);
      end();
    }
  }
}
