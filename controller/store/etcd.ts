/** The Store on etcd: see store.ts for what it promises. */
import type { IRangeResponse } from 'etcd3';
import { step } from '../../core/fault.js';
import { EtcdConnection, type EtcdOptions } from './etcd-connection.js';
import { isLeaseUnknown, isOutOfRange, isTooManyOperations } from './etcd-endpoint.js';
import { EtcdLeaseKeeper } from './etcd-lease-keeper.js';
import { EtcdLeases } from './etcd-leases.js';
import { keyAfter, rangeOfPrefix, toKeyValue } from './etcd-codec.js';
import {
  LeaseLost,
  StoreRefused,
  type CommitResult,
  type KeyRevision,
  type Lease,
  type LeaseOptions,
  type Listing,
  type Store,
  type Transaction,
  type WatchBatch,
  type WatchOptions,
} from './store.js';
import { decodeTxn, encodeTxn, type TxnAnswer } from './etcd-txn.js';
import { MAX_GROUP_OPERATIONS, MAX_OPERATIONS, checkTransaction, failureOf } from './transaction.js';
import { watch } from './watch.js';

/** Keys per page, where each is to be dealt with quickly; and of a listing's first. */
const PAGE_SIZE = 1_000;

/**
 * Keys of a listing's largest page. etcd 3.4 looks at all keys that are left for every page: 100,000 cost it 3.0 s of CPU
 * in pages of 1,000, and 0.9 s in pages that grow to this.
 */
const LARGEST_PAGE = 8_000;

/** A page of more bytes than this is not followed by one of more keys: the next answer is to come in time, too. */
const PAGE_BYTES = 4 * 1024 ** 2;

/** A lease that was just granted is there, unless somebody ends leases as fast as they are granted. */
const LEASE_TRIES = 4;

/** Most compares of a transaction that has what they look at read with it, in case it fails. */
const READS_AT_ONCE = 16;

const NO_LEASES: ReadonlyMap<number, string> = new Map();

interface CommitOptions {
  /** Whether etcd is to read what the compares look at, should they fail. */
  readonly reads: boolean;
  readonly signal: AbortSignal;
}

export class EtcdStore implements Store {
  #operationsMax = MAX_GROUP_OPERATIONS;
  readonly #connection: EtcdConnection;
  /** Of keys with a time to live; */
  readonly #leases: EtcdLeases;
  /** and those that are renewed. */
  readonly #keeper: EtcdLeaseKeeper;

  /** Connects when first used. */
  constructor(options: EtcdOptions) {
    this.#connection = new EtcdConnection(options);
    this.#leases = new EtcdLeases(this.#connection);
    this.#keeper = new EtcdLeaseKeeper(this.#connection);
  }

  /** The embedded etcd is told to take so many; another takes etcd's default, and says so when it is first asked for more. */
  get operationsMax(): number {
    return this.#operationsMax;
  }

  /** Equivalent to `etcdctl get <key>`. */
  async get(key: string, signal: AbortSignal): ReturnType<Store['get']> {
    const answer = await this.#connection.repeat((kv, options) => kv.range({ key: Buffer.from(key) }, options), signal);
    step('etcd');
    const [found] = answer.kvs;
    return { entry: found === undefined ? undefined : toKeyValue(found), revision: BigInt(answer.header.revision) };
  }

  /** Equivalent to `etcdctl get --prefix [--rev=<at>] <prefix>`, in pages that are all read at one revision. */
  async list(prefix: string, signal: AbortSignal, at?: bigint): Promise<Listing> {
    if (at !== undefined && at < 1n) throw new RangeError(`no revision ${String(at)}: the first is 1`);
    if (at !== undefined) return this.#listOnce(prefix, { signal, at });
    while (true) {
      try {
        return await this.#listOnce(prefix, { signal });
      } catch (error) {
        // The pages' revision was compacted meanwhile: begin again at a newer one.
        if (!isOutOfRange(error)) throw error;
      }
    }
  }

  /** Equivalent to `etcdctl get --prefix --keys-only --rev=<at> <prefix>`, in pages. */
  async *revisions(options: {
    prefix: string;
    at: bigint;
    signal: AbortSignal;
  }): AsyncGenerator<readonly KeyRevision[]> {
    const { prefix, at, signal } = options;
    if (at < 1n) throw new RangeError(`no revision ${String(at)}: the first is 1`);
    const { key: first, range_end } = rangeOfPrefix(prefix);
    const request = { range_end, limit: PAGE_SIZE, revision: String(at), keys_only: true };
    let key: Buffer | undefined = first;
    while (key !== undefined) {
      const { kvs, more }: IRangeResponse = await this.#page({ ...request, key }, signal);
      yield kvs.map((kv) => ({ key: kv.key.toString(), modRevision: BigInt(kv.mod_revision) }));
      const last = kvs.at(-1);
      key = more && last !== undefined ? keyAfter(last.key) : undefined;
    }
  }

  /** Equivalent to `etcdctl get --prefix --count-only <prefix>`. */
  async count(prefix: string, signal: AbortSignal): Promise<number> {
    const request = { ...rangeOfPrefix(prefix), count_only: true };
    const answer = await this.#connection.repeat((kv, options) => kv.range(request, options), signal);
    step('etcd');
    return Number(answer.count);
  }

  /** Equivalent to `etcdctl get --prefix --keys-only --sort-by=MODIFY --limit=<limit> <prefix>`. */
  async oldest(prefix: string, limit: number, signal: AbortSignal): Promise<readonly string[]> {
    if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`no number of keys: ${String(limit)}`);
    const request = { ...rangeOfPrefix(prefix), keys_only: true, limit } as const;
    const sorted = { ...request, sort_target: 'Mod', sort_order: 'Ascend' } as const;
    const answer = await this.#connection.repeat((kv, options) => kv.range(sorted, options), signal);
    step('etcd');
    return answer.kvs.map(({ key }) => key.toString());
  }

  /** Equivalent to `etcdctl txn`. */
  async commit(transaction: Transaction, signal: AbortSignal): Promise<CommitResult> {
    checkTransaction(transaction, this.#operationsMax);
    // What a large one found is asked for when it is known to have failed: it rarely does, and etcd writes all of a
    // transaction to its log, also the part that is not carried out.
    const reads = transaction.compares.length <= READS_AT_ONCE;
    let answer = await this.#commit(transaction, { reads, signal });
    step('etcd');
    if (!answer.succeeded && !reads) {
      answer = await this.#commit(transaction, { reads: true, signal });
      step('etcd');
    }
    const { revision, succeeded, foundAt } = answer;
    if (succeeded) return { committed: true, revision };
    return { committed: false, revision, ...failureOf(transaction.compares, foundAt) };
  }

  watch(options: WatchOptions): AsyncIterable<WatchBatch> {
    return watch(this.#connection, options);
  }

  grantLease(options: LeaseOptions, signal: AbortSignal): Promise<Lease> {
    return this.#keeper.grant(options, signal);
  }

  adoptLease(id: string, signal: AbortSignal): Promise<Lease | undefined> {
    return this.#keeper.adopt(id, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper[Symbol.asyncDispose]();
    this.#connection[Symbol.dispose]();
  }

  /**
   * Sends the transaction once, or again where etcd says for certain that nothing was done: a lease it was to put keys
   * on is not there any more (this process was stopped for longer than the lease lasts, or somebody ended the lease).
   */
  async #commit(transaction: Transaction, options: CommitOptions): Promise<TxnAnswer> {
    const ttls = transaction.puts.flatMap(({ ttlMs }) => (ttlMs === undefined ? [] : [ttlMs]));
    const held = new Set(transaction.puts.flatMap(({ lease }) => (lease === undefined ? [] : [lease.id])));
    if (ttls.length === 0 && held.size === 0) return this.#txn(transaction, NO_LEASES, options);
    const { signal } = options;
    const calledAt = performance.now();
    for (let tries = 1; ; tries += 1) {
      const leases = await this.#leases.forKeys(ttls, { calledAt, signal });
      try {
        return await this.#txn(transaction, leases, options);
      } catch (error) {
        if (!isLeaseUnknown(error)) throw error;
        this.#keeper.doubt(held);
        this.#leases.forget(leases);
        if (held.size > 0 && (ttls.length === 0 || tries === LEASE_TRIES)) {
          throw new LeaseLost('etcd does not have the lease', { cause: error });
        }
        if (tries === LEASE_TRIES) throw error;
      }
    }
  }

  async #txn(
    transaction: Transaction,
    leases: ReadonlyMap<number, string>,
    { reads, signal }: CommitOptions,
  ): Promise<TxnAnswer> {
    const request = encodeTxn(transaction, { leases, reads });
    try {
      return decodeTxn(await this.#connection.send('/etcdserverpb.KV/Txn', request, signal));
    } catch (error) {
      // Nothing was done. Who asked for a group of them takes it apart, and makes the next ones smaller.
      if (isTooManyOperations(error)) this.#operationsMax = MAX_OPERATIONS;
      throw error;
    }
  }

  async #listOnce(
    prefix: string,
    { signal, at }: { readonly signal: AbortSignal; readonly at?: bigint },
  ): Promise<Listing> {
    const { key, range_end } = rangeOfPrefix(prefix);
    let limit = PAGE_SIZE;
    const then = at === undefined ? {} : { revision: String(at) };
    let page = await this.#page({ key, range_end, limit, ...then }, signal);
    const { revision } = at === undefined ? page.header : { revision: String(at) };
    const entries = page.kvs.map(toKeyValue);
    while (page.more) {
      const last = page.kvs.at(-1);
      if (last === undefined) throw new StoreRefused('etcd says there is more, and sends nothing');
      limit = nextLimit(limit, page);
      page = await this.#page({ key: keyAfter(last.key), range_end, limit, revision }, signal);
      for (const kv of page.kvs) entries.push(toKeyValue(kv));
    }
    return { entries, revision: BigInt(revision) };
  }

  async #page(
    request: { key: Buffer; range_end: Buffer; limit: number; revision?: string; keys_only?: boolean },
    signal: AbortSignal,
  ): Promise<IRangeResponse> {
    const answer = await this.#connection.repeat((kv, options) => kv.range(request, options), signal);
    step('etcd');
    return answer;
  }
}

/** How many keys the page after this one is to have. */
function nextLimit(limit: number, { kvs }: IRangeResponse): number {
  const bytes = kvs.reduce((sum, { value }) => sum + value.length, 0);
  return bytes > PAGE_BYTES ? limit : Math.min(2 * limit, LARGEST_PAGE);
}
