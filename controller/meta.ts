/** The cluster's identity in the store: made by the first controller, read by every later one. */
import { randomUUID } from 'node:crypto';
import { StoredMeta } from '../proto/gen/weft/v1/stored.js';
import type { Logger } from '../core/daemon/log.js';
import type { Rejection } from '../core/errors.js';
import { isUuid } from '../core/ids.js';
import { backoffMs, pause } from '../core/lifetime.js';
import { objectKey } from './store/keys.js';
import { Compacted, StoreUnavailable, type KeyValue, type Store } from './store/store.js';

/** The layout of keys and values that this Weft knows. */
export const SCHEMA = 1;

export interface Meta {
  readonly clusterId: string;
  /** Revisions of different epochs do not compare. */
  readonly epoch: string;
  /** Of before the last restores, newest first; none: nothing was ever restored here. */
  readonly formerEpochs: readonly string[];
  /** Up to where the restored backup knows what was written, and in which epoch; undefined: as above. */
  readonly backup: { readonly epoch: string; readonly revision: bigint } | undefined;
  /** A restore is under way, or was broken off: the state is neither the one nor the other. */
  readonly restoring: boolean;
  /** The mod_revision of all this: where it is another, this is not the cluster's identity any more. */
  readonly metaRevision: bigint;
}

/** The refusal of everything but GetStatus and Restore while a restore is not through. */
export function restoreUnfinished(): Rejection {
  return {
    reason: 'RESTORE_UNFINISHED',
    message: 'a restore is under way or was broken off; wait for it, or run weft restore again',
  };
}

/** What the store holds is not for this Weft. The message says it in a sentence. */
export class UnusableStore extends Error {
  override readonly name = 'UnusableStore';
}

/**
 * The cluster's meta. The first controller makes it, guarded absent, so that of several starting together one wins and
 * all agree. Waits for a store that does not answer, until the signal aborts. Throws UnusableStore for a schema that
 * is unknown.
 */
export async function loadOrCreateMeta(store: Store, log: Logger, signal: AbortSignal): Promise<Meta> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await loadOrCreate(store, signal);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      log.warn({ err: error }, 'waiting for the store to answer');
      if (!(await pause(backoffMs(attempt, 100, 2_000), signal))) signal.throwIfAborted();
    }
  }
}

async function loadOrCreate(store: Store, signal: AbortSignal): Promise<Meta> {
  const key = objectKey.meta();
  const { entry } = await store.get(key, signal);
  if (entry !== undefined) return readMeta(entry);
  const made = { clusterId: randomUUID(), epoch: randomUUID() };
  const value = StoredMeta.encode(StoredMeta.fromPartial({ ...made, schema: SCHEMA })).finish();
  const outcome = await store.commit(
    { compares: [{ kind: 'absent', key }], puts: [{ key, value }], deletes: [] },
    signal,
  );
  if (outcome.committed) return readMeta({ value, modRevision: outcome.revision });
  const [first] = outcome.found;
  if (first === undefined) throw new UnusableStore('the store refuses the cluster’s identity, and shows none');
  return readMeta(first);
}

/** Resolves when the identity is another than `meta`, also when it is gone, and when the signal aborts. */
export async function untilMetaChanges(store: Store, { metaRevision }: Meta, signal: AbortSignal): Promise<void> {
  const prefix = objectKey.meta();
  for (let from = metaRevision + 1n; !signal.aborted;) {
    try {
      for await (const { events } of store.watch({ prefix, from, signal })) {
        if (events.some((event) => (event.kind === 'put' ? event.entry.key : event.key) === prefix)) return;
      }
    } catch (error) {
      if (!(error instanceof Compacted)) throw error;
      const { entry, revision } = await store.get(prefix, signal);
      if (entry?.modRevision !== metaRevision) return;
      from = revision + 1n;
    }
  }
}

function readMeta({ value, modRevision }: Pick<KeyValue, 'value' | 'modRevision'>): Meta {
  let meta: StoredMeta;
  try {
    meta = StoredMeta.decode(value);
  } catch (error) {
    throw new UnusableStore(`${objectKey.meta()} in the store cannot be read: it is not Weft's`, { cause: error });
  }
  const { clusterId, epoch, schema, restoring, formerEpochs } = meta;
  if (schema !== SCHEMA) {
    throw new UnusableStore(
      `the store holds schema ${String(schema)}, and this controller knows ${String(SCHEMA)}: run the version of Weft that wrote it, or a newer one`,
    );
  }
  if (!isUuid(clusterId) || !isUuid(epoch)) throw new UnusableStore(`${objectKey.meta()} in the store is damaged`);
  const backup = meta.backupEpoch === '' ? undefined : { epoch: meta.backupEpoch, revision: meta.backupRevision };
  return { clusterId, epoch, formerEpochs, backup, restoring, metaRevision: modRevision };
}
