/**
 * From a rule's decision to the store: decide on the current view, commit, and when a guard did not hold bring the
 * view to where it failed and decide again. Commits of many commands in one transaction will go in here, between
 * `decide` and `store.commit`.
 */
import type { Clock } from '../core/clock.js';
import { WeftError, type Rejection } from '../core/errors.js';
import { backoffMs, deferred, pause, withDeadline, type Deferred } from '../core/lifetime.js';
import { randomMac } from '../core/mac.js';
import type { Cache } from './cache/cache.js';
import type { Context, Decision } from './domain/decision.js';
import type { Settings } from './domain/settings.js';
import { GUARDS, objectKey } from './store/keys.js';
import { StoreRefused, StoreUnavailable, type CommitResult, type Store, type Transaction } from './store/store.js';

/** What happens, for the metrics. */
export interface CommitObserver {
  committed(): void;
  conflicted(): void;
  unknown(): void;
}

export interface CommitterOptions {
  readonly store: Store;
  readonly cache: Cache;
  readonly observer: CommitObserver;
  readonly settings: Settings;
  readonly clock: Clock;
}

/** What a command has become: its result, and the revision at which it is part of the state. */
export interface Outcome<Result> {
  readonly result: Result;
  readonly revision: bigint;
}

export interface RunOptions {
  readonly requestId: string;
  readonly signal: AbortSignal;
}

/** Tries before a command that keeps meeting others is given up. */
const TRIES = 12;

/** Milliseconds for which a view is waited for that may never come: the change that was in the way may be none of ours. */
const CATCH_UP_MS = 3_000;

export class Committer {
  readonly #options: CommitterOptions;
  /** mod_revision of guards that are compared and rewritten, none newer than the view. */
  readonly #guards = new Map<string, bigint>();
  readonly #cursors = new Map<string, bigint>();
  /** Guards that a commit under way rewrites, and its end. */
  readonly #inFlight = new Map<string, Promise<void>>();

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /**
   * Carries a command out. Resolves when the cache has its revision, so that whoever asked reads what was written.
   * Throws WeftError: the rule's refusal, CONTENTION, STORE_UNAVAILABLE; and the signal's reason.
   */
  async run<Result>(decide: (context: Context) => Decision<Result>, options: RunOptions): Promise<Outcome<Result>> {
    const { cache } = this.#options;
    const { signal } = options;
    let retried = false;
    let obstacle = '';
    for (let attempt = 0; attempt < TRIES;) {
      signal.throwIfAborted();
      const decision = decide(this.#context(options.requestId, retried));
      if (isRefusal(decision)) throw new WeftError(decision);
      if (decision.kind === 'done') return { result: decision.result, revision: cache.view.revision };
      const guards = guardsOf(decision.transaction);
      const other = guards.map((key) => this.#inFlight.get(key)).find((each) => each !== undefined);
      if (other !== undefined) {
        // Decided beside it, this would only fail: one after the other is quicker, and nobody starves.
        await other;
        continue;
      }
      // Moved before the commit: a command that is decided meanwhile looks further on.
      for (const { pool, at } of decision.moves) remember(this.#cursors, pool, at);
      using _turn = this.#takeTurn(guards);
      const committed = await this.#commit(decision.transaction, signal);
      if (committed !== 'unknown' && committed.committed) {
        await cache.atLeast(committed.revision, signal);
        this.#rewritten(decision.transaction, committed.revision);
        return { result: decision.result(committed.revision), revision: committed.revision };
      }
      if (committed === 'unknown') retried = true;
      else obstacle = await this.#learn(committed, signal);
      await pause(backoffMs(attempt, 2, 200), signal);
      attempt += 1;
    }
    throw new WeftError({
      reason: 'CONTENTION',
      message: `the state kept changing under this request${obstacle}; try again`,
    });
  }

  /** Marks guards as being rewritten, until disposed. */
  #takeTurn(guards: readonly string[]): Disposable {
    const turn: Deferred<void> = deferred();
    for (const key of guards) this.#inFlight.set(key, turn.promise);
    return {
      [Symbol.dispose]: () => {
        for (const key of guards) this.#inFlight.delete(key);
        turn.resolve();
      },
    };
  }

  /** Commits once; where the outcome is unknown, brings the view to a point at which it shows. */
  async #commit(transaction: Transaction, signal: AbortSignal): Promise<CommitResult | 'unknown'> {
    const { store, cache, observer } = this.#options;
    try {
      const result = await store.commit(transaction, signal);
      if (result.committed) observer.committed();
      else observer.conflicted();
      return result;
    } catch (error) {
      if (error instanceof StoreRefused) throw refused(error);
      if (!(error instanceof StoreUnavailable)) throw error;
      observer.unknown();
      try {
        // A read sees every write that was answered or will have been, so the view after it shows what became of ours.
        const { revision } = await store.get(objectKey.meta(), signal);
        await cache.atLeast(revision, signal);
      } catch (readError) {
        if (readError instanceof StoreUnavailable) throw unavailable(readError);
        throw readError;
      }
      return 'unknown';
    }
  }

  /** Takes in what a failed transaction found; a few words on what was in the way, for the message. */
  async #learn(result: CommitResult & { readonly committed: false }, signal: AbortSignal): Promise<string> {
    const { cache } = this.#options;
    const found = new Map(result.found.map((entry) => [entry.key, entry]));
    const gone = result.failed.some((compare) => compare.kind === 'unchanged' && !found.has(compare.key));
    // What was found shows at its own revision. What is gone went at a revision nobody tells us, until the store's.
    const newest = result.found.reduce((max, { modRevision }) => (modRevision > max ? modRevision : max), 0n);
    try {
      await cache.atLeast(gone ? result.revision : newest, withDeadline(CATCH_UP_MS, signal));
    } catch (error) {
      // That the view is late does no harm: the next decision is refused again, or is not.
      if (signal.aborted || !isLate(error)) throw error;
    }
    for (const compare of result.failed) {
      if (compare.kind !== 'unchanged' || !isGuard(compare.key)) continue;
      // A guard newer than the view would vouch for what the view does not show.
      const revision = found.get(compare.key)?.modRevision ?? 0n;
      if (revision <= cache.view.revision) remember(this.#guards, compare.key, revision);
    }
    const [first] = result.failed;
    if (first === undefined) return '';
    return ` (${first.kind === 'emptyPrefix' ? first.prefix : first.key})`;
  }

  /** The guards a transaction rewrote are known at its revision, which the view has by now. */
  #rewritten({ compares, deletes }: Transaction, revision: bigint): void {
    for (const compare of compares) {
      if (compare.kind !== 'unchanged' || !isGuard(compare.key)) continue;
      if (deletes.includes(compare.key)) this.#guards.delete(compare.key);
      else remember(this.#guards, compare.key, revision);
    }
  }

  #context(requestId: string, retried: boolean): Context {
    return {
      view: this.#options.cache.view,
      requestId,
      guardRevision: (key) => this.#guards.get(key) ?? 0n,
      cursor: (pool) => this.#cursors.get(pool),
      newMac: randomMac,
      nowMs: this.#options.clock.now().getTime(),
      settings: this.#options.settings,
      retried,
    };
  }
}

/** Entries that are kept of guards and of cursors; one that is forgotten costs a try, or a search from the newest. */
const REMEMBERED = 10_000;

function remember(map: Map<string, bigint>, key: string, value: bigint): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

/** The guards a transaction compares and rewrites. */
function guardsOf({ compares }: Transaction): readonly string[] {
  return compares.flatMap((compare) => (compare.kind === 'unchanged' && isGuard(compare.key) ? [compare.key] : []));
}

function isGuard(key: string): boolean {
  return key.startsWith(GUARDS);
}

function isLate(error: unknown): boolean {
  return error instanceof WeftError || (error instanceof Error && error.name === 'TimeoutError');
}

function isRefusal(decision: Decision<unknown>): decision is Rejection {
  return !('kind' in decision);
}

function unavailable(cause: Error): WeftError {
  return new WeftError(
    {
      reason: 'STORE_UNAVAILABLE',
      message: 'the store does not answer; whether the change was made is unknown, the same request may be sent again',
    },
    { cause },
  );
}

function refused(cause: StoreRefused): WeftError {
  return new WeftError(
    { reason: 'STORE_UNAVAILABLE', message: `the store refused the change: ${cause.message}` },
    { cause },
  );
}
