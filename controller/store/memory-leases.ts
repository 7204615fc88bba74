/** The leases of a store in memory: what etcd does with them, without the way to it. */
import { HeldLease, checkTtl, type LeaseKeeper } from './lease.js';
import { LeaseLost, type LeaseOptions, type Put } from './store.js';

interface MemoryLease {
  readonly ttlMs: number;
  /** The keys on it, and the revision at which each was put on it. */
  readonly keys: Map<string, bigint>;
  /** On the monotonic clock. */
  endsAt: number;
  ends: NodeJS.Timeout;
}

/** setTimeout takes no more, and would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class MemoryLeases implements LeaseKeeper, Disposable {
  readonly #drop: (keys: ReadonlyMap<string, bigint>) => void;
  readonly #leases = new Map<string, MemoryLease>();
  readonly #held = new Set<HeldLease>();
  #granted = 0;

  /** `drop` deletes those of the keys that are still as they were put at these revisions. */
  constructor(drop: (keys: ReadonlyMap<string, bigint>) => void) {
    this.#drop = drop;
  }

  grant({ ttlMs, kept = true }: LeaseOptions): HeldLease {
    checkTtl(ttlMs);
    this.#granted += 1;
    const id = String(this.#granted);
    const endsAt = performance.now() + ttlMs;
    this.#leases.set(id, { ttlMs, keys: new Map(), endsAt, ends: this.#endAt(id, endsAt) });
    return this.#hold(id, ttlMs, kept);
  }

  adopt(id: string): HeldLease | undefined {
    const lease = this.#renewed(id);
    return lease === undefined ? undefined : this.#hold(id, lease.ttlMs, false);
  }

  /** Throws LeaseLost when a key is to be put with a lease that is not here. */
  check(puts: readonly Put[]): void {
    const gone = puts.find(({ lease }) => lease !== undefined && !this.#leases.has(lease.id));
    if (gone !== undefined) throw new LeaseLost(`${gone.key}: there is no lease ${String(gone.lease?.id)}`);
  }

  /** The keys were put at this revision. */
  attach(puts: readonly Put[], revision: bigint): void {
    for (const { key, lease } of puts) if (lease !== undefined) this.#leases.get(lease.id)?.keys.set(key, revision);
  }

  renew(lease: HeldLease): void {
    const sentAt = performance.now();
    const renewed = this.#renewed(lease.id);
    if (renewed === undefined) lease.end(new LeaseLost(`there is no lease ${lease.id}`));
    else lease.renewed({ sentAt, ttlMs: renewed.ttlMs });
  }

  forget(lease: HeldLease): void {
    this.#held.delete(lease);
  }

  async revoke(id: string): Promise<void> {
    this.end(id);
  }

  /** Ends a lease now, and its keys with it. */
  end(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    clearTimeout(lease.ends);
    this.#leases.delete(id);
    this.#drop(lease.keys);
  }

  [Symbol.dispose](): void {
    for (const lease of this.#held) lease.end(new LeaseLost('the store is closed'));
    for (const { ends } of this.#leases.values()) clearTimeout(ends);
    this.#leases.clear();
  }

  #hold(id: string, ttlMs: number, kept: boolean): HeldLease {
    const held = new HeldLease({ id, ttlMs, sentAt: performance.now() }, { keeper: this, kept });
    this.#held.add(held);
    return held;
  }

  /** Begins its time anew, if it is here. */
  #renewed(id: string): MemoryLease | undefined {
    const lease = this.#leases.get(id);
    if (lease !== undefined) lease.endsAt = performance.now() + lease.ttlMs;
    return lease;
  }

  /** Looks at that time whether its time is over. A test's process does not stay for it. */
  #endAt(id: string, at: number): NodeJS.Timeout {
    const look = (): void => {
      const lease = this.#leases.get(id);
      if (lease === undefined) return;
      if (lease.endsAt <= performance.now()) this.end(id);
      else lease.ends = this.#endAt(id, lease.endsAt);
    };
    return setTimeout(look, Math.min(Math.ceil(at - performance.now()), MAX_TIMER_MS)).unref();
  }
}
