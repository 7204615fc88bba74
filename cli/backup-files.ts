/** Backups on disk: written whole or not at all, and looked through before they are sent. */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { StatusName } from '../core/errors.js';
import { readBackup } from '../proto/backup-file.js';
import type { BackupHeader } from '../proto/gen/weft/v1/stored.js';
import { LocalFailure } from './output/errors.js';

/** What a whole backup holds. */
export interface BackupFacts {
  readonly header: BackupHeader;
  readonly entries: number;
  readonly bytes: number;
}

/** The whole state is in it, so nobody but its owner reads it. */
const MODE = 0o600;

const READ_BYTES = 64 * 1024;

/**
 * Puts `chunks` into `file`, under another name beside it until they have proved to be a whole backup and are on disk:
 * a backup of before is there until this one is. `seen` is told the bytes so far. Throws LocalFailure, WeftError
 * BACKUP_INVALID, and what `chunks` throws.
 */
export async function saveBackup(
  file: string,
  chunks: AsyncIterable<Uint8Array>,
  seen: (bytes: number) => void,
): Promise<BackupFacts> {
  const target = await targetOf(file);
  const partial = path.join(path.dirname(target), `.${path.basename(target)}.${randomUUID()}.partial`);
  // Only what this file system says is about `file`: what `chunks` throws has its own words.
  const local = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw fileFailure(file, error);
    });
  const handle = await local(open(partial, 'wx', MODE));
  try {
    const facts = await throughCheck(chunks, async (chunk, bytes) => {
      await local(handle.appendFile(chunk));
      seen(bytes);
    });
    await local(handle.sync());
    await handle.close();
    await local(rename(partial, target));
    await local(syncDirectory(path.dirname(target)));
    return facts;
  } catch (error) {
    await handle.close();
    await rm(partial, { force: true });
    throw error;
  }
}

/** Hands `chunks` on while they are looked through; only the end tells whether they were whole. Throws WeftError BACKUP_INVALID. */
export async function throughCheck(
  chunks: AsyncIterable<Uint8Array>,
  handOn: (chunk: Uint8Array, bytes: number) => Promise<void>,
): Promise<BackupFacts> {
  let header: BackupHeader | undefined;
  let entries = 0;
  let bytes = 0;
  async function* tee(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      await handOn(chunk, bytes);
      yield chunk;
    }
  }
  for await (const record of readBackup(tee())) {
    if (record.kind === 'header') header = record.header;
    else entries += 1;
  }
  if (header === undefined) throw new Error('a whole backup without a header');
  return { header, entries, bytes };
}

/** The file's bytes in pieces that fit a message. Throws LocalFailure. */
export async function* readPieces(file: string): AsyncGenerator<Buffer> {
  try {
    for await (const piece of createReadStream(file, { highWaterMark: READ_BYTES })) yield piece as Buffer;
  } catch (error) {
    throw fileFailure(file, error);
  }
}

/** Looks through a file that is to be restored. Throws LocalFailure, WeftError BACKUP_INVALID. */
export async function checkBackupFile(file: string): Promise<BackupFacts> {
  // What `backup` takes for stdout, and many tools for stdin, is seldom meant as a file's name.
  if (file === '-') {
    throw new LocalFailure('INVALID_ARGUMENT', '- cannot be read from stdin: a backup is read twice; name a file');
  }
  if (file === '') throw new LocalFailure('INVALID_ARGUMENT', 'FILE is empty: name the backup to restore');
  let found;
  try {
    found = await stat(file);
  } catch (error) {
    throw fileFailure(file, error);
  }
  if (found.isDirectory()) {
    throw new LocalFailure('INVALID_ARGUMENT', `${file} is a directory; name the backup in it`);
  }
  if (!found.isFile()) {
    throw new LocalFailure('INVALID_ARGUMENT', `${file} is no regular file; a backup is read twice, first to check it`);
  }
  return await throughCheck(readPieces(file), () => Promise.resolve());
}

/** Where the file is to be: behind symlinks, and never in the place of a device or a directory. */
async function targetOf(file: string): Promise<string> {
  try {
    const target = await realpath(file);
    const found = await stat(target);
    if (found.isFile()) return target;
    if (found.isDirectory()) throw new LocalFailure('INVALID_ARGUMENT', `${file} is a directory; name a file in it`);
  } catch (error) {
    if (error instanceof LocalFailure) throw error;
    if (codeOf(error) === 'ENOENT') return path.resolve(file);
    throw fileFailure(file, error);
  }
  throw new LocalFailure('INVALID_ARGUMENT', `${file} is there and no regular file; name another, or - for stdout`);
}

/** A name is on disk when its directory is. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const STATUS: Readonly<Record<string, StatusName>> = {
  ENOENT: 'NOT_FOUND',
  EACCES: 'PERMISSION_DENIED',
  EPERM: 'PERMISSION_DENIED',
  EROFS: 'PERMISSION_DENIED',
  ENOSPC: 'RESOURCE_EXHAUSTED',
  EDQUOT: 'RESOURCE_EXHAUSTED',
};

function fileFailure(file: string, error: unknown): LocalFailure {
  const code = codeOf(error);
  // Node names the partial file; the person knows the one that was typed.
  const what = (error instanceof Error ? error.message : String(error)).replace(
    /, \w+(?: '[^']*'(?: -> '[^']*')?)?$/,
    '',
  );
  return new LocalFailure(STATUS[code] ?? 'INTERNAL', `${file}: ${what}`, { cause: error });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
