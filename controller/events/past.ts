/** What happened before the ring begins, from the store's own history: the same events, byte for byte. */
import type { Logger } from '../../core/daemon/log.js';
import { WeftError, type Rejection } from '../../core/errors.js';
import type { HostId } from '../../core/ids.js';
import { anySignal, isAborted } from '../../core/lifetime.js';
import type { Host } from '../../core/model.js';
import { ObjectKind } from '../../proto/gen/weft/v1/watch.js';
import { readObject, type Alive, type ClusterObject } from '../cache/objects.js';
import type { ObjectChange } from '../cache/view.js';
import { ALIVE, HOSTS, OBJECTS, objectKey, parseObjectKey } from '../store/keys.js';
import { Compacted, StoreRefused, type KeyValue, type Store, type StoreEvent } from '../store/store.js';
import { eventsOf, isWanted, type EventFilter, type HostsThen, type ToldEvent } from './event.js';
import type { Told } from './messages.js';
import { Places } from './places.js';

/** Who reads at a time: each reading is a watch of its own at the store. */
const READINGS = 8;

/** Revisions of one reading: as many as etcd sends in one answer. */
const REVISIONS = 1_000;

/** Milliseconds without news after which there seems to be no more. */
const QUIET_MS = 2_000;

export interface PastOptions {
  readonly store: Store;
  readonly log: Logger;
  readonly quietMs?: number;
}

/** What to read: from this revision on, until all of `upTo` is told or much has been. */
export interface Reading {
  readonly from: bigint;
  readonly upTo: bigint;
  readonly filter: EventFilter;
  /** Bytes of events after which it is enough. */
  readonly bytes: number;
  readonly signal: AbortSignal;
}

/**
 * `isQuiet`: the store told nothing more for a while, without having come to what was asked for. A revision need not
 * have brought an object anything (a listing's may be another key's), and what never comes cannot be waited for; but it
 * is not known either that nothing is to come, so nothing beyond `upTo` counts as told.
 */
export interface PastTold extends Told {
  readonly isQuiet: boolean;
}

export class Past {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #quietMs: number;
  readonly #places = new Places(READINGS);

  constructor({ store, log, quietMs = QUIET_MS }: PastOptions) {
    this.#store = store;
    this.#log = log;
    this.#quietMs = quietMs;
  }

  /** Throws WeftError HISTORY_COMPACTED when history from `from` is not kept, and what the store throws. */
  async read(reading: Reading): Promise<PastTold> {
    using _place = await this.#places.take(reading.signal);
    try {
      return await this.#read(reading);
    } catch (error) {
      const compacted = error instanceof StoreRefused ? await this.#compactedFrom(reading) : error;
      if (compacted instanceof Compacted) throw new WeftError(historyCompacted(compacted.compactRevision + 1n));
      throw error;
    }
  }

  async #read({ from, upTo, filter, bytes, signal }: Reading): Promise<PastTold> {
    const quiet = new AbortController();
    const timer = setTimeout(() => {
      quiet.abort();
    }, this.#quietMs);
    const events: ToldEvent[] = [];
    const hosts = new HostsInPast(this.#store, (entry) => this.#decode(entry));
    let told = from - 1n;
    let size = 0;
    let revisions = 0;
    try {
      const watch = { prefix: OBJECTS, from, previous: true, signal: anySignal(signal, quiet.signal) };
      for await (const batch of this.#store.watch(watch)) {
        timer.refresh();
        if (batch.revision > upTo) return { events, upTo, isQuiet: false };
        const changes = batch.events.flatMap((event) => this.#changeOf(event, filter));
        const then = await hosts.after(batch.revision, changes, signal);
        for (const event of eventsOf({ revision: batch.revision, changes }, then)) {
          if (!isWanted(event, filter)) continue;
          events.push(event);
          size += event.bytes.length;
        }
        told = batch.revision;
        revisions += 1;
        if (told === upTo || size >= bytes || revisions === REVISIONS) return { events, upTo: told, isQuiet: false };
      }
    } finally {
      clearTimeout(timer);
    }
    signal.throwIfAborted();
    // A store that cannot be reached is quiet, too.
    await this.#store.get(objectKey.meta(), signal);
    return { events, upTo: told, isQuiet: true };
  }

  /** Why the store refused, where that is because it has compacted its history meanwhile: only a watch says from where. */
  async #compactedFrom({ from, signal }: Reading): Promise<unknown> {
    try {
      const within = anySignal(signal, AbortSignal.timeout(this.#quietMs));
      for await (const _ of this.#store.watch({ prefix: OBJECTS, from, signal: within })) break;
      return undefined;
    } catch (error) {
      if (isAborted(signal)) return undefined;
      return error;
    }
  }

  #changeOf(event: StoreEvent, filter: EventFilter): ObjectChange[] {
    const ref = parseObjectKey(event.kind === 'put' ? event.entry.key : event.key);
    const kind = ref === undefined ? undefined : KINDS[ref.kind];
    if (kind === undefined || filter.kinds?.has(kind) === false) return [];
    const before = event.previous === undefined ? undefined : this.#decode(event.previous);
    const after = event.kind === 'put' ? this.#decode(event.entry) : undefined;
    // Of what cannot be read nobody knows what it is; views leave it as it was.
    if (event.kind === 'put' && after === undefined) return [];
    return toChange(before, after);
  }

  #decode(entry: KeyValue): ClusterObject | undefined {
    try {
      return readObject(entry);
    } catch (error) {
      this.#log.warn({ key: JSON.stringify(entry.key), err: error }, 'a stored value of the past cannot be read');
      return undefined;
    }
  }
}

/** Objects that make events, and of which kind. */
const KINDS: Readonly<Record<string, ObjectKind>> = {
  network: ObjectKind.OBJECT_KIND_NETWORK,
  endpoint: ObjectKind.OBJECT_KIND_ENDPOINT,
  host: ObjectKind.OBJECT_KIND_HOST,
  alive: ObjectKind.OBJECT_KIND_HOST,
};

function toChange(before: ClusterObject | undefined, after: ClusterObject | undefined): ObjectChange[] {
  const both = { before: before?.value, after: after?.value };
  const kind = after?.kind ?? before?.kind;
  // Both are of one key, and so of one kind.
  return kind === undefined ? [] : [{ kind, ...both } as ObjectChange];
}

/** Hosts as they were, from the first revision on that touched one. */
class HostsInPast {
  readonly #store: Store;
  readonly #decode: (entry: KeyValue) => ClusterObject | undefined;
  #then: { readonly hosts: Map<HostId, Host>; readonly alive: Map<HostId, Alive> } | undefined;

  constructor(store: Store, decode: (entry: KeyValue) => ClusterObject | undefined) {
    this.#store = store;
    this.#decode = decode;
  }

  /** As of right after a revision. Called for each in its order. */
  async after(revision: bigint, changes: readonly ObjectChange[], signal: AbortSignal): Promise<HostsThen> {
    if (!changes.some(({ kind }) => kind === 'host' || kind === 'alive')) return this.#then ?? NO_HOSTS;
    this.#then ??= await this.#at(revision - 1n, signal);
    const { hosts, alive } = this.#then;
    for (const change of changes) {
      if (change.kind === 'host') replace(hosts, (change.after ?? change.before)?.id, change.after);
      if (change.kind === 'alive') replace(alive, (change.after ?? change.before)?.hostId, change.after);
    }
    return this.#then;
  }

  async #at(revision: bigint, signal: AbortSignal) {
    const hosts = new Map<HostId, Host>();
    const alive = new Map<HostId, Alive>();
    for (const prefix of [HOSTS, ALIVE]) {
      const { entries } = await this.#store.list(prefix, signal, revision);
      for (const entry of entries) {
        const object = this.#decode(entry);
        if (object?.kind === 'host') hosts.set(object.value.id, object.value);
        if (object?.kind === 'alive') alive.set(object.value.hostId, object.value);
      }
    }
    return { hosts, alive };
  }
}

const NO_HOSTS: HostsThen = { hosts: new Map(), alive: new Map() };

function replace<K, V>(map: Map<K, V>, key: K | undefined, value: V | undefined): void {
  if (key === undefined) return;
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

/** The refusal of history that is not kept; `oldest`: the first revision that can be had. */
export function historyCompacted(oldest: bigint): Rejection {
  return {
    reason: 'HISTORY_COMPACTED',
    message: `history is kept from revision ${String(oldest)} on; list what there is, and watch from there`,
    metadata: { oldestRevision: String(oldest) },
  };
}
