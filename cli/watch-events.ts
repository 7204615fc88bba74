/** Events over one controller after the other: none is missed and none comes twice, whichever of them goes. */
import { asError, WeftError, type Reason } from '../core/errors.js';
import { anySignal, backoffMs, isAborted, pause } from '../core/lifetime.js';
import type { Event, WatchRequest } from '../proto/gen/weft/v1/watch.js';
import { download } from '../proto/stream-call.js';
import type { Controllers } from './connect.js';
import type { Invocation } from './invocation.js';

/** All events up to and with a revision, after those of the batch before. */
export interface EventsBatch {
  readonly events: readonly Event[];
  readonly upTo: bigint;
}

/** Milliseconds of a stream, on both sides: as long as timers count. Then it is opened anew. */
const STREAM_MS = 20 * 24 * 60 * 60_000;

/** Milliseconds for what there is by now. */
const UNTIL_NOW_MS = 10 * 60_000;

/** Milliseconds without a word after which a stream is dead: bookmarks come every five seconds. */
const SILENCE_MS = 15_000;

/** What may be said by one controller and not by another, or not again. */
const ELSEWHERE: ReadonlySet<Reason> = new Set(['CONTROLLER_UNAVAILABLE', 'STORE_UNAVAILABLE']);

/** The same of a watch that was under way: then it is no mistake of who asks. */
const PASSING: ReadonlySet<Reason> = new Set([
  ...ELSEWHERE,
  ...(['REVISION_AHEAD', 'RESTORE_UNFINISHED', 'TIMED_OUT', 'TOO_MANY_CALLS', 'INTERNAL'] as const),
]);

/**
 * Goes on until it is left, or with `untilNow` until everything is told. Throws WeftError when no controller of the list
 * tells more for as long as --timeout says, when history is not kept, and when the state was restored.
 */
export async function* watchEvents(
  controllers: Pick<Controllers, 'watches' | 'context' | 'size' | 'moveOn'>,
  wish: WatchRequest,
  invocation: Invocation,
): AsyncGenerator<EventsBatch> {
  const { watches, context, size, moveOn } = controllers;
  const { globals, surroundings } = invocation;
  const { signal } = surroundings;
  let request = wish;
  let heardMs = performance.now();
  let failures = 0;
  while (true) {
    const silence = new Silence();
    try {
      const limits = {
        timeoutMs: wish.untilNow ? invocation.remainingMs(UNTIL_NOW_MS) : STREAM_MS,
        signal: anySignal(signal, silence.signal),
      };
      let events: Event[] = [];
      for await (const response of download(watches.watch.bind(watches), request, context(limits))) {
        silence.broken();
        heardMs = performance.now();
        failures = 0;
        events.push(...response.events);
        const { bookmark, epoch } = response;
        if (bookmark === 0n) continue;
        request = { ...wish, fromRevision: bookmark + 1n, epoch };
        const batch = { events, upTo: bookmark };
        events = [];
        silence[Symbol.dispose]();
        yield batch;
        silence.broken();
      }
      if (wish.untilNow) return;
    } catch (error) {
      if (isAborted(signal)) throw asError(signal.reason);
      const begun = request !== wish;
      const passes =
        silence.signal.aborted || (error instanceof WeftError && (begun ? PASSING : ELSEWHERE).has(error.reason));
      const isLast = begun ? performance.now() - heardMs > globals.timeoutMs : failures + 1 >= size;
      if (!passes || isLast) throw error;
    } finally {
      silence[Symbol.dispose]();
    }
    moveOn();
    // At once to the next one; then no faster than anything can change.
    if (failures > 0) await pause(backoffMs(failures - 1, 200, 1_000), signal);
    failures += 1;
  }
}

/** Aborts when it was not broken for too long. */
class Silence implements Disposable {
  readonly #ended = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    this.broken();
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  broken(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#ended.abort();
    }, SILENCE_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
