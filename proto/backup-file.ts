/**
 * A backup's file: protobuf messages, each behind its length as a varint: BackupHeader, BackupEntry..., BackupTrailer.
 * What proves it whole stands at its end, so nobody acts on a file before having read all of it.
 */
import { createHash } from 'node:crypto';
import { WeftError } from '../core/errors.js';
import { BackupEntry, BackupHeader, BackupTrailer } from './gen/weft/v1/stored.js';

/** The one there is. */
const BACKUP_FORMAT = 1;

/** etcd takes 1.5 MiB in one request: a longer message is no entry, but bytes that are no backup. */
const MESSAGE_MAX_BYTES = 4 * 1024 * 1024;

/** A length below 2^32 takes five bytes of seven bits. */
const VARINT_MAX_BYTES = 5;

/** One message of a file, but for the trailer, which the reader keeps to itself. */
export type BackupRecord =
  { readonly kind: 'header'; readonly header: BackupHeader } | { readonly kind: 'entry'; readonly entry: BackupEntry };

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** The file's bytes, one message at a time. Ends with a trailer that has the count and the hash of what went before. */
export async function* writeBackup(
  header: Omit<BackupHeader, 'format'>,
  entries: AsyncIterable<BackupEntry> | Iterable<BackupEntry>,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let count = 0n;
  const hashed = (message: Buffer): Buffer => {
    hash.update(message);
    return message;
  };
  yield hashed(delimited(BackupHeader.encode({ ...header, format: BACKUP_FORMAT }).finish()));
  for await (const entry of entries) {
    count += 1n;
    yield hashed(delimited(BackupEntry.encode(entry).finish()));
  }
  yield delimited(BackupTrailer.encode({ entries: count, sha256: hash.digest() }).finish());
}

function delimited(message: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = message.length;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...length, rest]), message]);
}

/**
 * The header, then each entry. Throws WeftError BACKUP_INVALID where the bytes are no backup, and, only after the last
 * entry, where they are not a whole one: who wants to be sure reads to the end before using anything.
 */
export async function* readBackup(chunks: Chunks): AsyncGenerator<BackupRecord> {
  const hash = createHash('sha256');
  let entries = 0n;
  let header: BackupHeader | undefined;
  // The last message is the trailer, and which one is the last shows only at the end.
  let held: Message | undefined;
  for await (const message of messagesOf(chunks)) {
    // At once: of text, what comes behind the first message seldom makes another.
    if (held === undefined) headerOf(message);
    if (held !== undefined) {
      hash.update(held.bytes);
      if (header === undefined) {
        header = headerOf(held);
        yield { kind: 'header', header };
      } else {
        entries += 1n;
        yield { kind: 'entry', entry: decoded(BackupEntry, held) };
      }
    }
    held = message;
  }
  if (header === undefined || held === undefined) throw held === undefined ? invalid('it is empty') : barelyBegun();
  const trailer = decoded(BackupTrailer, held);
  if (trailer.entries !== entries || !hash.digest().equals(trailer.sha256)) {
    throw damaged('what it holds is not what was written: it is cut off, or was changed');
  }
}

interface Message {
  /** With its length before it. */
  readonly bytes: Buffer;
  readonly body: Buffer;
}

async function* messagesOf(chunks: Chunks): AsyncGenerator<Message> {
  let rest = Buffer.alloc(0);
  let begun = false;
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    for (let next = firstOf(rest); next !== undefined; next = firstOf(rest)) {
      yield next;
      begun = true;
      rest = rest.subarray(next.bytes.length);
    }
  }
  if (rest.length === 0) return;
  // What is no backup at all seldom has a first message that ends.
  throw begun ? damaged('it is cut off in the middle') : barelyBegun();
}

/** The first message, where all of it is there. */
function firstOf(bytes: Buffer): Message | undefined {
  let length = 0;
  for (let at = 0; at < bytes.length && at < VARINT_MAX_BYTES; at += 1) {
    const byte = bytes[at] ?? 0;
    length += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) {
      if (length > MESSAGE_MAX_BYTES) break;
      const end = at + 1 + length;
      return end > bytes.length ? undefined : { bytes: bytes.subarray(0, end), body: bytes.subarray(at + 1, end) };
    }
  }
  if (length > MESSAGE_MAX_BYTES || bytes.length >= VARINT_MAX_BYTES) throw noBackup();
  return undefined;
}

function headerOf(message: Message): BackupHeader {
  let header: BackupHeader;
  try {
    header = decoded(BackupHeader, message);
  } catch {
    throw noBackup();
  }
  if (header.meta === undefined || header.format === 0) throw noBackup();
  if (header.format !== BACKUP_FORMAT) {
    throw invalid(`it is of format ${String(header.format)}, which a later Weft wrote (${header.version}); use that`);
  }
  return header;
}

function decoded<T>(type: { readonly decode: (bytes: Uint8Array) => T }, { body }: Message): T {
  try {
    return type.decode(body);
  } catch {
    throw damaged('one of its messages cannot be read');
  }
}

function noBackup(): WeftError {
  return invalid('it is no backup of Weft');
}

function barelyBegun(): WeftError {
  return invalid('it is no backup of Weft, or the mere beginning of one');
}

function damaged(how: string): WeftError {
  return invalid(`${how}; take another backup`);
}

function invalid(message: string): WeftError {
  return new WeftError({ reason: 'BACKUP_INVALID', message: `the file cannot be restored: ${message}` });
}
