/**
 * Leases for keys with a time to live. Keys of one time to live share a lease for a slice of time, so that a lease
 * costs etcd little and a key goes at most an eighth of its time late. Nobody renews them: what ends with a lease was
 * meant to end. (Leases that are renewed: etcd-lease-keeper.ts.)
 */
import { unlessAborted } from '../../core/lifetime.js';
import type { EtcdConnection } from './etcd-connection.js';

/**
 * Keys on one lease, at most. etcd deletes all of a lease's keys in one revision, while everything else waits; this
 * keeps it to some milliseconds.
 */
const KEYS_PER_LEASE = 1_000;

interface Lease {
  readonly id: string;
  /** On the monotonic clock: what is put until then stays for at least its time to live. */
  readonly usableUntil: number;
  keys: number;
}

/** What a lease is wanted for. */
interface Use {
  /** On the monotonic clock: when the commit was called. */
  readonly calledAt: number;
  readonly signal: AbortSignal;
}

export class EtcdLeases {
  readonly #connection: EtcdConnection;
  /** The newest lease of each time to live. */
  readonly #leases = new Map<number, Lease>();
  readonly #granting = new Map<number, Promise<void>>();
  /** Grants are shared by the commits that wait for them, so none of those may cancel one; closing the connection does. */
  readonly #shared = new AbortController().signal;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /**
   * The lease for each time to live in `ttlsMs`, which has one for each key to put. Each lasts at least that long from
   * `calledAt`. Equivalent to `etcdctl lease grant <seconds>` where there is none yet.
   */
  async forKeys(ttlsMs: readonly number[], use: Use): Promise<ReadonlyMap<number, string>> {
    const ids = new Map<number, string>();
    for (const ttlMs of new Set(ttlsMs)) {
      const keys = ttlsMs.filter((each) => each === ttlMs).length;
      ids.set(ttlMs, await this.#take(ttlMs, keys, use));
    }
    return ids;
  }

  /** These are not there any more: the next commit gets others. */
  forget(ids: ReadonlyMap<number, string>): void {
    for (const [ttlMs, id] of ids) if (this.#leases.get(ttlMs)?.id === id) this.#leases.delete(ttlMs);
  }

  async #take(ttlMs: number, keys: number, { calledAt, signal }: Use): Promise<string> {
    while (true) {
      const lease = this.#leases.get(ttlMs);
      if (lease !== undefined && lease.usableUntil >= calledAt && lease.keys + keys <= KEYS_PER_LEASE) {
        lease.keys += keys;
        return lease.id;
      }
      // One that is asked for after `calledAt` lasts long enough, so this ends.
      await unlessAborted(this.#granting.get(ttlMs) ?? this.#grant(ttlMs), signal);
    }
  }

  #grant(ttlMs: number): Promise<void> {
    const granting = this.#grantOnce(ttlMs).finally(() => this.#granting.delete(ttlMs));
    this.#granting.set(ttlMs, granting);
    return granting;
  }

  async #grantOnce(ttlMs: number): Promise<void> {
    // etcd counts whole seconds, looks twice a second for what has ended, and gives more than it is asked for where its
    // elections take longer.
    const TTL = Math.ceil((ttlMs * 1.125 + 500) / 1_000);
    let sentAt = 0;
    // Repeated where it is not answered: a lease without keys that is left over ends by itself.
    const granted = await this.#connection.repeat((_kv, options, client) => {
      sentAt = performance.now();
      return client.leaseClient.leaseGrant({ TTL }, options);
    }, this.#shared);
    const usableUntil = sentAt + Number(granted.TTL) * 1_000 - ttlMs;
    this.#leases.set(ttlMs, { id: granted.ID, usableUntil, keys: 0 });
  }
}
