/**
 * A backup's state in the place of what the store holds. The cluster's identity is written first, with a new epoch and
 * marked as restoring; every transaction of every controller compares it, so from then on none but these passes. Any of
 * the steps may be the last one before a crash: the mark stays, and the same restore again comes to the same end.
 */
import { randomUUID } from 'node:crypto';
import { asError, WeftError } from '../../core/errors.js';
import { backoffMs, pause } from '../../core/lifetime.js';
import { StoredMeta, type BackupEntry } from '../../proto/gen/weft/v1/stored.js';
import { SCHEMA } from '../meta.js';
import { ROOT, objectKey } from '../store/keys.js';
import { StoreFull, StoreUnavailable, type CommitResult, type Compare, type Put, type Store } from '../store/store.js';
import { MAX_OPERATIONS } from '../store/transaction.js';
import { isBackedUp } from './check.js';

/** Bytes of keys and values in one batch: quick for etcd to take, and far below what it refuses. */
const BATCH_BYTES = 256 * 1024;

/** Batches that are under way at once: they wait for one fsync together. */
const AT_ONCE = 8;

/** Milliseconds for which a store that does not answer is waited for. */
const PATIENCE_MS = 60_000;

/** Epochs that are remembered: hosts that followed an older one have been away for as many restores. */
const FORMER_EPOCHS = 100;

export interface ApplyOptions {
  readonly store: Store;
  /** The backup's own identity, and its revision. */
  readonly meta: StoredMeta;
  readonly backupRevision: bigint;
  /** Those of the backup, from the beginning. */
  readonly entries: AsyncIterable<BackupEntry>;
  readonly signal: AbortSignal;
}

export interface Applied {
  readonly epoch: string;
  readonly revision: bigint;
}

/**
 * Throws WeftError RESTORE_UNFINISHED when another restore took over, STORE_FULL when there is no room for it, and
 * what the store throws; the store is then marked as restoring, until one is through.
 */
export async function applyBackup(options: ApplyOptions): Promise<Applied> {
  const { store, entries, signal } = options;
  const begun = await begin(options);
  const { meta } = begun;
  const fence: Compare = { kind: 'unchanged', key: objectKey.meta(), modRevision: begun.modRevision };
  const there = new Map((await store.list(ROOT, signal)).entries.map(({ key, value }) => [key, value]));
  const batches = new Batches({ store, fence, signal });
  for await (const { key, value } of entries) {
    const now = there.get(key);
    there.delete(key);
    if (now === undefined || Buffer.compare(now, value) !== 0) await batches.put({ key, value });
  }
  for (const key of there.keys()) if (isBackedUp(key)) await batches.drop(key);
  await batches.flush();
  const revision = await finish(begun, store, signal);
  return { epoch: meta.epoch, revision };
}

/** An identity as it stands in the store. */
interface Written {
  readonly meta: StoredMeta;
  readonly modRevision: bigint;
}

/** Marks the store as restoring, whatever it holds, with the identity that it is to have. */
function begin({ store, meta: backup, backupRevision, signal }: ApplyOptions): Promise<Written> {
  const { clusterId, epoch: backupEpoch } = backup;
  const epoch = randomUUID();
  return patiently(signal, async () => {
    while (true) {
      const there = await readMeta(store, signal);
      // A try of ours whose outcome did not become known. Nobody else writes this epoch.
      if (there?.meta.epoch === epoch) return there;
      const meta: StoredMeta = {
        ...{ clusterId, epoch, schema: SCHEMA, restoring: true, backupEpoch, backupRevision },
        formerEpochs: formerEpochs(there?.meta, backup),
      };
      const modRevision = await replaceMeta(store, meta, there?.modRevision ?? 0n, signal);
      if (modRevision !== undefined) return { meta, modRevision };
    }
  });
}

/** Takes the mark away. The revision from which on the state is the restored one. */
function finish({ meta: marked, modRevision: seen }: Written, store: Store, signal: AbortSignal): Promise<bigint> {
  const meta = { ...marked, restoring: false };
  return patiently(signal, async () => {
    const there = await readMeta(store, signal);
    if (there?.meta.epoch === meta.epoch && !there.meta.restoring) return there.modRevision;
    const modRevision = await replaceMeta(store, meta, seen, signal);
    if (modRevision === undefined) throw overtaken();
    return modRevision;
  });
}

/**
 * The epochs that hosts may have followed until now, newest first: those of what is replaced, and those of the backup.
 * Nobody follows one whose restore is not through.
 */
function formerEpochs(replaced: StoredMeta | undefined, backup: StoredMeta): string[] {
  const both = replaced === undefined ? [backup] : [replaced, backup];
  const epochs = both.flatMap(({ epoch, restoring, formerEpochs }) => [...(restoring ? [] : [epoch]), ...formerEpochs]);
  return [...new Set(epochs)].slice(0, FORMER_EPOCHS);
}

/** The identity that is there, if there is one. */
async function readMeta(store: Store, signal: AbortSignal): Promise<Written | undefined> {
  const { entry } = await store.get(objectKey.meta(), signal);
  return entry === undefined ? undefined : { meta: StoredMeta.decode(entry.value), modRevision: entry.modRevision };
}

/** Puts the identity in the place of the one at `seen`. Its mod_revision; undefined: another one is there by now. */
async function replaceMeta(
  store: Store,
  meta: StoredMeta,
  seen: bigint,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  const key = objectKey.meta();
  const value = StoredMeta.encode(meta).finish();
  const compares: Compare[] = [{ kind: 'unchanged', key, modRevision: seen }];
  const result = await store.commit({ compares, puts: [{ key, value }], deletes: [] }, signal);
  return result.committed ? result.revision : undefined;
}

/** Writes in transactions as large as they may be, some at a time; each can be repeated without harm. */
class Batches {
  readonly #options: { readonly store: Store; readonly fence: Compare; readonly signal: AbortSignal };
  #puts: Put[] = [];
  #deletes: string[] = [];
  #bytes = 0;
  readonly #running = new Set<Promise<void>>();
  #failed: Error | undefined;

  constructor(options: { readonly store: Store; readonly fence: Compare; readonly signal: AbortSignal }) {
    this.#options = options;
  }

  async put(put: Put): Promise<void> {
    this.#puts.push(put);
    await this.#grew(put.key.length + put.value.length);
  }

  async drop(key: string): Promise<void> {
    this.#deletes.push(key);
    await this.#grew(key.length);
  }

  async flush(): Promise<void> {
    await this.#send();
    await Promise.all(this.#running);
    this.#check();
  }

  async #grew(bytes: number): Promise<void> {
    this.#bytes += bytes;
    if (this.#bytes >= BATCH_BYTES || this.#puts.length + this.#deletes.length >= MAX_OPERATIONS) await this.#send();
  }

  async #send(): Promise<void> {
    const { store, fence, signal } = this.#options;
    const transaction = { compares: [fence], puts: this.#puts, deletes: this.#deletes };
    this.#puts = [];
    this.#deletes = [];
    this.#bytes = 0;
    if (transaction.puts.length + transaction.deletes.length === 0) return;
    while (this.#running.size >= AT_ONCE) await Promise.race(this.#running);
    this.#check();
    const work = patiently(signal, () => store.commit(transaction, signal))
      .then(demandCommitted)
      .catch((error: unknown) => {
        this.#failed ??= asError(error);
      })
      .finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  #check(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }
}

function demandCommitted(result: CommitResult): void {
  if (!result.committed) throw overtaken();
}

/** Repeats work that may be repeated until the store answers, within patience. */
async function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StoreFull) throw full(error);
      if (!(error instanceof StoreUnavailable) || performance.now() > giveUpAt) throw error;
      if (!(await pause(backoffMs(attempt, 50, 2_000), signal))) signal.throwIfAborted();
    }
  }
}

function overtaken(): WeftError {
  return new WeftError({
    reason: 'RESTORE_UNFINISHED',
    message: 'another restore has begun since, and goes on; this one does not',
  });
}

function full(cause: Error): WeftError {
  return new WeftError(
    {
      reason: 'STORE_FULL',
      message: 'etcd has no space for this backup; the restore is not finished: make room, and run it again',
    },
    { cause },
  );
}
