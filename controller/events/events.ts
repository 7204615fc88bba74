/**
 * What happens in the cluster, for clients that watch. Who watches is a cursor: it is told what is new when it has taken
 * what was told before, and costs no memory meanwhile. Recent events are in a ring that all share, and that is kept only
 * while somebody watches; what is older is read from the store's history.
 */
import type { Logger } from '../../core/daemon/log.js';
import { WeftError, type Rejection } from '../../core/errors.js';
import { anySignal, deferred, unlessAborted, type Deferred } from '../../core/lifetime.js';
import type { Cache } from '../cache/cache.js';
import type { ChangeSet } from '../cache/view.js';
import type { Store } from '../store/store.js';
import { eventsOf, type EventFilter } from './event.js';
import { bookmarkAt, messagesOf } from './messages.js';
import { Past } from './past.js';
import { EventRing, type RingLimits } from './ring.js';

export interface EventsOptions {
  readonly store: Store;
  readonly cache: Cache;
  readonly epoch: string;
  readonly log: Logger;
  readonly ring?: RingLimits;
  /** Who may watch at a time. */
  readonly watchersMax?: number;
  /** Milliseconds after which everybody has had a bookmark. */
  readonly bookmarkMs?: number;
  /** See PastOptions. */
  readonly quietMs?: number;
}

export interface WatchWish {
  /** The first revision that is wanted, at most one beyond what the cache has. */
  readonly from: bigint;
  readonly filter: EventFilter;
  /** End when what has happened by now is told. */
  readonly untilNow: boolean;
  readonly signal: AbortSignal;
}

const RING: RingLimits = { events: 16_384, bytes: 16 * 1024 * 1024 };
const WATCHERS_MAX = 512;
const BOOKMARK_MS = 5_000;

/** Milliseconds for which news are gathered: who watches is woken once for all of them. */
const TOGETHER_MS = 10;

/** Bytes of events that somebody is handed at once. */
const PORTION_BYTES = 64 * 1024;

/** Where somebody stands. */
interface Cursor {
  readonly next: bigint;
  readonly filter: EventFilter;
  readonly signal: AbortSignal;
  /** How far the ring was when the past was read, and nothing more came of it. */
  readonly quietAt: bigint | undefined;
}

interface Portion {
  readonly messages: readonly Uint8Array[];
  readonly upTo: bigint;
  readonly isQuiet: boolean;
}

export class Events implements Disposable {
  readonly #options: EventsOptions;
  readonly #ring: EventRing;
  readonly #past: Past;
  readonly #watchersMax: number;
  readonly #bookmarkMs: number;
  #watchers = 0;
  #subscription: Disposable | undefined;
  #ticking: NodeJS.Timeout | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #news: Deferred<void> = deferred();
  /** Aborts when whoever watches is told nothing any more; its reason is what they are told at last. */
  #over = new AbortController();
  #closed = false;

  constructor(options: EventsOptions) {
    this.#options = options;
    this.#ring = new EventRing(options.ring ?? RING);
    this.#past = new Past(options);
    this.#watchersMax = options.watchersMax ?? WATCHERS_MAX;
    this.#bookmarkMs = options.bookmarkMs ?? BOOKMARK_MS;
    options.cache.superseded.then(
      () => {
        this.dismiss(new WeftError(EPOCH_OVER));
        this.#closed = true;
      },
      () => undefined,
    );
  }

  /** How many watch. */
  get watchers(): number {
    return this.#watchers;
  }

  /** Bytes that the ring holds. */
  get bytes(): number {
    return this.#ring.bytes;
  }

  /**
   * Messages in the form they travel in: a bookmark at once, then events and bookmarks, for as long as they are taken.
   * Throws WeftError HISTORY_COMPACTED, TOO_MANY_CALLS, EPOCH_DIFFERS when the store comes to hold another state, and
   * CONTROLLER_UNAVAILABLE when this controller stops.
   */
  async *watch({ from, filter, untilNow, signal: asked }: WatchWish): AsyncGenerator<Uint8Array> {
    using _place = this.#enter();
    const { epoch } = this.#options;
    const signal = anySignal(asked, this.#over.signal);
    const until = this.#ring.upTo;
    let next = from;
    yield bookmarkAt(next - 1n, epoch);
    let toldMs = performance.now();
    let quietAt: bigint | undefined;
    while (true) {
      signal.throwIfAborted();
      const news = this.#news.promise;
      const known = this.#ring.upTo;
      const portion = await this.#portion({ next, filter, signal, quietAt });
      if (portion.isQuiet) quietAt = known;
      if (portion.upTo >= next) next = portion.upTo + 1n;
      for (const message of portion.messages) {
        yield message;
        toldMs = performance.now();
      }
      const isIdle = quietAt === this.#ring.upTo || next > this.#ring.upTo;
      if (untilNow && (isIdle || next > until)) {
        yield bookmarkAt(next - 1n, epoch);
        return;
      }
      if (performance.now() - toldMs >= this.#bookmarkMs / 2) {
        yield bookmarkAt(next - 1n, epoch);
        toldMs = performance.now();
      }
      if (isIdle) await unlessAborted(news, signal);
    }
  }

  /** Ends everybody's watch with this. */
  dismiss(error: WeftError): void {
    // What ended them first holds for all who come after the end.
    if (this.#closed) return;
    this.#over.abort(error);
    this.#over = new AbortController();
  }

  /** Ends everybody's watch, and takes no other: they go on at another controller. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#over.abort(stopping());
    this.#stop();
  }

  /** What is next for a cursor. Only what is to be sent is held on to: the ring may let go of the events meanwhile. */
  async #portion({ next, filter, signal, quietAt }: Cursor): Promise<Portion> {
    const { epoch } = this.#options;
    const kept = this.#ring.read(next, filter, PORTION_BYTES);
    if (kept !== undefined) return { messages: messagesOf(kept, epoch), upTo: kept.upTo, isQuiet: false };
    if (quietAt === this.#ring.upTo) return { messages: [], upTo: next - 1n, isQuiet: true };
    const reading = { from: next, upTo: this.#ring.from - 1n, filter, bytes: PORTION_BYTES, signal };
    const past = await this.#past.read(reading);
    return { messages: messagesOf(past, epoch), upTo: past.upTo, isQuiet: past.isQuiet };
  }

  #enter(): Disposable {
    if (this.#closed) throw stopping();
    if (this.#watchers >= this.#watchersMax) {
      const message = `${String(this.#watchersMax)} clients watch here, which is as many as a controller takes; ask another`;
      throw new WeftError({ reason: 'TOO_MANY_CALLS', message });
    }
    this.#watchers += 1;
    if (this.#watchers === 1) this.#begin();
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (left) return;
        left = true;
        this.#watchers -= 1;
        if (this.#watchers === 0) this.#stop();
      },
    };
  }

  #begin(): void {
    const { cache } = this.#options;
    this.#ring.reset(cache.view.revision);
    this.#subscription = cache.subscribe((changes) => {
      this.#take(changes);
    });
    this.#ticking = setInterval(() => {
      this.#wake();
    }, this.#bookmarkMs / 2);
  }

  #stop(): void {
    this.#subscription?.[Symbol.dispose]();
    clearInterval(this.#ticking);
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    this.#ring.reset(this.#ring.upTo);
  }

  #take(changes: ChangeSet): void {
    // A listing says what became different, and not when and how: that is in the store's history.
    if (changes.listed === true) this.#ring.reset(changes.revision);
    else this.#ring.push(changes.revision, eventsOf(changes, this.#options.cache.view));
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#wake();
    }, TOGETHER_MS);
  }

  #wake(): void {
    const { resolve } = this.#news;
    this.#news = deferred();
    resolve();
  }
}

function stopping(): WeftError {
  return new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message: 'this controller is stopping; go on at another' });
}

/** The refusal of revisions that are of another epoch than is served. */
export const EPOCH_OVER: Rejection = {
  reason: 'EPOCH_DIFFERS',
  message:
    'the state was restored from a backup, and revisions of before do not count any more; list what there is, and watch from there',
};
