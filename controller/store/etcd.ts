/** The Store on etcd: see store.ts for what it promises. */
import type { IRangeResponse, ITxnRequest, ITxnResponse } from 'etcd3';
import { step } from '../../core/fault.js';
import { EtcdConnection, type EtcdOptions } from './etcd-connection.js';
import { isLeaseUnknown, isOutOfRange } from './etcd-endpoint.js';
import { EtcdLeases } from './etcd-leases.js';
import { keyAfter, rangeOfPrefix, toKeyValue, toTxnRequest } from './etcd-codec.js';
import {
  StoreRefused,
  type CommitResult,
  type KeyRevision,
  type Listing,
  type Store,
  type Transaction,
  type WatchBatch,
} from './store.js';
import { checkTransaction, failureOf } from './transaction.js';
import { watch } from './watch.js';

/** Keys per page of a listing: large enough to be quick, small enough for etcd to answer without a hiccup. */
const PAGE_SIZE = 1_000;

/** A lease that was just granted is there, unless somebody ends leases as fast as they are granted. */
const LEASE_TRIES = 4;

export class EtcdStore implements Store {
  readonly #connection: EtcdConnection;
  readonly #leases: EtcdLeases;

  /** Connects when first used. */
  constructor(options: EtcdOptions) {
    this.#connection = new EtcdConnection(options);
    this.#leases = new EtcdLeases(this.#connection);
  }

  /** Equivalent to `etcdctl get <key>`. */
  async get(key: string, signal: AbortSignal): ReturnType<Store['get']> {
    const answer = await this.#connection.repeat((kv, options) => kv.range({ key: Buffer.from(key) }, options), signal);
    step('etcd');
    const [found] = answer.kvs;
    return { entry: found === undefined ? undefined : toKeyValue(found), revision: BigInt(answer.header.revision) };
  }

  /** Equivalent to `etcdctl get --prefix <prefix>`, in pages that are all read at the first one's revision. */
  async list(prefix: string, signal: AbortSignal): Promise<Listing> {
    while (true) {
      try {
        return await this.#listOnce(prefix, signal);
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
    checkTransaction(transaction);
    const answer = await this.#commit(transaction, signal);
    step('etcd');
    const revision = BigInt(answer.header.revision);
    if (answer.succeeded) return { committed: true, revision };
    const foundAt = answer.responses.map(({ response_range }) => response_range.kvs.map(toKeyValue));
    return { committed: false, revision, ...failureOf(transaction.compares, foundAt) };
  }

  watch(options: { prefix: string; from: bigint; signal: AbortSignal }): AsyncIterable<WatchBatch> {
    return watch(this.#connection, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection[Symbol.dispose]();
  }

  /**
   * Sends the transaction once, or again where etcd says for certain that nothing was done: a lease it was to put keys
   * on is not there any more (this process was stopped for longer than the lease lasts, or somebody ended the lease).
   */
  async #commit(transaction: Transaction, signal: AbortSignal): Promise<ITxnResponse> {
    const ttls = transaction.puts.flatMap(({ ttlMs }) => (ttlMs === undefined ? [] : [ttlMs]));
    if (ttls.length === 0) return this.#txn(toTxnRequest(transaction, new Map()), signal);
    const calledAt = performance.now();
    for (let tries = 1; ; tries += 1) {
      const leases = await this.#leases.forKeys(ttls, { calledAt, signal });
      try {
        return await this.#txn(toTxnRequest(transaction, leases), signal);
      } catch (error) {
        if (!isLeaseUnknown(error) || tries === LEASE_TRIES) throw error;
        this.#leases.forget(leases);
      }
    }
  }

  #txn(request: ITxnRequest, signal: AbortSignal): Promise<ITxnResponse> {
    return this.#connection.once((kv, options) => kv.txn(request, options), signal);
  }

  async #listOnce(prefix: string, signal: AbortSignal): Promise<Listing> {
    const { key, range_end } = rangeOfPrefix(prefix);
    let page = await this.#page({ key, range_end, limit: PAGE_SIZE }, signal);
    const { revision } = page.header;
    const entries = page.kvs.map(toKeyValue);
    while (page.more) {
      const last = page.kvs.at(-1);
      if (last === undefined) throw new StoreRefused('etcd says there is more, and sends nothing');
      page = await this.#page({ key: keyAfter(last.key), range_end, limit: PAGE_SIZE, revision }, signal);
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
