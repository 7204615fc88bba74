/**
 * Renews leases in etcd: all of a store's over one stream, which is given up as soon as it does not answer, and begun
 * anew on another member where there is one. etcd answers renewals in the order in which they were sent, so a stream
 * that answers is never given up, however many leases have to be renewed at once.
 */
import type { ILeaseKeepAliveResponse } from 'etcd3';
import { step } from '../../core/fault.js';
import { backoffMs, deferred, isAborted, pause, unlessAborted, withDeadline } from '../../core/lifetime.js';
import type { EtcdConnection } from './etcd-connection.js';
import { isLeaseUnknown } from './etcd-endpoint.js';
import { HeldLease, checkTtl, tryMs, type Granted, type LeaseKeeper } from './lease.js';
import { LeaseLost, StoreUnavailable, type LeaseOptions } from './store.js';

/** What a stream may take that renews nothing for long. */
const LONGEST_TRY_MS = tryMs(Number.POSITIVE_INFINITY);

/** What is renewed, and is told how that went. */
type Renewed = Pick<HeldLease, 'id' | 'renewed' | 'end'>;

/** A renewal that is on its way. */
interface Sent {
  readonly lease: Renewed;
  readonly sentAt: number;
}

type Stream = Awaited<ReturnType<EtcdConnection['openRenewals']>>;

/**
 * Milliseconds after which it is asked again for a lease that is said to be gone. A member that has just become the
 * leader, or was not the one that granted it, may be about to learn of it (https://github.com/etcd-io/etcd/issues/6978).
 */
const DOUBT_MS = 100;

export class EtcdLeaseKeeper implements LeaseKeeper, AsyncDisposable {
  readonly #connection: EtcdConnection;
  readonly #leases = new Set<HeldLease>();
  /** What waits for an answer, of this stream or of one to come; how often it was said to be gone. */
  readonly #wanted = new Map<Renewed, number>();
  /** The shortest try of those that are held. */
  #tryMs = LONGEST_TRY_MS;
  #stream: Stream | undefined;
  /** What was sent on it and is not answered, in order. */
  #sent: Sent[] = [];
  /** Runs while an answer is waited for. */
  #impatience: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  readonly #closing = new AbortController();

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /** Equivalent to `etcdctl lease grant <seconds>`, and `etcdctl lease keep-alive`. */
  async grant({ ttlMs, kept = true }: LeaseOptions, signal: AbortSignal): Promise<HeldLease> {
    checkTtl(ttlMs);
    const TTL = Math.ceil(ttlMs / 1_000);
    let sentAt = 0;
    // Repeated where it is not answered: a lease that is left over ends by itself.
    const granted = await this.#connection.repeat((_kv, options, client) => {
      sentAt = performance.now();
      return client.leaseClient.leaseGrant({ TTL }, options);
    }, signal);
    step('etcd');
    return this.#hold({ id: granted.ID, ttlMs: Number(granted.TTL) * 1_000, sentAt }, kept);
  }

  /** Equivalent to `etcdctl lease keep-alive --once <id>`; undefined: there is no such lease. */
  async adopt(id: string, signal: AbortSignal): Promise<HeldLease | undefined> {
    if (this.#closing.signal.aborted) throw new StoreUnavailable('the store is closed');
    const answer = deferred<Omit<Granted, 'id'> | undefined>();
    const asked: Renewed = { id, renewed: answer.resolve, end: () => answer.resolve(undefined) };
    this.#want(asked);
    const deadline = withDeadline(this.#connection.patienceMs, signal);
    try {
      const granted = await unlessAborted(answer.promise, deadline);
      if (granted !== undefined) return this.#hold({ id, ...granted }, false);
    } catch (error) {
      signal.throwIfAborted();
      throw new StoreUnavailable('etcd did not answer in time', { cause: error });
    } finally {
      this.#drop(asked);
    }
    if (isAborted(this.#closing.signal)) throw new StoreUnavailable('the store is closed');
    return undefined;
  }

  renew(lease: HeldLease): void {
    this.#want(lease);
  }

  forget(lease: HeldLease): void {
    this.#leases.delete(lease);
    this.#drop(lease);
  }

  /** Equivalent to `etcdctl lease revoke <id>`. */
  async revoke(id: string, patienceMs: number): Promise<void> {
    const deadline = withDeadline(Math.min(patienceMs, this.#connection.patienceMs), this.#closing.signal);
    try {
      await this.#connection.repeat(
        (_kv, options, client) => client.leaseClient.leaseRevoke({ ID: id }, options),
        deadline,
      );
      step('etcd');
    } catch (error) {
      // Then it ends by itself, or has.
      if (deadline.aborted || error instanceof StoreUnavailable || isLeaseUnknown(error)) return;
      throw error;
    }
  }

  /** etcd said that one of these is not there: each is asked for at once, and who is gone is lost. */
  doubt(ids: ReadonlySet<string>): void {
    for (const lease of this.#leases) if (ids.has(lease.id)) this.#want(lease);
  }

  /** Lets go of all leases; they end by themselves. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort(new StoreUnavailable('the store is closed'));
      const reason = new LeaseLost('the store is closed');
      for (const lease of [...this.#leases, ...this.#wanted.keys()]) lease.end(reason);
      this.#leave();
    }
    await this.#running;
  }

  #hold(granted: Granted, kept: boolean): HeldLease {
    const lease = new HeldLease(granted, { keeper: this, kept });
    if (this.#closing.signal.aborted) lease.end(new LeaseLost('the store is closed'));
    else if (!lease.lost.aborted) {
      this.#leases.add(lease);
      this.#tryMs = Math.min(this.#tryMs, tryMs(lease.ttlMs));
    }
    return lease;
  }

  #want(lease: Renewed): void {
    if (this.#wanted.has(lease) || this.#closing.signal.aborted) return;
    this.#wanted.set(lease, 0);
    if (this.#stream !== undefined) this.#send(lease);
    else this.#running ??= this.#run();
  }

  /** The stream ends with the last that is held. */
  #drop(lease: Renewed): void {
    this.#wanted.delete(lease);
    if (!this.#isIdle()) return;
    this.#tryMs = LONGEST_TRY_MS;
    this.#leave();
  }

  /** Ends the stream; nothing is sent on it any more. */
  #leave(end: keyof Pick<Stream, 'givenUp' | typeof Symbol.dispose> = Symbol.dispose): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.[end]();
  }

  #isIdle(): boolean {
    return this.#leases.size === 0 && this.#wanted.size === 0;
  }

  /** One stream after the other, for as long as anything is held. */
  async #run(): Promise<void> {
    for (let failures = 0; !this.#isIdle() && !this.#closing.signal.aborted; failures += 1) {
      if (failures > 0) await pause(backoffMs(failures, 10, 250), this.#closing.signal);
      if (await this.#serve()) failures = 0;
    }
    this.#running = undefined;
  }

  /** Renews over one stream, until it breaks or is given up; whether it answered anything. */
  async #serve(): Promise<boolean> {
    let answered = false;
    try {
      using opened = await this.#connection.openRenewals();
      // Who let go of the last one meanwhile could not end a stream that was not there yet.
      if (this.#isIdle() || this.#closing.signal.aborted) return false;
      this.#stream = opened;
      for (const lease of this.#wanted.keys()) this.#send(lease);
      for await (const { ID, TTL } of opened.stream as AsyncIterable<ILeaseKeepAliveResponse>) {
        const first = this.#sent.shift();
        // An answer that is not for what was asked: begin anew.
        if (first?.lease.id !== ID) break;
        answered = true;
        step('etcd');
        if (this.#sent.length === 0) this.#bePatient();
        else this.#impatience?.refresh();
        this.#answer(first, Number(TTL) * 1_000);
      }
    } catch {
      // As with a stream that ends: what it did not answer is asked for again, until its own time is over.
    } finally {
      this.#stream = undefined;
      this.#sent = [];
      this.#bePatient();
    }
    return answered;
  }

  #send(lease: Renewed): void {
    if (this.#stream === undefined) return;
    this.#sent.push({ lease, sentAt: performance.now() });
    this.#stream.stream.write({ ID: lease.id });
    this.#impatience ??= setTimeout(() => this.#leave('givenUp'), this.#tryMs);
  }

  #bePatient(): void {
    clearTimeout(this.#impatience);
    this.#impatience = undefined;
  }

  #answer({ lease, sentAt }: Sent, ttlMs: number): void {
    const doubts = this.#wanted.get(lease);
    // Nobody waits for that any more.
    if (doubts === undefined) return;
    if (ttlMs > 0) {
      this.#wanted.delete(lease);
      lease.renewed({ sentAt, ttlMs });
    } else if (doubts > 0) {
      this.#wanted.delete(lease);
      lease.end(new LeaseLost(`etcd has no lease ${lease.id}`));
    } else {
      this.#wanted.set(lease, doubts + 1);
      setTimeout(() => {
        if (this.#wanted.has(lease)) this.#send(lease);
      }, DOUBT_MS).unref();
    }
  }
}
