/** Time as a thing that can be handed over, so that what depends on it can be tested without waiting. */

/** `now` is for display and logs only; `monotonicMs` is what durations and deadlines are made of. */
export interface Clock {
  readonly now: () => Date;
  readonly monotonicMs: () => number;
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
};
