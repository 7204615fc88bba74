/** A number of places, and a line of those who wait for one. */
import { deferred, unlessAborted, type Deferred } from '../../core/lifetime.js';

export class Places {
  #free: number;
  readonly #waiting = new Set<Deferred<void>>();

  constructor(count: number) {
    this.#free = count;
  }

  /** A place, to be given back by disposing; they are had in the order of asking. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    let given = false;
    return {
      [Symbol.dispose]: () => {
        if (given) return;
        given = true;
        this.#giveBack();
      },
    };
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const turn: Deferred<void> = deferred();
    this.#waiting.add(turn);
    try {
      await unlessAborted(turn.promise, signal);
    } catch (error) {
      // It may have been its turn in the same moment.
      if (!this.#waiting.delete(turn)) this.#giveBack();
      throw error;
    }
  }

  #giveBack(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next.resolve();
  }
}
