/**
 * A lease as one process holds it, the same for every store: when it is renewed, and until when it can be relied on. It
 * counts by the monotonic clock and believes nobody but answers: etcd3's own lease tells that it is lost when it
 * has been gone for as long again (https://github.com/microsoft/etcd3/issues/155). How a renewal reaches the store is its
 * keeper's.
 */
import { setMaxListeners } from 'node:events';
import { LeaseLost, StoreRefused, type Lease } from './store.js';

/** Who has leases renewed. */
export interface LeaseKeeper {
  /** Has it renewed, and calls `renewed` or `end` of it. Called again only when it was. */
  renew(lease: HeldLease): void;
  /** Nobody looks after it any more. */
  forget(lease: HeldLease): void;
  /** Ends it in the store, and tries for at most `patienceMs`. */
  revoke(id: string, patienceMs: number): Promise<void>;
}

/** What the store said of it. */
export interface Granted {
  readonly id: string;
  readonly ttlMs: number;
  /** On the monotonic clock: when that which was answered was sent. */
  readonly sentAt: number;
}

/** setTimeout takes no more, and would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds until it is renewed: there is time for several tries. */
function renewAfterMs(ttlMs: number): number {
  return ttlMs / 3;
}

/** Milliseconds for which it is not relied on: clocks are not equally fast, and who is told has to stop. */
function marginMs(ttlMs: number): number {
  return Math.min(ttlMs / 10, 1_000);
}

/** Milliseconds that one try to renew it may take: three fit in. */
export function tryMs(ttlMs: number): number {
  return Math.min(Math.max(ttlMs / 6, 250), 2_000);
}

/** Throws StoreRefused for what is no time to live. */
export function checkTtl(ttlMs: number): void {
  if (!(Number.isSafeInteger(ttlMs) && ttlMs > 0)) throw new StoreRefused(`${String(ttlMs)} ms is no time to live`);
}

export class HeldLease implements Lease {
  readonly id: string;
  readonly #keeper: LeaseKeeper;
  readonly #kept: boolean;
  readonly #lost = new AbortController();
  #ttlMs: number;
  /** When the last renewal that was answered was sent. */
  #renewedAt: number;
  /** When the keeper was asked for the present one. */
  #askedAt = 0;
  /** `due`: its time has come, and a sign of life has not. */
  #state: 'waiting' | 'due' | 'asked' = 'waiting';
  #alive = false;
  #revoked: Promise<void> | undefined;
  readonly #timers: { next?: NodeJS.Timeout; deadline?: NodeJS.Timeout } = {};

  constructor({ id, ttlMs, sentAt }: Granted, { keeper, kept }: { keeper: LeaseKeeper; kept: boolean }) {
    this.id = id;
    this.#ttlMs = ttlMs;
    this.#renewedAt = sentAt;
    this.#keeper = keeper;
    this.#kept = kept;
    // Whoever does something under a lease listens.
    setMaxListeners(0, this.#lost.signal);
    this.#watchDeadline();
    this.#wait(true);
  }

  get ttlMs(): number {
    return this.#ttlMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  remainingMs(): number {
    if (this.#lost.signal.aborted) return 0;
    return Math.max(0, this.#renewedAt + this.#ttlMs - marginMs(this.#ttlMs) - performance.now());
  }

  renew(): void {
    this.#alive = true;
    if (this.#state === 'due') this.#ask();
  }

  abandon(): void {
    this.end(new LeaseLost('the lease was abandoned'));
  }

  /** The keeper's: a renewal that was sent then was answered with this time to live. */
  renewed({ sentAt, ttlMs }: Omit<Granted, 'id'>): void {
    if (this.#lost.signal.aborted) return;
    this.#renewedAt = Math.max(this.#renewedAt, sentAt);
    this.#ttlMs = ttlMs;
    this.#watchDeadline();
    // What had to be tried again was so together with all others.
    this.#wait(sentAt - this.#askedAt > tryMs(ttlMs));
  }

  /** It is not held any more. */
  end(reason: LeaseLost): void {
    if (this.#lost.signal.aborted) return;
    clearTimeout(this.#timers.next);
    clearTimeout(this.#timers.deadline);
    this.#keeper.forget(this);
    this.#lost.abort(reason);
  }

  /** Ends it in the store too, unless it was lost: then it ends by itself. Equivalent to `etcdctl lease revoke`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#lost.signal.aborted) {
      const leftMs = this.remainingMs();
      this.end(new LeaseLost('the lease was disposed of'));
      this.#revoked = this.#keeper.revoke(this.id, leftMs);
    }
    await this.#revoked;
  }

  /** Waits until it is to be renewed; `anyTime`: some time until then, so that of many each has another time. */
  #wait(anyTime: boolean): void {
    if (this.#lost.signal.aborted) return;
    this.#state = 'waiting';
    // Not counted from now: where answers take long, little of its time is left.
    const leftMs = Math.max(0, this.#renewedAt + renewAfterMs(this.#ttlMs) - performance.now());
    const afterMs = leftMs * (anyTime ? Math.random() : 1);
    this.#timers.next = timer(this.#timers.next, afterMs, () => {
      this.#state = 'due';
      if (this.#kept || this.#alive) this.#ask();
    });
  }

  #ask(): void {
    this.#state = 'asked';
    this.#alive = false;
    this.#askedAt = performance.now();
    this.#keeper.renew(this);
  }

  #watchDeadline(): void {
    const leftMs = this.remainingMs();
    if (leftMs === 0) this.end(new LeaseLost('the lease could not be renewed in time'));
    else
      this.#timers.deadline ??= timer(undefined, leftMs, () => {
        delete this.#timers.deadline;
        this.#watchDeadline();
      });
  }
}

/** Nobody's process stays for a lease alone. */
function timer(before: NodeJS.Timeout | undefined, ms: number, then: () => void): NodeJS.Timeout {
  clearTimeout(before);
  return setTimeout(then, Math.min(Math.ceil(ms), MAX_TIMER_MS)).unref();
}
