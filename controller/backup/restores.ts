/** Restores, one at a time: the file is taken in whole and looked through, and only then put in the place of what is. */
import type { Logger } from '../../core/daemon/log.js';
import { WeftError } from '../../core/errors.js';
import { readBackup } from '../../proto/backup-file.js';
import type { BackupEntry, StoredMeta } from '../../proto/gen/weft/v1/stored.js';
import type { Store } from '../store/store.js';
import { applyBackup, type Applied } from './apply.js';
import { checkBackup, type BackupSummary } from './check.js';
import { spool, type Spool } from './spool.js';

export interface RestoresOptions {
  readonly store: Store;
  /** Where the file lies meanwhile. */
  readonly directory: string;
}

/** What became of a restore. */
export interface Restored extends Applied, BackupSummary {
  readonly revision: bigint;
}

export class Restores implements AsyncDisposable {
  readonly #options: RestoresOptions;
  readonly #stop = new AbortController();
  #busy = false;
  #applying: Promise<unknown> = Promise.resolve();

  constructor(options: RestoresOptions) {
    this.#options = options;
  }

  /**
   * Restores the file in `chunks`. Throws WeftError BACKUP_INVALID (nothing was changed then), TOO_MANY_CALLS while
   * another one is under way here, and what applyBackup throws. Once begun it goes on when `signal` aborts: whoever
   * asked may be gone, and half a restore helps nobody.
   */
  async restore(chunks: AsyncIterable<Uint8Array>, log: Logger, signal: AbortSignal): Promise<Restored> {
    if (this.#busy) {
      throw new WeftError({ reason: 'TOO_MANY_CALLS', message: 'a restore is under way here already; wait for it' });
    }
    this.#busy = true;
    try {
      await using file = await spool(this.#options.directory, chunks, signal);
      const { identity, ...summary } = await checkBackup(readBackup(file.read()));
      signal.throwIfAborted();
      log.warn({ ...summary, bytes: file.bytes }, 'restoring a backup');
      const applying = this.#apply(file, identity, summary.revision);
      this.#applying = applying.catch(() => undefined);
      const applied = await applying;
      log.warn({ ...summary, ...applied }, 'restored a backup');
      return { ...summary, ...applied };
    } finally {
      this.#busy = false;
    }
  }

  /** Ends one that is under way; it is not finished then. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#applying;
  }

  #apply(file: Spool, meta: StoredMeta, backupRevision: bigint): Promise<Applied> {
    const entries = entriesOf(file);
    return applyBackup({ store: this.#options.store, meta, backupRevision, entries, signal: this.#stop.signal });
  }
}

async function* entriesOf(file: Spool): AsyncGenerator<BackupEntry> {
  for await (const record of readBackup(file.read())) if (record.kind === 'entry') yield record.entry;
}
