/** What a rule is given, and what it answers: (view, command) -> guarded transaction and result, or a refusal. */
import type { Rejection } from '../../core/errors.js';
import type { Mac } from '../../core/mac.js';
import type { View } from '../cache/view.js';
import type { Transaction } from '../store/store.js';
import type { Settings } from './settings.js';

/** Everything a rule may look at besides its command. */
export interface Context {
  readonly view: View;
  /** The request that asks; it is written into what it changes. */
  readonly requestId: string;
  /** The mod_revision of a guard that is compared and rewritten, as last seen at or before the view's; 0: not there. */
  readonly guardRevision: (key: string) => bigint;
  /** Where the last search in a pool ended, by the pool's name; undefined: nobody has searched yet. */
  readonly cursor: (pool: string) => bigint | undefined;
  readonly newMac: () => Mac;
  /** Milliseconds since 1970; for display only, nothing is decided by it. */
  readonly nowMs: number;
  readonly settings: Settings;
  /** By how much what is on its way from here will add to a count, if all of it comes to be: see `Commit.adds`. */
  readonly underway: (count: string) => number;
  /** An earlier try of this very command may have been committed: its outcome never became known. */
  readonly retried: boolean;
}

/** Where the next search in a pool begins, so that what was just released is not handed out at once. */
export interface CursorMove {
  readonly pool: string;
  readonly at: bigint;
  /** What is searched, both ends included, where one may as well begin elsewhere in it: when others were quicker here. */
  readonly range?: { readonly first: bigint; readonly last: bigint };
  /** Moved only when it was committed: what was not taken after all is chosen again. What is on its way is in `adds`. */
  readonly late?: boolean;
}

/** A change to commit. */
export interface Commit<Result> {
  readonly kind: 'commit';
  readonly transaction: Transaction;
  /** The answer, once the transaction has been committed at `revision`. */
  readonly result: (revision: bigint) => Result;
  readonly moves: readonly CursorMove[];
  /** Names of counts that it adds one to, before the view shows it. */
  readonly adds?: readonly string[];
}

/** Nothing to change: it is as was asked already. */
export interface Done<Result> {
  readonly kind: 'done';
  readonly result: Result;
}

export type Decision<Result> = Commit<Result> | Done<Result> | Rejection;
