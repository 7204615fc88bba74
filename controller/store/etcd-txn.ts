/**
 * Transactions as etcd's bytes (etcdserverpb.TxnRequest and TxnResponse, rpc.proto of etcd 3.4), written and read in
 * one go: a group has hundreds of keys, and an object for each on the way to its bytes costs more than all else about
 * it. Pure.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { rangeOfPrefix } from './etcd-codec.js';
import type { Compare, KeyValue, Transaction } from './store.js';
import { FOUND_LIMIT } from './transaction.js';

export interface TxnEncoding {
  /** The lease for each time to live that the puts name. */
  readonly leases: ReadonlyMap<number, string>;
  /** Whether etcd is to read, where the transaction fails, what each compare looked at. */
  readonly reads: boolean;
}

/** What etcd answered. `foundAt` is, for a failure that was to be read, what stands where each compare looked. */
export interface TxnAnswer {
  readonly revision: bigint;
  readonly succeeded: boolean;
  readonly foundAt: readonly (readonly KeyValue[])[];
}

/** Compare.CompareResult */
const EQUAL = 0;
const GREATER = 1;
const LESS = 2;
/** Compare.CompareTarget */
const CREATE = 1;
const MOD = 2;

/** Fields of TxnRequest. */
const SUCCESS = 2;
const FAILURE = 3;
/** Fields of RequestOp. */
const RANGE = 1;
const PUT = 2;
const DELETE_RANGE = 3;

/** The transaction for etcd; equivalent to what `etcdctl txn` sends. */
export function encodeTxn(transaction: Transaction, { leases, reads }: TxnEncoding): Buffer {
  const { compares, puts, deletes, deletePrefixes = [] } = transaction;
  const out = new Bytes();
  for (const compare of compares) encodeCompare(out, compare);
  for (const { key, value, ttlMs, lease: held } of puts) {
    const lease = ttlMs === undefined ? held?.id : leases.get(ttlMs);
    if (ttlMs !== undefined && lease === undefined) throw new Error(`no lease for ${String(ttlMs)} ms`);
    const operation = out.open(SUCCESS);
    const put = out.open(PUT);
    out.text(1, key);
    out.bytes(2, value);
    if (lease !== undefined) out.int64(3, BigInt(lease));
    out.close(put);
    out.close(operation);
  }
  for (const key of deletes) encodeDelete(out, { key: Buffer.from(key) });
  for (const prefix of deletePrefixes) encodeDelete(out, rangeOfPrefix(prefix));
  if (reads) for (const compare of compares) encodeRead(out, compare);
  return out.finish();
}

function encodeDelete(out: Bytes, range: { readonly key: Buffer; readonly range_end?: Buffer }): void {
  const operation = out.open(SUCCESS);
  const deletion = out.open(DELETE_RANGE);
  out.bytes(1, range.key);
  if (range.range_end !== undefined) out.bytes(2, range.range_end);
  out.close(deletion);
  out.close(operation);
}

function encodeCompare(out: Bytes, compare: Compare): void {
  const message = out.open(1);
  switch (compare.kind) {
    case 'absent':
    case 'present':
      out.small(1, compare.kind === 'absent' ? EQUAL : GREATER);
      out.small(2, CREATE);
      out.text(3, compare.key);
      out.small(5, 0);
      break;
    case 'unchanged':
      out.small(1, EQUAL);
      out.small(2, MOD);
      out.text(3, compare.key);
      out.int64(6, compare.modRevision);
      break;
    case 'emptyPrefix': {
      // True of every key in the range; each that exists was created after revision 0.
      const { key, range_end } = rangeOfPrefix(compare.prefix);
      out.small(1, EQUAL);
      out.small(2, CREATE);
      out.bytes(3, key);
      out.small(5, 0);
      out.bytes(64, range_end);
      break;
    }
    case 'notNewer': {
      // True of every key in the range; of none, too.
      const { key, range_end } = rangeOfPrefix(compare.prefix);
      out.small(1, LESS);
      out.small(2, MOD);
      out.bytes(3, key);
      out.int64(6, compare.revision + 1n);
      out.bytes(64, range_end);
      break;
    }
  }
  out.close(message);
}

/** What to read where the compare looked. */
function encodeRead(out: Bytes, compare: Compare): void {
  const operation = out.open(FAILURE);
  const range = out.open(RANGE);
  if ('prefix' in compare) {
    const { key, range_end } = rangeOfPrefix(compare.prefix);
    out.bytes(1, key);
    out.bytes(2, range_end);
    out.small(3, FOUND_LIMIT);
    if (compare.kind === 'notNewer') out.int64(10, compare.revision + 1n);
  } else {
    out.text(1, compare.key);
  }
  out.close(range);
  out.close(operation);
}

/** Throws when it is no TxnResponse. */
export function decodeTxn(bytes: Uint8Array): TxnAnswer {
  const reader = new BinaryReader(bytes);
  let revision = 0n;
  let succeeded = false;
  const foundAt: KeyValue[][] = [];
  eachField(reader, reader.len, (field) => {
    if (field === 1) revision = decodeHeader(reader, endOf(reader));
    else if (field === 2) succeeded = reader.bool();
    // What puts and deletes answer says nothing, and there are hundreds of them.
    else if (field === 3 && !succeeded) foundAt.push(decodeRead(reader, endOf(reader)));
    else return false;
    return true;
  });
  return { revision, succeeded, foundAt };
}

function decodeHeader(reader: BinaryReader, end: number): bigint {
  let revision = 0n;
  eachField(reader, end, (field) => {
    if (field !== 3) return false;
    revision = BigInt(reader.int64());
    return true;
  });
  return revision;
}

/** The keys of a ResponseOp's range. */
function decodeRead(reader: BinaryReader, end: number): KeyValue[] {
  const found: KeyValue[] = [];
  eachField(reader, end, (operation) => {
    if (operation !== 1) return false;
    eachField(reader, endOf(reader), (field) => {
      if (field !== 2) return false;
      found.push(decodeKeyValue(reader, endOf(reader)));
      return true;
    });
    return true;
  });
  return found;
}

function decodeKeyValue(reader: BinaryReader, end: number): KeyValue {
  let key = '';
  let value: Uint8Array = new Uint8Array();
  let createRevision = 0n;
  let modRevision = 0n;
  eachField(reader, end, (field) => {
    if (field === 1) key = reader.string();
    else if (field === 2) createRevision = BigInt(reader.int64());
    else if (field === 3) modRevision = BigInt(reader.int64());
    else if (field === 5) value = Buffer.from(reader.bytes());
    else return false;
    return true;
  });
  return { key, value, createRevision, modRevision };
}

/** Where the message ends whose length comes next. */
function endOf(reader: BinaryReader): number {
  const length = reader.uint32();
  return reader.pos + length;
}

/** Calls `read` with the number of each field up to `end`, and skips those that it says it does not read. */
function eachField(reader: BinaryReader, end: number, read: (field: number) => boolean): void {
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (!read(field)) reader.skip(type, field);
  }
}

/** Enough for most groups; grows where it is not. */
const FIRST_SIZE = 48 * 1024;

/** Bytes that the length of a message takes, whatever it is: etcd takes no request that is longer than 1.5 MiB. */
const LENGTH_BYTES = 3;

/** Most bytes of a field's number and length. */
const HEAD_BYTES = 12;

/** A protobuf message in the making, field by field. */
class Bytes {
  #buffer = Buffer.allocUnsafe(FIRST_SIZE);
  #at = 0;

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  /** Begins a message; what is returned is for `close`. */
  open(field: number): number {
    this.#head(field, WireType.LengthDelimited, LENGTH_BYTES);
    this.#at += LENGTH_BYTES;
    return this.#at;
  }

  /** Ends it: its length is written where room was left for it, in as many bytes as were left. */
  close(start: number): void {
    const length = this.#at - start;
    if (length >= 1 << (7 * LENGTH_BYTES)) throw new RangeError(`${String(length)} bytes are too many for a message`);
    this.#buffer[start - 3] = (length & 0x7f) | 0x80;
    this.#buffer[start - 2] = ((length >>> 7) & 0x7f) | 0x80;
    this.#buffer[start - 1] = length >>> 14;
  }

  /** A number below 128. */
  small(field: number, value: number): void {
    this.#head(field, WireType.Varint, 1);
    this.#buffer[this.#at] = value;
    this.#at += 1;
  }

  int64(field: number, value: bigint): void {
    this.#head(field, WireType.Varint, 0);
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      this.#buffer[this.#at] = Number(rest & 0x7fn) | 0x80;
      this.#at += 1;
      rest >>= 7n;
    }
    this.#buffer[this.#at] = Number(rest);
    this.#at += 1;
  }

  text(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#head(field, WireType.LengthDelimited, length);
    this.#varint(length);
    this.#at += this.#buffer.write(value, this.#at);
  }

  bytes(field: number, value: Uint8Array): void {
    this.#head(field, WireType.LengthDelimited, value.length);
    this.#varint(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  /** A field's number and type, and room for what follows. */
  #head(field: number, type: WireType, size: number): void {
    const needed = this.#at + HEAD_BYTES + size;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
      this.#buffer.copy(larger, 0, 0, this.#at);
      this.#buffer = larger;
    }
    this.#varint((field << 3) | type);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#at] = (rest & 0x7f) | 0x80;
      this.#at += 1;
      rest >>>= 7;
    }
    this.#buffer[this.#at] = rest;
    this.#at += 1;
  }
}
