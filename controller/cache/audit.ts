/**
 * Proves now and then that the cache shows what the store holds. The watch's promise is every event once; this is what
 * notices when it was not kept, be it by us or by an etcd (3.4.23, Debian's, may lose an event around a compaction:
 * https://github.com/etcd-io/etcd/issues/18089).
 *
 * The store is asked which keys there were, and when each was written, at the very revision the view is at: so it does
 * not matter how much changes meanwhile, and there is no false alarm. All of it goes in small steps, with other work in
 * between.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from '../../core/daemon/log.js';
import { pause } from '../../core/lifetime.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { OBJECTS, objectKey, parseObjectKey } from '../store/keys.js';
import { StoreRefused, StoreUnavailable, type Store } from '../store/store.js';
import type { Cache } from './cache.js';
import { readObject, type Alive, type Controller, type Grace, type Resting } from './objects.js';
import type { View } from './view.js';

/** What happens, for the metrics. `skipped`: the store did not answer, or has compacted its history from there. */
export interface AuditObserver {
  audited(outcome: 'equal' | 'different' | 'skipped'): void;
  differences(count: number): void;
}

export interface AuditOptions {
  readonly cache: Cache;
  readonly store: Store;
  readonly log: Logger;
  readonly observer: AuditObserver;
  /** Milliseconds from one audit to the next, a tenth more or less. Default 600,000. */
  readonly everyMs?: number;
  /** Milliseconds after which a watch that should bring something and does not is taken for broken. Default 10,000. */
  readonly patienceMs?: number;
}

/** A key of which view and store do not say the same. `undefined`: it is not there. */
export interface Difference {
  readonly key: string;
  readonly inView: bigint | undefined;
  readonly inStore: bigint | undefined;
}

const EVERY_MS = 600_000;

/** Keys of the view that are gone through in one step, about a millisecond. */
const STEP = 1_000;

/** Differences that are named in the log, and looked at one by one. */
const NAMED = 10;

/** Milliseconds in which a watch that works brings what the store has. */
const CATCH_UP_MS = 500;

/** Milliseconds after which one that has more to bring, and brings nothing, is taken for broken. */
const PATIENCE_MS = 10_000;

/** How often it is tried to find the view at one revision with the store. */
const TRIES = 3;

export class CacheAudit {
  readonly #options: AuditOptions;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Audits until the signal aborts, or the cache is superseded. Never rejects but for a fault of its own. */
  async run(signal: AbortSignal): Promise<void> {
    const everyMs = this.#options.everyMs ?? EVERY_MS;
    // Controllers that were started together are not to list together.
    while (await pause(everyMs * (0.9 + Math.random() / 5), signal)) await this.once(signal);
  }

  /** Compares once, and has the cache list anew where there is a difference. Resolves with what there was. */
  async once(signal: AbortSignal): Promise<readonly Difference[]> {
    const { log, observer } = this.#options;
    try {
      for (let tries = 0; tries < TRIES; tries += 1) {
        const differences = await this.#compare(signal);
        if (differences === 'inconclusive') continue;
        observer.audited(differences.length === 0 ? 'equal' : 'different');
        if (differences.length > 0) this.#heal(differences);
        return differences;
      }
      log.info('the state changes too quickly to be compared with the store this time');
    } catch (error) {
      if (signal.aborted) return [];
      if (!(error instanceof StoreUnavailable || error instanceof StoreRefused)) throw error;
      log.info({ err: error }, 'the state could not be compared with the store this time');
    }
    observer.audited('skipped');
    return [];
  }

  #heal(differences: readonly Difference[]): void {
    const { cache, log, observer } = this.#options;
    observer.differences(differences.length);
    const first = differences.slice(0, NAMED).map(({ key, inView, inStore }) => {
      return { key, inView: inView?.toString(), inStore: inStore?.toString() };
    });
    const facts = { revision: cache.view.revision, differences: differences.length, first };
    log.error(facts, 'what is known of the state was not what the store holds; listing the store anew');
    cache.relist();
  }

  async #compare(signal: AbortSignal): Promise<readonly Difference[] | 'inconclusive'> {
    const { store, cache } = this.#options;
    const { revision: newest } = await store.get(objectKey.meta(), signal);
    // It may never come to it, where nothing of ours has happened since.
    await this.#comesTo(newest, CATCH_UP_MS, signal);
    const snapshot = snapshotOf(cache.view);
    const { revision } = snapshot;
    // Behind the store, the view says that nothing of ours has happened since.
    const at = revision > newest ? revision : newest;
    const differences = await this.#readable(await this.#differences(snapshot, at, signal), signal);
    if (differences.length === 0 || revision >= newest) return differences;
    // Where it moves on from there, it was only late.
    const movesOn = await this.#comesTo(revision + 1n, this.#options.patienceMs ?? PATIENCE_MS, signal);
    return movesOn ? 'inconclusive' : differences;
  }

  /** Whether the view comes to `revision` in time. */
  async #comesTo(revision: bigint, withinMs: number, signal: AbortSignal): Promise<boolean> {
    const { cache } = this.#options;
    const deadline = performance.now() + withinMs;
    while (cache.view.revision < revision) {
      if (performance.now() > deadline) return false;
      if (!(await pause(20, signal))) signal.throwIfAborted();
    }
    return true;
  }

  /** What the store had at revision `at` and is not in the snapshot, or the other way about. */
  async #differences(snapshot: Snapshot, at: bigint, signal: AbortSignal): Promise<readonly Difference[]> {
    const view = await byKey(snapshot);
    const differences: Difference[] = [];
    for await (const page of this.#options.store.revisions({ prefix: OBJECTS, at, signal })) {
      for (const { key, modRevision: inStore } of page) {
        const inView = view.get(key);
        view.delete(key);
        if (inView !== inStore && isObject(key)) differences.push({ key, inView, inStore });
      }
    }
    for (const [key, inView] of view) differences.push({ key, inView, inStore: undefined });
    return differences;
  }

  /** Without those whose value cannot be read: the cache is right not to have them. */
  async #readable(differences: readonly Difference[], signal: AbortSignal): Promise<readonly Difference[]> {
    const readable: Difference[] = [];
    for (const difference of differences) {
      const { key, inStore } = difference;
      // After so many that are true, the others need not be looked at one by one.
      const isTrue =
        inStore === undefined || readable.length >= NAMED || (await this.#isReadable(key, inStore, signal));
      if (isTrue) readable.push(difference);
    }
    return readable;
  }

  async #isReadable(key: string, modRevision: bigint, signal: AbortSignal): Promise<boolean> {
    const { entry } = await this.#options.store.get(key, signal);
    if (entry?.modRevision !== modRevision) return true;
    try {
      readObject(entry);
      return true;
    } catch {
      return false;
    }
  }
}

/** What a view had at one moment. */
interface Snapshot extends Pick<View, 'revision'> {
  readonly networks: readonly Network[];
  readonly hosts: readonly Host[];
  readonly endpoints: readonly Endpoint[];
  readonly resting: readonly Resting[];
  readonly controllers: readonly Controller[];
  readonly alive: readonly Alive[];
  readonly graces: readonly Grace[];
}

/** Only references, for the objects themselves never change: some milliseconds for 100,000. */
function snapshotOf(view: View): Snapshot {
  return {
    revision: view.revision,
    networks: [...view.networks.values()],
    hosts: [...view.hosts.values()],
    endpoints: [...view.endpoints.values()],
    resting: [...view.resting()],
    controllers: [...view.controllers.values()],
    alive: [...view.alive.values()],
    graces: [...view.graces.values()],
  };
}

/** The revision of each by its key in the store, made in small steps. */
async function byKey(snapshot: Snapshot): Promise<Map<string, bigint>> {
  const revisions = new Map<string, bigint>();
  for (const [key, revision] of keysOf(snapshot)) {
    revisions.set(key, revision);
    if (revisions.size % STEP === 0) await turn();
  }
  return revisions;
}

function* keysOf(snapshot: Snapshot): Generator<readonly [string, bigint]> {
  const { networks, hosts, endpoints, resting, controllers, alive, graces } = snapshot;
  for (const { id, revision } of networks) yield [objectKey.network(id), revision];
  for (const { id, revision } of hosts) yield [objectKey.host(id), revision];
  for (const { networkId, id, revision } of endpoints) yield [objectKey.endpoint(networkId, id), revision];
  for (const { networkId, address, revision } of resting) yield [objectKey.resting(networkId, address), revision];
  for (const { id, revision } of controllers) yield [objectKey.controller(id), revision];
  for (const { hostId, revision } of alive) yield [objectKey.alive(hostId), revision];
  for (const { hostId, revision } of graces) yield [objectKey.grace(hostId), revision];
}

/** Whether a key is one of those that the view has. */
function isObject(key: string): boolean {
  const ref = parseObjectKey(key);
  return ref !== undefined && ref.kind !== 'meta';
}
