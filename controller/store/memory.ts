/** A Store in this process's memory, for tests of what stands on it. Held to etcd's behaviour by store-contract.testing.ts. */
import { once, setMaxListeners } from 'node:events';
import { MemoryLeases } from './memory-leases.js';
import {
  Compacted,
  StoreRefused,
  StoreUnavailable,
  type CommitResult,
  type Compare,
  type KeyRevision,
  type KeyValue,
  type Lease,
  type LeaseOptions,
  type Listing,
  type Store,
  type StoreEvent,
  type Transaction,
  type WatchBatch,
  type WatchOptions,
} from './store.js';
import { FOUND_LIMIT, MAX_GROUP_OPERATIONS, checkTransaction, failureOf, holds } from './transaction.js';

/** One revision, and what the keys it changed were before; undefined: they were not there. */
interface Change extends WatchBatch {
  readonly before: ReadonlyMap<string, KeyValue | undefined>;
}

/** setTimeout takes no more, and would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class MemoryStore implements Store {
  readonly operationsMax: number = MAX_GROUP_OPERATIONS;
  /** etcd's first revision is 1, before anything was written. */
  #revision = 1n;
  #compactRevision = 0n;
  #entries = new Map<string, KeyValue>();
  /** Every change since the last compaction, in order. */
  #history: Change[] = [];
  #closed = false;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #leases = new MemoryLeases((keys) => this.#end(keys));
  /** Says `change` when there is something new for watches, and when the store closes. */
  readonly #changes = new EventTarget();

  constructor() {
    // Each watch listens.
    setMaxListeners(0, this.#changes);
  }

  async get(key: string, signal: AbortSignal): ReturnType<Store['get']> {
    this.#enter(signal);
    return { entry: copy(this.#entries.get(key)), revision: this.#revision };
  }

  async list(prefix: string, signal: AbortSignal, at?: bigint): Promise<Listing> {
    this.#enter(signal);
    if (at === undefined) return { entries: this.#under(prefix), revision: this.#revision };
    return { entries: this.#underAt(prefix, at).map((entry) => copy(entry)), revision: at };
  }

  async *revisions(options: {
    prefix: string;
    at: bigint;
    signal: AbortSignal;
  }): AsyncGenerator<readonly KeyRevision[]> {
    const { prefix, at, signal } = options;
    this.#enter(signal);
    yield this.#underAt(prefix, at).map(({ key, modRevision }) => ({ key, modRevision }));
  }

  async count(prefix: string, signal: AbortSignal): Promise<number> {
    this.#enter(signal);
    return this.#under(prefix).length;
  }

  async oldest(prefix: string, limit: number, signal: AbortSignal): Promise<readonly string[]> {
    this.#enter(signal);
    if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`no number of keys: ${String(limit)}`);
    const byAge = this.#under(prefix).sort((a, b) => Number(a.modRevision - b.modRevision));
    return byAge.slice(0, limit).map(({ key }) => key);
  }

  async commit(transaction: Transaction, signal: AbortSignal): Promise<CommitResult> {
    this.#enter(signal);
    checkTransaction(transaction);
    const foundAt = transaction.compares.map((compare) => this.#at(compare));
    if (!transaction.compares.every((compare, index) => holds(compare, foundAt[index] ?? []))) {
      return { committed: false, revision: this.#revision, ...failureOf(transaction.compares, foundAt) };
    }
    this.#leases.check(transaction.puts);
    this.#apply(transaction);
    this.#leases.attach(transaction.puts, this.#revision);
    for (const ttlMs of new Set(transaction.puts.map((put) => put.ttlMs))) {
      if (ttlMs === undefined) continue;
      const keys = transaction.puts.filter((put) => put.ttlMs === ttlMs).map(({ key }) => key);
      this.#expire({ keys, putAt: this.#revision, at: performance.now() + ttlMs });
    }
    return { committed: true, revision: this.#revision };
  }

  async *watch(options: WatchOptions): AsyncGenerator<WatchBatch> {
    const { prefix, signal, previous = false } = options;
    let next = options.from;
    if (next < 1n) throw new RangeError(`no revision ${String(next)}: the first is 1`);
    while (!signal.aborted) {
      if (this.#closed) throw new StoreUnavailable('the store is closed');
      // From one revision earlier, as etcd.ts has to ask: see watch.ts.
      if (next <= this.#compactRevision) throw new Compacted(this.#compactRevision);
      const batch = this.#since(next, prefix);
      if (batch === undefined) {
        if (next <= this.#revision) next = this.#revision + 1n;
        await once(this.#changes, 'change', { signal }).catch((error: unknown) => {
          if (!signal.aborted) throw error;
        });
        continue;
      }
      next = batch.revision + 1n;
      const events = batch.events.filter((event) => keyOf(event).startsWith(prefix));
      yield { revision: batch.revision, events: previous ? events.map((event) => withPrevious(event, batch)) : events };
    }
  }

  async grantLease(options: LeaseOptions, signal: AbortSignal): Promise<Lease> {
    this.#enter(signal);
    return this.#leases.grant(options);
  }

  async adoptLease(id: string, signal: AbortSignal): Promise<Lease | undefined> {
    this.#enter(signal);
    return this.#leases.adopt(id);
  }

  /** Ends a lease, whoever holds it. Equivalent to `etcdctl lease revoke`. */
  revokeLease(id: string): void {
    this.#leases.end(id);
  }

  /** Forgets the history before `revision`. Equivalent to `etcdctl compact`. */
  compact(revision: bigint): void {
    if (revision > this.#revision) throw new RangeError(`revision ${String(revision)} is in the future`);
    this.#compactRevision = revision;
    this.#history = this.#history.filter((batch) => batch.revision >= revision);
    this.#changes.dispatchEvent(new Event('change'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#leases[Symbol.dispose]();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#changes.dispatchEvent(new Event('change'));
  }

  #enter(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#closed) throw new StoreUnavailable('the store is closed');
  }

  #at(compare: Compare): readonly KeyValue[] {
    if (compare.kind === 'emptyPrefix') return this.#under(compare.prefix).slice(0, FOUND_LIMIT);
    if (compare.kind === 'notNewer') {
      const newer = this.#under(compare.prefix).filter(({ modRevision }) => modRevision > compare.revision);
      return newer.slice(0, FOUND_LIMIT);
    }
    const entry = copy(this.#entries.get(compare.key));
    return entry === undefined ? [] : [entry];
  }

  #under(prefix: string): KeyValue[] {
    return [...this.#entries.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .map((entry) => copy(entry))
      .sort((a, b) => byBytes(a.key, b.key));
  }

  /** What was under the prefix at revision `at`. */
  #underAt(prefix: string, at: bigint): KeyValue[] {
    if (at < 1n) throw new RangeError(`no revision ${String(at)}: the first is 1`);
    if (at < this.#compactRevision || at > this.#revision) throw new StoreRefused(`revision ${String(at)} is not here`);
    const entries = new Map(this.#under(prefix).map((entry) => [entry.key, entry]));
    for (const { revision, before } of this.#history.toReversed()) {
      if (revision <= at) break;
      for (const [key, earlier] of before) {
        if (earlier === undefined) entries.delete(key);
        else if (key.startsWith(prefix)) entries.set(key, earlier);
      }
    }
    return [...entries.values()].sort((a, b) => byBytes(a.key, b.key));
  }

  /** The first change under the prefix at `revision` or later. */
  #since(revision: bigint, prefix: string): Change | undefined {
    const [first] = this.#history;
    if (first === undefined) return undefined;
    // Every revision is here since the first.
    for (let at = Math.max(0, Number(revision - first.revision)); at < this.#history.length; at += 1) {
      const change = this.#history[at];
      if (change?.events.some((event) => keyOf(event).startsWith(prefix))) return change;
    }
    return undefined;
  }

  /** Does all this at the next revision, which there only is when it changes something. */
  #apply({ puts, deletes, deletePrefixes = [] }: Omit<Transaction, 'compares'>): void {
    const revision = this.#revision + 1n;
    const before = new Map<string, KeyValue | undefined>();
    const events: StoreEvent[] = puts.map(({ key, value }) => {
      const held = this.#entries.get(key);
      const entry = {
        key,
        value: value.slice(),
        createRevision: held?.createRevision ?? revision,
        modRevision: revision,
      };
      this.#entries.set(key, entry);
      before.set(key, held);
      return { kind: 'put', entry: copy(entry) };
    });
    const drop = (key: string): void => {
      const held = this.#entries.get(key);
      if (held === undefined) return;
      this.#entries.delete(key);
      before.set(key, held);
      events.push({ kind: 'delete', key });
    };
    for (const key of deletes) drop(key);
    for (const prefix of deletePrefixes) for (const { key } of this.#under(prefix)) drop(key);
    if (events.length === 0) return;
    this.#revision = revision;
    this.#history.push({ revision, events, before });
    this.#changes.dispatchEvent(new Event('change'));
  }

  /** Deletes keys that are as they were put at these revisions, in one. */
  #end(keys: ReadonlyMap<string, bigint>): void {
    const gone = [...keys].filter(([key, putAt]) => this.#entries.get(key)?.modRevision === putAt);
    this.#apply({ puts: [], deletes: gone.map(([key]) => key).sort(byBytes) });
  }

  /** Deletes the keys when their time has come, in one revision; those that were written since stay. */
  #expire(due: { readonly keys: readonly string[]; readonly putAt: bigint; readonly at: number }): void {
    const leftMs = Math.ceil(due.at - performance.now());
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        if (due.at > performance.now()) {
          this.#expire(due);
          return;
        }
        this.#end(new Map(due.keys.map((key) => [key, due.putAt])));
      },
      Math.min(leftMs, MAX_TIMER_MS),
    );
    // A test's process does not stay for keys that nobody waits for.
    timer.unref();
    this.#timers.add(timer);
  }
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A caller that writes into a value it was given must not change the store. */
function copy<T extends KeyValue | undefined>(entry: T): T {
  return entry === undefined ? entry : { ...entry, value: entry.value.slice() };
}

function keyOf(event: StoreEvent): string {
  return event.kind === 'put' ? event.entry.key : event.key;
}

function withPrevious(event: StoreEvent, { before }: Change): StoreEvent {
  const previous = before.get(keyOf(event));
  return previous === undefined ? event : { ...event, previous: copy(previous) };
}
