/** Between the store's words and etcd's messages. Pure. */
import type { ICompare, IKeyValue, IPutRequest, IRangeRequest, ITxnRequest } from 'etcd3';
import type { Compare, KeyValue, Put, Transaction } from './store.js';
import { FOUND_LIMIT } from './transaction.js';

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

/**
 * The transaction for etcd; `leases` has the lease for each time to live that its puts name. Where it fails it reads,
 * in the order of the compares, what each looked at.
 */
export function toTxnRequest(
  { compares, puts, deletes, deletePrefixes = [] }: Transaction,
  leases: ReadonlyMap<number, string>,
): ITxnRequest {
  return {
    compare: compares.map(toCompare),
    success: [
      ...puts.map((put) => ({ request_put: toPut(put, leases) })),
      ...deletes.map((key) => ({ request_delete_range: { key: Buffer.from(key) } })),
      ...deletePrefixes.map((prefix) => ({ request_delete_range: rangeOfPrefix(prefix) })),
    ],
    failure: compares.map((compare) => ({ request_range: lookedAt(compare) })),
  };
}

function toPut({ key, value, ttlMs }: Put, leases: ReadonlyMap<number, string>): IPutRequest {
  const put = { key: Buffer.from(key), value: Buffer.from(value) };
  if (ttlMs === undefined) return put;
  const lease = leases.get(ttlMs);
  if (lease === undefined) throw new Error(`no lease for ${String(ttlMs)} ms`);
  return { ...put, lease };
}

function toCompare(compare: Compare): ICompare {
  switch (compare.kind) {
    case 'absent':
      return { key: Buffer.from(compare.key), target: 'Create', result: 'Equal', create_revision: '0' };
    case 'present':
      return { key: Buffer.from(compare.key), target: 'Create', result: 'Greater', create_revision: '0' };
    case 'unchanged':
      return {
        key: Buffer.from(compare.key),
        target: 'Mod',
        result: 'Equal',
        mod_revision: String(compare.modRevision),
      };
    case 'emptyPrefix':
      // True of every key in the range; each that exists was created after revision 0.
      return { ...rangeOfPrefix(compare.prefix), target: 'Create', result: 'Equal', create_revision: '0' };
    case 'notNewer':
      // True of every key in the range; of none, too.
      return {
        ...rangeOfPrefix(compare.prefix),
        target: 'Mod',
        result: 'Less',
        mod_revision: String(compare.revision + 1n),
      };
  }
}

function lookedAt(compare: Compare): IRangeRequest {
  switch (compare.kind) {
    case 'emptyPrefix':
      return { ...rangeOfPrefix(compare.prefix), limit: FOUND_LIMIT };
    case 'notNewer':
      return {
        ...rangeOfPrefix(compare.prefix),
        min_mod_revision: String(compare.revision + 1n),
        limit: FOUND_LIMIT,
      };
    default:
      return { key: Buffer.from(compare.key) };
  }
}
