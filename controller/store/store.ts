/**
 * The seam to the cluster's state: ordered keys with values, changed only by guarded transactions, watched from a
 * revision. `etcd.ts` and `memory.ts` implement it, and one contract suite runs on both.
 */

/** One key as the store holds it. Revisions are the store's: the cluster's only clock. */
export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
}

/** A condition that must hold for a transaction to commit. `emptyPrefix`: no key at all begins with it. */
export type Compare =
  | { readonly kind: 'absent'; readonly key: string }
  | { readonly kind: 'present'; readonly key: string }
  | { readonly kind: 'unchanged'; readonly key: string; readonly modRevision: bigint }
  | { readonly kind: 'emptyPrefix'; readonly prefix: string }
  /** No key that begins with `prefix` was written after `revision`. Deleting is not seen. */
  | { readonly kind: 'notNewer'; readonly prefix: string; readonly revision: bigint };

/** A key to write. */
export interface Put {
  readonly key: string;
  readonly value: Uint8Array;
  /**
   * Whole milliseconds, at least 1: the key goes by itself, no sooner than so long after `commit` was called, and at
   * most an eighth and two seconds later (an election in etcd makes it later still). Goes at a revision as any delete
   * does, with others that were put at about the same time. A later put of the key decides anew; one without keeps it.
   */
  readonly ttlMs?: number;
  /** The key goes when this lease ends. Not beside `ttlMs`. A later put of the key decides anew; one without keeps it. */
  readonly lease?: Lease;
}

/**
 * Time that is renewed: the keys that were put with it stay as long as it is there, and go with it, in one revision and
 * as any delete does. It ends when it was not renewed for `ttlMs`, or when it is disposed of. Renewing writes nothing:
 * no revision, and no event.
 *
 * What is held here is one process's share in it: when that is over (`lost`), the lease may still be there. That it has
 * ended is told by the watch, which tells of its keys.
 */
export interface Lease extends AsyncDisposable {
  /** The store's name for it; whoever knows it can adopt it. */
  readonly id: string;
  /** Milliseconds that it lasts from each renewal: what was asked for, or what the store made of it. */
  readonly ttlMs: number;
  /**
   * Aborts, with LeaseLost, when nobody can rely on the lease any more: a tenth of its time (at most a second) before
   * the store may end it, on this machine's monotonic clock and counted from when the last renewal that was answered was
   * sent; at once when the store says that it is gone; when it is disposed of or abandoned, or the store is closed.
   */
  readonly lost: AbortSignal;
  /** Milliseconds until `lost` aborts, should no renewal be answered any more. */
  remainingMs(): number;
  /** A sign of life, for a lease that is not kept: it is renewed once more, when it is time for that. Costs nothing. */
  renew(): void;
  /** Looks after it no longer, and does not end it: it ends by itself, unless somebody else adopts it. */
  abandon(): void;
}

/** What lease is wanted. */
export interface LeaseOptions {
  /**
   * Milliseconds, at least 1. A store may give more: etcd counts whole seconds, at least one and a half of its election
   * timeouts. An election in it begins the time of every lease anew.
   */
  readonly ttlMs: number;
  /** Whether it is renewed for as long as this process runs (the default), or only for signs of life. */
  readonly kept?: boolean;
}

/**
 * All or nothing: when every compare holds, every put and delete happens at one revision. At most 128 compares and
 * 128 puts and deletes (etcd's own default; see Store.operationsMax), and no key twice.
 */
export interface Transaction {
  readonly compares: readonly Compare[];
  readonly puts: readonly Put[];
  readonly deletes: readonly string[];
  /** Everything under these goes too; each is one operation, and no key that is put may begin with one. */
  readonly deletePrefixes?: readonly string[];
}

/**
 * How a commit ended. `revision` is the store's right after it. `failed` are the compares that did not hold, in the
 * order given; `found` what stands where they looked: each key once, and of an `emptyPrefix` the first
 * `FOUND_LIMIT` keys (transaction.ts). Both are as the store was at `revision`.
 */
export type CommitResult =
  | { readonly committed: true; readonly revision: bigint }
  | {
      readonly committed: false;
      readonly revision: bigint;
      readonly failed: readonly Compare[];
      readonly found: readonly KeyValue[];
    };

/**
 * What happened to one key. Deleting a key that is not there is no event. `previous`: the key as it was right before, of
 * a watch that asked for it; undefined: it was not there.
 */
export type StoreEvent =
  | { readonly kind: 'put'; readonly entry: KeyValue; readonly previous?: KeyValue }
  | { readonly kind: 'delete'; readonly key: string; readonly previous?: KeyValue };

/** All events of one revision under the watched prefix; never part of a revision. */
export interface WatchBatch {
  readonly revision: bigint;
  readonly events: readonly StoreEvent[];
}

/** What is to be watched: see Store.watch. */
export interface WatchOptions {
  readonly prefix: string;
  readonly from: bigint;
  readonly signal: AbortSignal;
  readonly previous?: boolean;
}

/** A key, and the revision at which it was last written. */
export interface KeyRevision {
  readonly key: string;
  readonly modRevision: bigint;
}

/** The keys under a prefix, in key order, as they were at one revision. */
export interface Listing {
  readonly entries: readonly KeyValue[];
  readonly revision: bigint;
}

/**
 * Every call rejects with the signal's reason once that aborts (a commit may then have happened or not), with
 * StoreUnavailable when the store does not answer, with StoreRefused when it answered no.
 */
export interface Store extends AsyncDisposable {
  /**
   * Most compares, and most puts and deletes, that it takes in one transaction, as far as it knows: it may come to be
   * less, and is never below 128. Whoever asks for one change keeps to 128; groups of them use what there is. Not said:
   * 128.
   */
  readonly operationsMax?: number;
  get(key: string, signal: AbortSignal): Promise<{ readonly entry: KeyValue | undefined; readonly revision: bigint }>;
  /**
   * Complete and from one revision, however large: the store's last, or `at`. Throws StoreRefused when the store is not
   * at `at` yet, or has compacted its history from there.
   */
  list(prefix: string, signal: AbortSignal, at?: bigint): Promise<Listing>;
  /**
   * The keys under a prefix as they were at revision `at`, without values, in key order and some at a time. Throws
   * StoreRefused when the store is not there yet, or has compacted its history from there.
   */
  revisions(options: { prefix: string; at: bigint; signal: AbortSignal }): AsyncIterable<readonly KeyRevision[]>;
  /** How many keys are under a prefix. */
  count(prefix: string, signal: AbortSignal): Promise<number>;
  /** The keys under a prefix that were written longest ago, at most `limit`, the oldest first; of one revision in any order. */
  oldest(prefix: string, limit: number, signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Throws StoreUnavailable when it is not known whether it committed: the caller reads back by id before it
   * tries again. Never sent again by the store itself but where nothing was done. Throws LeaseLost when a lease that
   * it puts keys with is not held, or not there.
   */
  commit(transaction: Transaction, signal: AbortSignal): Promise<CommitResult>;
  /**
   * Every event under `prefix` with a revision of at least `from`, once and in order, across broken connections.
   * `from` may lie in the future. Ends when the signal aborts, and survives any outage until then. Throws Compacted
   * when history from there is gone: list again and watch from the listing's revision + 1. `previous`: each event is to
   * come with what its key was before.
   */
  watch(options: WatchOptions): AsyncIterable<WatchBatch>;
  /** A new lease. The signal is that of the asking: the lease lasts until it is disposed of, lost or abandoned. */
  grantLease(options: LeaseOptions, signal: AbortSignal): Promise<Lease>;
  /**
   * A share in a lease that somebody else was granted, renewed by this; it is not kept, and asks for signs of life from
   * now on. Undefined: there is no lease of that id.
   */
  adoptLease(id: string, signal: AbortSignal): Promise<Lease | undefined>;
}

/** The store could not be reached, or did not answer in time; whether the last write happened is unknown. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
}

/**
 * The store answered, and refused: a transaction past its limits, a permission, a full disk. Nothing was written, and
 * the same call will be refused again until something is changed.
 */
export class StoreRefused extends Error {
  override readonly name: string = 'StoreRefused';
}

/**
 * The store has no space left, and takes only deletes. That of many commits at once which first found it full may have
 * been written all the same (etcd applies it, and then says so): whoever was told looks, as with StoreUnavailable. From
 * the second time on nothing was.
 */
export class StoreFull extends StoreRefused {
  override readonly name = 'StoreFull';
}

/** The lease is not held any more; a commit that puts keys with it wrote nothing. The message says why. */
export class LeaseLost extends StoreRefused {
  override readonly name = 'LeaseLost';
}

/** The history a watch asked for has been compacted away. `compactRevision`: the oldest still there. */
export class Compacted extends Error {
  override readonly name = 'Compacted';
  constructor(readonly compactRevision: bigint) {
    super(`history before revision ${String(compactRevision)} has been compacted`);
  }
}
