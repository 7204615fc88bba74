/** A file that exists for as long as it is open, so that nothing remains of it whatever dies when. */
import { randomUUID } from 'node:crypto';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { WeftError } from '../../core/errors.js';

/** What was written to a file without a name. Disposing of it frees the space. */
export interface Spool extends AsyncDisposable {
  readonly bytes: number;
  /** From the beginning, as often as one likes. */
  read(): AsyncIterable<Uint8Array>;
}

/** Nothing that etcd can hold makes a larger backup: its quota is 8 GiB at most. */
const MAX_BYTES = 16 * 1024 ** 3;

const READ_BYTES = 256 * 1024;

/** Writes all chunks to a file of its own in `directory`. Throws WeftError INTERNAL where the disk does not take it. */
export async function spool(directory: string, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Spool> {
  const file = await openNameless(directory);
  try {
    let bytes = 0;
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      bytes += chunk.length;
      if (bytes > MAX_BYTES)
        throw new WeftError({ reason: 'BACKUP_INVALID', message: 'no backup is as large as this' });
      await onDisk(directory, async () => writeAll(file, chunk));
    }
    return {
      bytes,
      read: () => readAll(file, bytes),
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function openNameless(directory: string): Promise<FileHandle> {
  return onDisk(directory, async () => {
    const path = join(directory, `.restore-${randomUUID()}.tmp`);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return file;
  });
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
}

async function* readAll(file: FileHandle, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes;) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function onDisk<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new WeftError(
      { reason: 'INTERNAL', message: `${directory} does not take the backup's file: ${why}` },
      { cause: error },
    );
  }
}
