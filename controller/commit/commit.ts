/**
 * From a rule's decision to the store: decide on the current view, commit in a group with others, and when a guard did
 * not hold bring the view to where it failed and decide again. A command is decided when it comes, not when its group
 * is made up: what was decided meanwhile has moved the cursors, so that commands that wait together choose different
 * things, and while the store writes one group the next is ready to go.
 */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../../core/clock.js';
import { WeftError, type Rejection } from '../../core/errors.js';
import { backoffMs, pause, withDeadline } from '../../core/lifetime.js';
import { randomMac } from '../../core/mac.js';
import type { Cache } from '../cache/cache.js';
import type { Context, CursorMove, Decision } from '../domain/decision.js';
import type { Settings } from '../domain/settings.js';
import { Fenced, GroupCommit, type CommitOptions } from '../store/group-commit.js';
import { GUARDS, objectKey } from '../store/keys.js';
import {
  StoreFull,
  StoreRefused,
  StoreUnavailable,
  type CommitResult,
  type Compare,
  type Store,
  type Transaction,
} from '../store/store.js';
import { placeOf } from '../store/transaction.js';
import { Barriers, type Barrier } from './barriers.js';
import { Recent } from './recent.js';
import { Turns, type Turn } from './turns.js';

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
  /** What must hold for anything to be changed: that this is still the cluster, at the epoch, the controller serves. */
  readonly fence?: () => Compare;
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
const TRIES = 40;

/** Milliseconds for which a view is waited for that may never come: the change that was in the way may be none of ours. */
const CATCH_UP_MS = 3_000;

/** How far a cursor may have gone on after a choice for that choice's loss to still say something about it. */
const NEAR = 4_096n;

/** Entries that are kept of guards and of cursors; one that is forgotten costs a try, or a search from the newest. */
const REMEMBERED = 10_000;

/** Where a command stands beside others. */
interface Order {
  readonly turn: Turn;
  readonly barrier: Barrier;
}

/** What services need of it. */
export type Commits = Pick<Committer, 'run'>;

export class Committer {
  readonly #options: CommitterOptions;
  readonly #groups: GroupCommit;
  readonly #never = new AbortController().signal;
  /** mod_revision of guards that are compared and rewritten, none newer than the view. */
  readonly #guards = new Recent<bigint>(REMEMBERED);
  readonly #cursors = new Recent<bigint>(REMEMBERED);
  /** By how much commits under way add to counts. */
  readonly #underway = new Map<string, number>();
  /** Of commands that rewrite the same guards: decided beside each other all but one would only fail. */
  readonly #turns = new Turns();
  /** Of commands that lost to others. */
  readonly #barriers = new Barriers();

  constructor(options: CommitterOptions) {
    this.#options = options;
    const { store, cache, fence } = options;
    // Many groups wait for the view with it when that is late, which is no leak.
    setMaxListeners(0, this.#never);
    this.#groups = new GroupCommit({
      store,
      committed: (revision) => cache.atLeast(revision, this.#never),
      ...(fence === undefined ? {} : { fence }),
    });
  }

  /**
   * Carries a command out. Resolves when the cache has its revision, so that whoever asked reads what was written.
   * Throws WeftError: the rule's refusal, CONTENTION, STORE_UNAVAILABLE, STORE_FULL, RESTORE_UNFINISHED; and the
   * signal's reason.
   */
  async run<Result>(decide: (context: Context) => Decision<Result>, options: RunOptions): Promise<Outcome<Result>> {
    // Not `using`: what it is compiled to costs more than all else here, and this is done for every command.
    const turn = this.#turns.open();
    const barrier = this.#barriers.open();
    try {
      return await this.#carryOut(decide, options, { turn, barrier });
    } finally {
      barrier[Symbol.dispose]();
      turn[Symbol.dispose]();
    }
  }

  async #carryOut<Result>(
    decide: (context: Context) => Decision<Result>,
    options: RunOptions,
    { turn, barrier }: Order,
  ): Promise<Outcome<Result>> {
    const { cache } = this.#options;
    const { signal } = options;
    let retried = false;
    let full = false;
    let obstacle = '';
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      signal.throwIfAborted();
      const decision = decide(this.#context(options.requestId, retried));
      if (isRefusal(decision)) throw new WeftError(decision);
      if (decision.kind === 'done') return { result: decision.result, revision: cache.view.revision };
      const { transaction, moves } = decision;
      const clear = barrier.wait(transaction, signal);
      if (clear !== undefined) {
        turn.leave();
        await clear;
        continue;
      }
      const guards = guardsOf(transaction);
      const others = turn.take(guards, signal);
      if (others !== undefined) {
        // What came before it in a line is to be seen: it is decided anew.
        await others;
        continue;
      }
      // Moved before anything is waited for: a command that is decided meanwhile looks further on.
      for (const { pool, at, late } of moves) if (late !== true) this.#cursors.set(pool, at);
      const adds = decision.adds ?? [];
      this.#add(adds, 1);
      cache.foresee(transaction.puts);
      const committed = await this.#commit(transaction, { signal, alone: full }).finally(() => {
        this.#add(adds, -1);
      });
      if (typeof committed === 'object' && committed.committed) {
        this.#rewritten(transaction, committed.revision);
        for (const { pool, at, late } of moves) if (late === true) this.#cursors.set(pool, at);
        return { result: decision.result(committed.revision), revision: committed.revision };
      }
      if (typeof committed === 'object') {
        barrier.raise(committed.failed);
        obstacle = await this.#learn(committed, signal);
        this.#scatter(moves, committed);
      } else {
        retried = true;
        full = committed === 'full';
      }
      if (!barrier.hurries) await pause(backoffMs(attempt, 2, 200), signal);
    }
    throw new WeftError({
      reason: 'CONTENTION',
      message: `the state kept changing under this request${obstacle}; try again`,
    });
  }

  /** Counts one more, or one less, of each as being under way. */
  #add(counts: readonly string[], by: 1 | -1): void {
    for (const count of counts) {
      const underway = (this.#underway.get(count) ?? 0) + by;
      if (underway > 0) this.#underway.set(count, underway);
      else this.#underway.delete(count);
    }
  }

  /**
   * Commits once. Where it is unknown whether it was written, because the store did not answer or was found full just
   * then, brings the view to a point at which it shows.
   */
  async #commit(transaction: Transaction, options: CommitOptions): Promise<CommitResult | 'unknown' | 'full'> {
    const { observer } = this.#options;
    try {
      const result = await this.#groups.commit(transaction, options);
      if (result.committed) observer.committed();
      else observer.conflicted();
      return result;
    } catch (error) {
      if (error instanceof Fenced) throw restoring(error);
      // Said of it alone, and for the second time, it is certain.
      if (error instanceof StoreFull && options.alone === true) throw noSpace(error);
      if (error instanceof StoreRefused && !(error instanceof StoreFull)) throw refused(error);
      if (!(error instanceof StoreUnavailable || error instanceof StoreFull)) throw error;
      observer.unknown();
      await this.#readBack(options.signal);
      return error instanceof StoreFull ? 'full' : 'unknown';
    }
  }

  /** Brings the view to where everything shows that was written until now. */
  async #readBack(signal: AbortSignal): Promise<void> {
    const { store, cache } = this.#options;
    try {
      // A read sees every write that was answered or will have been, so the view after it shows what became of ours.
      const { revision } = await store.get(objectKey.meta(), signal);
      await cache.atLeast(revision, signal);
    } catch (error) {
      if (error instanceof StoreUnavailable) throw unavailable(error);
      throw error;
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
      if (revision <= cache.view.revision) this.#guards.set(compare.key, revision);
    }
    const [first] = result.failed;
    if (first === undefined) return '';
    return ` (${placeOf(first)})`;
  }

  /**
   * Goes elsewhere in the pools where somebody else was quicker. Another controller that searches them began where this
   * one did, and they would go on taking each other's choices.
   */
  #scatter(moves: readonly CursorMove[], { failed }: CommitResult & { readonly committed: false }): void {
    if (!failed.some((compare) => compare.kind === 'absent' && isGuard(compare.key))) return;
    for (const { pool, at, range } of moves) {
      if (range === undefined) continue;
      const cursor = this.#cursors.get(pool) ?? at;
      // What was decided beside this one is lost too, most likely; the first of them has gone elsewhere for all.
      if (cursor < at || cursor - at > NEAR) continue;
      this.#cursors.set(pool, randomIn(range));
    }
  }

  /** The guards a transaction rewrote are known at its revision, which the view has by now. */
  #rewritten({ compares, deletes }: Transaction, revision: bigint): void {
    for (const compare of compares) {
      if (compare.kind !== 'unchanged' || !isGuard(compare.key)) continue;
      if (deletes.includes(compare.key)) this.#guards.delete(compare.key);
      else this.#guards.set(compare.key, revision);
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
      underway: (count) => this.#underway.get(count) ?? 0,
      retried,
    };
  }
}

/** The guards a transaction compares and rewrites. */
function guardsOf({ compares }: Transaction): readonly string[] {
  const guards: string[] = [];
  for (const compare of compares) if (compare.kind === 'unchanged' && isGuard(compare.key)) guards.push(compare.key);
  return guards;
}

function isGuard(key: string): boolean {
  return key.startsWith(GUARDS);
}

/** Anywhere in a range; of one that is very long, anywhere in its beginning. */
function randomIn({ first, last }: NonNullable<CursorMove['range']>): bigint {
  const size = Math.min(Number(last - first + 1n), Number.MAX_SAFE_INTEGER);
  return first + BigInt(Math.floor(Math.random() * size));
}

function isLate(error: unknown): boolean {
  return error instanceof WeftError || (error instanceof Error && error.name === 'TimeoutError');
}

function isRefusal(decision: Decision<unknown>): decision is Rejection {
  return !('kind' in decision);
}

function restoring(cause: Error): WeftError {
  return new WeftError(
    {
      reason: 'RESTORE_UNFINISHED',
      message: 'the cluster is being restored from a backup; nothing was changed, try again when that is done',
    },
    { cause },
  );
}

function noSpace(cause: Error): WeftError {
  return new WeftError(
    {
      reason: 'STORE_FULL',
      message: 'the store has no space left, nothing was changed; `weft status` says what to do',
    },
    { cause },
  );
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
