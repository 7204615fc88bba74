/** Between the store's words and etcd's messages. Pure. */
import type { IKeyValue } from 'etcd3';
import type { KeyValue } from './store.js';

/** A range of keys as etcd asks for it: from `key`, up to but without `range_end`. */
export interface KeyRange {
  readonly key: Buffer;
  readonly range_end: Buffer;
}

/** All keys that begin with `prefix`. */
export function rangeOfPrefix(prefix: string): KeyRange {
  // For etcd, both ends a zero byte means every key.
  if (prefix === '') return { key: Buffer.of(0), range_end: Buffer.of(0) };
  const key = Buffer.from(prefix);
  const range_end = Buffer.from(key);
  // No byte of UTF-8 is 255, so the last can always be raised.
  range_end[range_end.length - 1] = (range_end.at(-1) ?? 0) + 1;
  return { key, range_end };
}

/** The smallest key that comes after `key`. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

export function toKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString(),
    value: kv.value,
    createRevision: BigInt(kv.create_revision),
    modRevision: BigInt(kv.mod_revision),
  };
}
