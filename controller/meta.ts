/** The cluster's identity in the store: made by the first controller, read by every later one. */
import { randomUUID } from 'node:crypto';
import { StoredMeta } from '../proto/gen/weft/v1/stored.js';
import type { Logger } from '../core/daemon/log.js';
import { isUuid } from '../core/ids.js';
import { backoffMs, pause } from '../core/lifetime.js';
import { objectKey } from './store/keys.js';
import { StoreUnavailable, type Store } from './store/store.js';

/** The layout of keys and values that this Weft knows. */
const SCHEMA = 1;

export interface Meta {
  readonly clusterId: string;
  /** Revisions of different epochs do not compare. */
  readonly epoch: string;
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
  if (entry !== undefined) return readMeta(entry.value);
  const made: Meta = { clusterId: randomUUID(), epoch: randomUUID() };
  const value = StoredMeta.encode({ ...made, schema: SCHEMA }).finish();
  const outcome = await store.commit(
    { compares: [{ kind: 'absent', key }], puts: [{ key, value }], deletes: [] },
    signal,
  );
  if (outcome.committed) return made;
  const [first] = outcome.found;
  if (first === undefined) throw new UnusableStore('the store refuses the cluster’s identity, and shows none');
  return readMeta(first.value);
}

function readMeta(value: Uint8Array): Meta {
  let meta: StoredMeta;
  try {
    meta = StoredMeta.decode(value);
  } catch (error) {
    throw new UnusableStore(`${objectKey.meta()} in the store cannot be read: it is not Weft's`, { cause: error });
  }
  const { clusterId, epoch, schema } = meta;
  if (schema !== SCHEMA) {
    throw new UnusableStore(
      `the store holds schema ${String(schema)}, and this controller knows ${String(SCHEMA)}: run the version of Weft that wrote it, or a newer one`,
    );
  }
  if (!isUuid(clusterId) || !isUuid(epoch)) throw new UnusableStore(`${objectKey.meta()} in the store is damaged`);
  return { clusterId, epoch };
}
