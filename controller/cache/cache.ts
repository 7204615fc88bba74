/**
 * Keeps a View at the store's revision: lists once, then watches; lists again when the watch's history was compacted,
 * and when somebody waits for a revision that brought this prefix no event.
 */
import type { Logger } from '../../core/daemon/log.js';
import { asError, WeftError } from '../../core/errors.js';
import { anySignal, backoffMs, deferred, pause, type Deferred } from '../../core/lifetime.js';
import { OBJECTS, objectKey, parseObjectKey } from '../store/keys.js';
import { Compacted, type KeyValue, type Listing, type Put, type Store, type StoreEvent } from '../store/store.js';
import { Foreseen } from './foreseen.js';
import { readObject, type ClusterObject } from './objects.js';
import { ClusterView, type ChangeSet, type Edit, type View } from './view.js';

export interface CacheOptions {
  readonly store: Store;
  readonly log: Logger;
  /** Called for each stored value that cannot be read. */
  readonly onMalformed?: (key: string) => void;
  /** Milliseconds without any news that a revision is waited for before the cache lists anew to find it. Default 1,000. */
  readonly patienceMs?: number;
  /**
   * The mod_revision of the cluster's identity that this is a cache of. Where the store shows another, nothing of that
   * revision or after is taken in, `superseded` resolves, and `run` ends. Undefined: whichever it is.
   */
  readonly metaRevision?: bigint;
}

/** The store is not what it was when this cache was made: another cluster's state, or another epoch's. */
class Superseded extends Error {
  override readonly name = 'Superseded';
}

interface Waiter {
  readonly revision: bigint;
  readonly reached: Deferred<void>;
}

export class Cache {
  readonly #options: CacheOptions;
  readonly #view = new ClusterView();
  readonly #foreseen = new Foreseen();
  readonly #listeners = new Set<(changes: ChangeSet) => void>();
  readonly #waiters = new Set<Waiter>();
  /** Ends the watch under way, so that the loop lists anew. */
  #relist = new AbortController();
  readonly #first: Deferred<void> = deferred();
  #listed = false;
  readonly #superseded: Deferred<void> = deferred();
  #isSuperseded = false;

  constructor(options: CacheOptions) {
    this.#options = options;
  }

  /** The cluster as of `view.revision`. To be read within one synchronous step. */
  get view(): View {
    return this.#view;
  }

  /** Resolves when there has been a first listing. */
  get listed(): Promise<void> {
    return this.#first.promise;
  }

  /** Resolves when this is a cache of what is no more: see CacheOptions.metaRevision. */
  get superseded(): Promise<void> {
    return this.#superseded.promise;
  }

  /** Tells what is about to be written from here. Costs nothing but a little time where it is not told, or not written. */
  foresee(puts: readonly Put[]): void {
    this.#foreseen.add(puts);
  }

  /** Calls `listener` with every change set from now on, in order and before anybody who waits for its revision. */
  subscribe(listener: (changes: ChangeSet) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Follows the store until the signal aborts. Survives outages; never rejects but for a fault of its own. */
  async run(signal: AbortSignal): Promise<void> {
    const over = (): boolean => signal.aborted;
    for (let failures = 0; !over(); failures += 1) {
      try {
        this.#relist = new AbortController();
        this.#replace(await this.#options.store.list(OBJECTS, signal));
        failures = 0;
        await this.#follow(anySignal(signal, this.#relist.signal));
      } catch (error) {
        if (over()) return;
        if (error instanceof Superseded) {
          this.#supersede();
          return;
        }
        if (error instanceof Compacted) this.#options.log.info({ err: error }, 'listing the store anew');
        else this.#options.log.warn({ err: error }, 'following the store failed; trying again');
        await pause(backoffMs(failures, 50, 5_000), signal);
      }
    }
  }

  /**
   * Resolves when the view is at `revision` or later. Throws WeftError REVISION_AHEAD when the store itself is not
   * there yet, RESTORE_UNFINISHED when this cache is superseded, and the signal's reason when that aborts first.
   */
  async atLeast(revision: bigint, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#listed && this.#view.revision >= revision) return;
    if (this.#isSuperseded) throw superseded();
    const waiter: Waiter = { revision, reached: deferred() };
    const abort = (): void => {
      waiter.reached.reject(asError(signal.reason));
    };
    this.#waiters.add(waiter);
    signal.addEventListener('abort', abort, { once: true });
    let seen = this.#view.revision;
    const search = async (): Promise<void> => {
      const behind = await this.#isBehind(revision, signal);
      if (!behind || !this.#waiters.has(waiter)) return;
      // Looked at after the store has answered: what this process was too busy to read until now has been read by then.
      if (this.#view.revision === seen) {
        this.relist();
        return;
      }
      // The watch is late, and coming: to list a large cluster would only keep it longer.
      seen = this.#view.revision;
      patience.refresh();
    };
    const patience = setTimeout(() => {
      search().catch((error: unknown) => {
        waiter.reached.reject(asError(error));
      });
    }, this.#options.patienceMs ?? 1_000);
    try {
      await waiter.reached.promise;
    } finally {
      clearTimeout(patience);
      signal.removeEventListener('abort', abort);
      this.#waiters.delete(waiter);
    }
  }

  /** Lists the store anew, and tells what was missed. For whoever finds that the view is not what the store holds. */
  relist(): void {
    this.#relist.abort();
  }

  /**
   * Whether the view is yet to come to a revision. One without an event under our prefix (an etcd that is shared with
   * others has such) is reached by listing. Throws when the store is not at that revision: nobody can make us list by
   * asking for what does not exist.
   */
  async #isBehind(revision: bigint, signal: AbortSignal): Promise<boolean> {
    const store = await this.#options.store.get(objectKey.meta(), signal);
    if (store.revision < revision) {
      throw new WeftError({
        reason: 'REVISION_AHEAD',
        message: `revision ${String(revision)} is not here yet: the store is at ${String(store.revision)}`,
      });
    }
    return this.#view.revision < revision;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    for await (const batch of store.watch({ prefix: OBJECTS, from: this.#view.revision + 1n, signal })) {
      this.#assertCurrent(batch.events);
      this.#apply(batch.revision, batch.events.map((event) => this.#toEdit(event)).filter(isDefined));
    }
  }

  /** Throws Superseded where events touch the identity, whatever else they do. */
  #assertCurrent(events: readonly StoreEvent[]): void {
    if (this.#options.metaRevision === undefined) return;
    const meta = objectKey.meta();
    if (events.some((event) => (event.kind === 'put' ? event.entry.key : event.key) === meta)) throw new Superseded();
  }

  #supersede(): void {
    this.#isSuperseded = true;
    this.#superseded.resolve();
    for (const waiter of this.#waiters) waiter.reached.reject(superseded());
  }

  /** Brings the view to a listing: what is not in it is gone. */
  #replace({ entries, revision }: Listing): void {
    const { metaRevision } = this.#options;
    const identity = entries.find(({ key }) => key === objectKey.meta());
    if (metaRevision !== undefined && identity?.modRevision !== metaRevision) throw new Superseded();
    const keys = new Set(entries.map(({ key }) => key));
    const view = this.#view;
    const drops: Edit[] = [
      ...[...view.endpoints.values()]
        .filter(({ networkId, id }) => !keys.has(objectKey.endpoint(networkId, id)))
        .map(({ networkId, id }): Edit => ({ kind: 'drop', of: 'endpoint', networkId, id })),
      ...[...view.networks.keys()]
        .filter((id) => !keys.has(objectKey.network(id)))
        .map((id): Edit => ({ kind: 'drop', of: 'network', id })),
      ...[...view.hosts.keys()]
        .filter((id) => !keys.has(objectKey.host(id)))
        .map((id): Edit => ({ kind: 'drop', of: 'host', id })),
      ...[...view.resting()]
        .filter(({ networkId, address }) => !keys.has(objectKey.resting(networkId, address)))
        .map(({ networkId, address }): Edit => ({ kind: 'drop', of: 'resting', networkId, address })),
      ...[...view.controllers.keys()]
        .filter((id) => !keys.has(objectKey.controller(id)))
        .map((id): Edit => ({ kind: 'drop', of: 'controller', id })),
      ...[...view.alive.keys()]
        .filter((hostId) => !keys.has(objectKey.alive(hostId)))
        .map((hostId): Edit => ({ kind: 'drop', of: 'alive', hostId })),
      ...[...view.graces.keys()]
        .filter((hostId) => !keys.has(objectKey.grace(hostId)))
        .map((hostId): Edit => ({ kind: 'drop', of: 'grace', hostId })),
    ];
    // An object that is in the view as it was last written need not be read again.
    const puts = entries
      .filter((entry) => this.#held(entry.key)?.revision !== entry.modRevision)
      .map((entry) => this.#put(entry))
      .filter(isDefined);
    this.#listed = true;
    this.#apply(revision, [...drops, ...puts], { listed: true });
    this.#first.resolve();
  }

  /** What the view has of a key. */
  #held(key: string): ClusterObject['value'] | undefined {
    if (this.#view.revision === 0n) return undefined;
    const ref = parseObjectKey(key);
    switch (ref?.kind) {
      case 'network':
        return this.#view.networks.get(ref.id);
      case 'host':
        return this.#view.hosts.get(ref.id);
      case 'endpoint':
        return this.#view.endpointsOf(ref.networkId).get(ref.id);
      case 'resting':
        return this.#view.restingIn(ref.networkId).get(ref.address);
      case 'controller':
        return this.#view.controllers.get(ref.id);
      case 'alive':
        return this.#view.alive.get(ref.hostId);
      case 'grace':
        return this.#view.graces.get(ref.hostId);
      default:
        return undefined;
    }
  }

  #toEdit(event: StoreEvent): Edit | undefined {
    if (event.kind === 'put') return this.#put(event.entry);
    const ref = parseObjectKey(event.key);
    switch (ref?.kind) {
      case 'network':
      case 'host':
        return ref.kind === 'network'
          ? { kind: 'drop', of: 'network', id: ref.id }
          : { kind: 'drop', of: 'host', id: ref.id };
      case 'endpoint':
        return { kind: 'drop', of: 'endpoint', networkId: ref.networkId, id: ref.id };
      case 'resting':
        return { kind: 'drop', of: 'resting', networkId: ref.networkId, address: ref.address };
      case 'controller':
        return { kind: 'drop', of: 'controller', id: ref.id };
      case 'alive':
      case 'grace':
        return { kind: 'drop', of: ref.kind, hostId: ref.hostId };
      default:
        return undefined;
    }
  }

  #put(entry: KeyValue): Edit | undefined {
    try {
      const object = this.#foreseen.take(entry) ?? readObject(entry);
      return object === undefined ? undefined : { kind: 'put', object };
    } catch (error) {
      // One damaged value must not stop the cluster; whatever was known of the object stays.
      this.#options.log.error({ key: JSON.stringify(entry.key), err: error }, 'a stored value cannot be read; skipped');
      this.#options.onMalformed?.(entry.key);
      return undefined;
    }
  }

  #apply(revision: bigint, edits: readonly Edit[], how: Pick<ChangeSet, 'listed'> = {}): void {
    const changes: ChangeSet = { ...this.#view.apply(revision, edits), ...how };
    for (const listener of this.#listeners) listener(changes);
    for (const waiter of this.#waiters) if (waiter.revision <= revision) waiter.reached.resolve();
  }
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}

function superseded(): WeftError {
  return new WeftError({
    reason: 'RESTORE_UNFINISHED',
    message: 'the state was restored from a backup meanwhile; ask again',
  });
}
