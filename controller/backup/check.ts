/** Whether a backup can be restored by this Weft. Everything is looked at before anything is touched. */
import { WeftError } from '../../core/errors.js';
import { isUuid } from '../../core/ids.js';
import type { BackupRecord } from '../../proto/backup-file.js';
import type { BackupEntry, BackupHeader, StoredMeta } from '../../proto/gen/weft/v1/stored.js';
import { readObject } from '../cache/objects.js';
import { SCHEMA } from '../meta.js';
import { isGuardKey, parseObjectKey } from '../store/keys.js';

/** What a backup that was looked through holds. */
export interface BackupSummary {
  readonly clusterId: string;
  readonly revision: bigint;
  readonly networks: number;
  readonly endpoints: number;
  readonly hosts: number;
}

interface HasIdentity {
  /** Of the cluster that was backed up. */
  readonly identity: StoredMeta;
}

/** What has a lease says how things are at the moment; the identity has a place of its own. */
const PASSING: ReadonlySet<string> = new Set(['meta', 'resting', 'controller', 'alive', 'grace']);

/**
 * Whether a key is in backups: the cluster's identity has a place of its own in them, and what has a lease, or is kept
 * only to be looked at, is not in them.
 */
export function isBackedUp(key: string): boolean {
  const kind = parseObjectKey(key)?.kind;
  return kind === undefined ? isGuardKey(key) : !PASSING.has(kind);
}

/**
 * Reads all records, which must be those of a whole file. Throws WeftError BACKUP_INVALID with what is wrong: a schema
 * or a kind of key that this Weft does not know, a value that cannot be read, keys out of order.
 */
export async function checkBackup(records: AsyncIterable<BackupRecord>): Promise<BackupSummary & HasIdentity> {
  let header: BackupHeader | undefined;
  let before = '';
  const counts = { network: 0, endpoint: 0, host: 0 };
  for await (const record of records) {
    if (record.kind === 'header') {
      header = record.header;
      checkHeader(header);
      continue;
    }
    const { entry } = record;
    if (header === undefined) throw refused('it has no header');
    // In order, and so none twice: of two values nobody could say which one holds.
    if (Buffer.compare(Buffer.from(before), Buffer.from(entry.key)) >= 0) {
      throw refused(`${JSON.stringify(entry.key)} stands behind ${JSON.stringify(before)}`);
    }
    before = entry.key;
    const kind = checkEntry(entry, header.revision);
    if (kind !== undefined) counts[kind] += 1;
  }
  if (header?.meta === undefined) throw refused('it is empty');
  const { network: networks, endpoint: endpoints, host: hosts } = counts;
  const { meta: identity, revision } = header;
  return { identity, clusterId: identity.clusterId, revision, networks, endpoints, hosts };
}

function checkHeader({ meta, revision, version }: BackupHeader): void {
  const epochs = [meta?.epoch ?? '', ...(meta?.formerEpochs ?? [])];
  if (meta === undefined || !isUuid(meta.clusterId) || !epochs.every(isUuid) || meta.restoring || revision < 1n) {
    throw refused('its header is not one that Weft writes');
  }
  if (meta.schema !== SCHEMA) {
    throw refused(
      `it holds schema ${String(meta.schema)}, and this controller knows ${String(SCHEMA)}; ` +
        `restore it with the Weft that wrote it (${version})`,
    );
  }
}

/** The kind of object in an entry; undefined: a guard. */
function checkEntry(entry: BackupEntry, newest: bigint): 'network' | 'endpoint' | 'host' | undefined {
  const { key, createRevision, modRevision } = entry;
  const name = JSON.stringify(key);
  if (!isBackedUp(key)) throw refused(`${name} is no key that this Weft knows`);
  if (createRevision < 1n || createRevision > modRevision || modRevision > newest) {
    throw refused(`${name} has revisions that cannot be`);
  }
  try {
    const object = readObject(entry);
    return object?.kind === 'network' || object?.kind === 'endpoint' || object?.kind === 'host'
      ? object.kind
      : undefined;
  } catch (error) {
    throw refused(`${name} holds what cannot be read`, error);
  }
}

function refused(why: string, cause?: unknown): WeftError {
  return new WeftError({ reason: 'BACKUP_INVALID', message: `the file cannot be restored: ${why}` }, { cause });
}
