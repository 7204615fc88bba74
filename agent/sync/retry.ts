/** When a stream that ended is opened again. */
import { backoffMs } from '../../core/lifetime.js';

/** Every controller of the list gets one try, in which this much chance keeps many hosts apart. */
const JITTER_MS = 200;
const FIRST_MS = 200;
const CAP_MS = 2_000;

/** How a stream ended. */
export interface StreamEnd {
  /** Whether it had told everything once. */
  readonly worked: boolean;
  /** Whether a newer stream of the same host has ended it. */
  readonly replaced: boolean;
}

export class Retry {
  #failures = 0;

  /** `controllers`: how many there are to go to. `random`: from 0 up to 1. */
  constructor(
    private readonly controllers: number,
    private readonly random: () => number = Math.random,
  ) {}

  /** How many streams in a row came to nothing. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Milliseconds to wait. A stream that worked is followed at once: its controller has stopped, and another may be
   * there. Not so where a newer stream has ended it: it is another agent's with this host's id, and the two would take
   * turns for ever.
   */
  after({ worked, replaced }: StreamEnd): number {
    this.#failures = worked && !replaced ? 0 : this.#failures + 1;
    if (this.#failures === 0) return 0;
    if (this.#failures < this.controllers && !replaced) return this.random() * JITTER_MS;
    return backoffMs(this.#failures - Math.min(this.#failures, this.controllers), FIRST_MS, CAP_MS);
  }
}
