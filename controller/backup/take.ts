/** The bytes of a backup: everything in the store that does not go by itself, as of one revision. */
import type { Clock } from '../../core/clock.js';
import { WeftError } from '../../core/errors.js';
import { VERSION } from '../../core/version.js';
import { writeBackup } from '../../proto/backup-file.js';
import { StoredMeta, type BackupEntry } from '../../proto/gen/weft/v1/stored.js';
import { restoreUnfinished } from '../meta.js';
import { ROOT, objectKey } from '../store/keys.js';
import type { KeyValue, Store } from '../store/store.js';
import { isBackedUp } from './check.js';

/** Bytes that travel in one message. */
const PART_BYTES = 64 * 1024;

export interface TakeOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * The file, in parts. Throws WeftError RESTORE_UNFINISHED where the store is neither the one state nor the other, and
 * what the store throws.
 */
export async function* takeBackup({ store, clock, signal }: TakeOptions): AsyncGenerator<Buffer> {
  const { entries, revision } = await store.list(ROOT, signal);
  const stored = entries.find(({ key }) => key === objectKey.meta());
  if (stored === undefined) throw new Error('the store holds no identity of a cluster');
  const meta = StoredMeta.decode(stored.value);
  if (meta.restoring) throw new WeftError(restoreUnfinished());
  const header = { meta, revision, time: clock.now(), version: VERSION };
  yield* inParts(writeBackup(header, entries.filter(({ key }) => isBackedUp(key)).map(toEntry)));
}

function toEntry({ key, value, createRevision, modRevision }: KeyValue): BackupEntry {
  return { key, value: Buffer.from(value), createRevision, modRevision };
}

/** Small pieces put together, so that a message of the stream is worth its overhead. */
async function* inParts(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < PART_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}
