/**
 * Keeps hosts alive: for each agent's stream here, a lease of the host's own that is renewed for as long as the stream
 * shows life, with `o/alive/<host>` on it. Every controller sees by that key who is there, and where.
 *
 * The lease is the host's: an agent that moves on has it adopted at the next controller, and who held it before lets go
 * of its share and ends nothing. A stream that ends does not end the lease: agents restart, and controllers do.
 */
import type { Logger } from '../../core/daemon/log.js';
import { WeftError } from '../../core/errors.js';
import type { ControllerId, HostId } from '../../core/ids.js';
import { anySignal, backoffMs, isAborted, pause } from '../../core/lifetime.js';
import type { Cache } from '../cache/cache.js';
import type { Commits } from '../commit/commit.js';
import type { Context, Decision } from '../domain/decision.js';
import { readmitHost } from '../domain/host-absence.js';
import { comeAlive, type ComeAlive } from '../domain/host-liveness.js';
import type { Lease, Store } from '../store/store.js';

/** Milliseconds without a sign of life after which a host counts as gone; up to four thirds of it (ADR 7). */
const HOST_LEASE_MS = 10_000;

export interface HostLeasesOptions {
  readonly store: Pick<Store, 'grantLease' | 'adoptLease'>;
  readonly cache: Cache;
  readonly committer: Commits;
  readonly controllerId: ControllerId;
  readonly log: Logger;
  /** Milliseconds; HOST_LEASE_MS where not given. */
  readonly ttlMs?: number | undefined;
}

/** A stream of a host. */
export interface Holding {
  readonly hostId: HostId;
  readonly session: string;
  readonly requestId: string;
  /** Of the stream: it ends with it. */
  readonly signal: AbortSignal;
  /** Called once a newer stream of the host is known, here or elsewhere. */
  readonly onReplaced: () => void;
}

export class HostLeases implements AsyncDisposable {
  readonly #options: HostLeasesOptions;
  readonly #ttlMs: number;
  /** Shares in leases, also of hosts whose streams have ended a moment ago. */
  readonly #leases = new Map<HostId, Lease>();
  readonly #holdings = new Map<HostId, Holding>();
  readonly #subscription: Disposable;
  readonly #beat: NodeJS.Timeout;
  readonly #closing = new AbortController();
  readonly #mending = new Map<Holding, Promise<void>>();

  constructor(options: HostLeasesOptions) {
    this.#options = options;
    this.#ttlMs = options.ttlMs ?? HOST_LEASE_MS;
    this.#subscription = options.cache.subscribe(({ changes }) => {
      for (const { kind, before, after } of changes) {
        if (kind === 'alive') this.#changed((after ?? before)?.hostId, after?.session);
      }
    });
    // A stream is ended when HTTP/2's pings are not answered (api/server.ts): until then it shows life.
    this.#beat = setInterval(() => {
      for (const hostId of this.#holdings.keys()) this.#leases.get(hostId)?.renew();
    }, this.#ttlMs / 5);
    this.#beat.unref();
  }

  /**
   * Says that the host is there, and keeps it so until the stream's signal aborts. Resolves when every controller can
   * know; throws what the commit throws: the stream is not to be served then. `fenced`: it is not there yet for others,
   * and is told nothing before it can be readmitted.
   */
  async hold(holding: Holding): Promise<'alive' | 'fenced'> {
    const became = await this.#announce(holding, comeAlive);
    if (became === 'alive') this.#keep(holding);
    return became;
  }

  /** Takes a fenced host back, and keeps it alive as `hold` does. */
  async readmit(holding: Holding): Promise<void> {
    await this.#announce(holding, readmitHost);
    this.#keep(holding);
  }

  #keep(holding: Holding): void {
    // Meanwhile another one may have come, here or elsewhere, and been told to everybody.
    const { hostId, session, signal } = holding;
    signal.throwIfAborted();
    if (this.#options.cache.view.alive.get(hostId)?.session !== session) throw replaced(hostId);
    this.#holdings.set(hostId, holding);
    const release = (): void => {
      if (this.#holdings.get(hostId) === holding) this.#holdings.delete(hostId);
    };
    signal.addEventListener('abort', release, { once: true });
  }

  /** Lets go of all; who comes to another controller meanwhile is never missed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('this controller is stopping'));
    this.#subscription[Symbol.dispose]();
    clearInterval(this.#beat);
    this.#holdings.clear();
    for (const lease of this.#leases.values()) lease.abandon();
    this.#leases.clear();
    await Promise.all(this.#mending.values());
  }

  async #announce<Result>(
    { hostId, session, requestId, signal }: Holding,
    rule: (context: Context, command: ComeAlive) => Decision<Result>,
    again = false,
  ): Promise<Result> {
    const { committer, controllerId } = this.#options;
    for (let tries = 0; ; tries += 1) {
      const lease = await this.#leaseOf(hostId, signal);
      try {
        const command = { hostId, session, controllerId, lease, again };
        const { result } = await committer.run((context) => rule(context, command), { requestId, signal });
        return result;
      } catch (error) {
        // It ended just now: the next is a new one.
        if (!lease.lost.aborted || tries > 0 || signal.aborted) throw error;
      }
    }
  }

  /** The host's lease: the one that is held here, or the one its key is on, or a new one. */
  async #leaseOf(hostId: HostId, signal: AbortSignal): Promise<Lease> {
    const { store, cache } = this.#options;
    const held = this.#leases.get(hostId);
    if (held !== undefined && !held.lost.aborted) return held;
    const known = cache.view.alive.get(hostId)?.leaseId;
    const adopted = known === undefined ? undefined : await store.adoptLease(known, signal);
    const lease = adopted ?? (await store.grantLease({ ttlMs: this.#ttlMs, kept: false }, signal));
    // Of two streams of a host that come at once, one has its lease for nothing.
    const other = this.#leases.get(hostId);
    this.#leases.set(hostId, lease);
    other?.abandon();
    lease.lost.addEventListener('abort', () => {
      if (this.#leases.get(hostId) !== lease) return;
      this.#leases.delete(hostId);
      this.#mend(hostId);
    });
    if (isAborted(this.#closing.signal)) lease.abandon();
    return lease;
  }

  /** `session`: by which the host is alive now; undefined: it is not. */
  #changed(hostId: HostId | undefined, session: string | undefined): void {
    if (hostId === undefined) return;
    const holding = this.#holdings.get(hostId);
    if (holding?.session === session) return;
    if (session === undefined) {
      this.#mend(hostId);
      return;
    }
    if (holding === undefined) {
      this.#letGo(hostId);
      return;
    }
    this.#holdings.delete(hostId);
    this.#letGo(hostId);
    holding.onReplaced();
  }

  /** Abandons the lease of a host that is elsewhere now. */
  #letGo(hostId: HostId): void {
    const lease = this.#leases.get(hostId);
    const now = this.#options.cache.view.alive.get(hostId);
    if (lease === undefined || now?.controllerId === this.#options.controllerId) return;
    this.#leases.delete(hostId);
    lease.abandon();
  }

  /** Says anew that a host is there whose key or lease has gone while its stream goes on. */
  #mend(hostId: HostId): void {
    const holding = this.#holdings.get(hostId);
    if (holding === undefined || this.#mending.has(holding) || this.#closing.signal.aborted) return;
    const work = this.#mendUntilDone(holding).finally(() => this.#mending.delete(holding));
    this.#mending.set(holding, work);
  }

  async #mendUntilDone(holding: Holding): Promise<void> {
    const { hostId, session } = holding;
    const signal = anySignal(holding.signal, this.#closing.signal);
    for (let failures = 0; this.#holdings.get(hostId) === holding; failures += 1) {
      if (failures > 0 && !(await pause(backoffMs(failures, 100, 1_000), signal))) return;
      try {
        await this.#announce({ ...holding, signal }, comeAlive, true);
        this.#options.log.info({ hostId, session }, 'a host that is connected is known to be alive again');
        return;
      } catch (error) {
        if (isAborted(signal)) return;
        if (error instanceof WeftError && error.reason === 'SESSION_STALE') {
          this.#holdings.delete(hostId);
          holding.onReplaced();
          return;
        }
        this.#options.log.warn({ hostId, session, err: error }, 'a host that is connected is not known to be alive');
      }
    }
  }
}

function replaced(hostId: HostId): WeftError {
  return new WeftError({ reason: 'SESSION_STALE', message: `host ${hostId} has opened a newer stream` });
}
