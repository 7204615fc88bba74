/**
 * Keeps the history of addresses from outgrowing the store: of those who held one, only so many are remembered, the
 * latest. Every controller does it, and it does no harm that several do: what is to go is the same for all.
 */
import type { Logger } from '../../core/daemon/log.js';
import { pause } from '../../core/lifetime.js';
import { HISTORY } from '../store/keys.js';
import { StoreRefused, StoreUnavailable, type Compare, type Store } from '../store/store.js';

export interface HistoryTrimmerOptions {
  readonly store: Store;
  readonly log: Logger;
  /** Holders that are remembered at most, give or take those of the last seconds. */
  readonly records: number;
  /** Milliseconds from one look to the next, a tenth more or less. Default 15,000. */
  readonly everyMs?: number;
  /** What must hold for anything to be changed. */
  readonly fence?: () => Compare;
}

const EVERY_MS = 15_000;

/** Keys that are asked for at once: the store sorts all there are to answer. */
const ASKED = 10_000;

/** Keys that go in one transaction; etcd takes 128 operations. */
const TOGETHER = 100;

export class HistoryTrimmer {
  readonly #options: HistoryTrimmerOptions;

  constructor(options: HistoryTrimmerOptions) {
    this.#options = options;
  }

  /** Trims until the signal aborts. Never rejects but for a fault of its own. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, everyMs = EVERY_MS } = this.#options;
    while (await pause(everyMs * (0.9 + Math.random() / 5), signal)) {
      try {
        const removed = await this.once(signal);
        if (removed > 0) log.info({ removed }, 'removed the oldest of the address history');
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StoreUnavailable || error instanceof StoreRefused)) throw error;
        log.warn({ err: error }, 'the address history could not be trimmed; trying again later');
      }
    }
  }

  /** Removes what is too much; how many those were. Throws what the store throws. */
  async once(signal: AbortSignal): Promise<number> {
    const { store, fence } = this.#options;
    const compares = fence === undefined ? [] : [fence()];
    let removed = 0;
    for (;;) {
      if ((await this.#excess(signal)) <= 0) return removed;
      const oldest = await store.oldest(HISTORY, ASKED, signal);
      // Counted after they were listed: what another has removed since is missing from the count, so none is too many.
      const keys = oldest.slice(0, Math.max(0, await this.#excess(signal)));
      for (let at = 0; at < keys.length; at += TOGETHER) {
        const deletes = keys.slice(at, at + TOGETHER);
        const { committed } = await store.commit({ compares, puts: [], deletes }, signal);
        // The store holds another state now.
        if (!committed) return removed;
        removed += deletes.length;
      }
    }
  }

  async #excess(signal: AbortSignal): Promise<number> {
    return (await this.#options.store.count(HISTORY, signal)) - this.#options.records;
  }
}
