/**
 * Leases for keys that go by themselves. Keys of one time to live share a lease for a slice of time, so that a lease
 * costs etcd little and a key goes at most an eighth of its time late. Nobody renews them: what ends with a lease was
 * meant to end.
 */
import { deferred } from '../../core/lifetime.js';
import type { EtcdConnection } from './etcd-connection.js';

/**
 * Keys on one lease, at most. etcd deletes all of a lease's keys in one revision, while everything else waits; this
 * keeps it to some milliseconds.
 */
const KEYS_PER_LEASE = 1_000;

/** A lease under way or granted. */
interface Slice {
  readonly id: string;
  /** On the monotonic clock: what is put until then stays for at least its time to live. */
  readonly usableUntil: number;
  keys: number;
}

export class EtcdLeases implements Disposable {
  readonly #connection: EtcdConnection;
  readonly #slices = new Map<number, Promise<Slice>>();
  /** Grants are shared by the commits that wait for them, so none of those may cancel one. */
  readonly #closing = new AbortController();

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /**
   * A lease for each time to live in `ttlsMs`, one for each key to put, that lasts at least that long from `calledAt`
   * (performance.now()). Equivalent to `etcdctl lease grant <seconds>` where there is none yet.
   */
  async forKeys(
    ttlsMs: readonly number[],
    calledAt: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, string>> {
    const leases = new Map<number, string>();
    for (const ttlMs of new Set(ttlsMs)) {
      const keys = ttlsMs.filter((each) => each === ttlMs).length;
      leases.set(ttlMs, await this.#take(ttlMs, { keys, calledAt, signal }));
    }
    return leases;
  }

  /** What etcd says it does not know: the next commit gets others. */
  async forget(leases: ReadonlyMap<number, string>): Promise<void> {
    for (const [ttlMs, id] of leases) {
      const slice = this.#slices.get(ttlMs);
      // Somebody else may have replaced it meanwhile.
      if ((await slice)?.id === id && this.#slices.get(ttlMs) === slice) this.#slices.delete(ttlMs);
    }
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  async #take(ttlMs: number, use: { keys: number; calledAt: number; signal: AbortSignal }): Promise<string> {
    while (true) {
      const pending = this.#slices.get(ttlMs) ?? this.#grant(ttlMs);
      const slice = await unlessAborted(pending, use.signal);
      if (slice.usableUntil >= use.calledAt && slice.keys + use.keys <= KEYS_PER_LEASE) {
        slice.keys += use.keys;
        return slice.id;
      }
      // A lease that is granted after `calledAt` is usable, so this ends.
      if (this.#slices.get(ttlMs) === pending) this.#slices.delete(ttlMs);
    }
  }

  #grant(ttlMs: number): Promise<Slice> {
    const granting = this.#grantOnce(ttlMs);
    this.#slices.set(ttlMs, granting);
    granting.catch(() => {
      if (this.#slices.get(ttlMs) === granting) this.#slices.delete(ttlMs);
    });
    return granting;
  }

  async #grantOnce(ttlMs: number): Promise<Slice> {
    // etcd counts whole seconds, looks twice a second for what has ended, and gives more than asked where its own
    // elections take longer.
    const TTL = Math.ceil((ttlMs * 1.125 + 500) / 1_000);
    let sentAt = 0;
    // Repeated where it is not answered: a lease without keys that is left over ends by itself.
    const granted = await this.#connection.repeat((_kv, options, client) => {
      sentAt = performance.now();
      return client.leaseClient.leaseGrant({ TTL }, options);
    }, this.#closing.signal);
    return { id: granted.ID, usableUntil: sentAt + Number(granted.TTL) * 1_000 - ttlMs, keys: 0 };
  }
}

/** What `promise` becomes, or the signal's reason where that aborts first. `promise` is somebody else's to handle. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = deferred<never>();
  const abort = (): void => {
    aborted.reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
