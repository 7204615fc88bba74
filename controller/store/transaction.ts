/** What every store does alike with a transaction: its limits, and what a failed one reports. Pure. */
import { LeaseLost, StoreRefused, type Compare, type KeyValue, type Transaction } from './store.js';

/** Most compares, and most puts and deletes together, in one transaction: etcd's `--max-txn-ops` where nobody sets it. */
export const MAX_OPERATIONS = 128;

/**
 * The same for transactions of many askers, on a store that takes so many: some hundred endpoints. Measured with 256
 * creates at once, of CPU per endpoint in the controller and in etcd: 128 operations 120 and 110 us, 256 103 and 92,
 * 512 93 and 84.
 */
export const MAX_GROUP_OPERATIONS = 512;

/** Most bytes of keys and values in one transaction. etcd takes 1.5 MiB of encoded request (`--max-request-bytes`). */
const MAX_TRANSACTION_BYTES = 1 << 20;

/**
 * Most bytes of keys and values that transactions of several askers have together: a hundred endpoints with a few labels.
 * etcd keeps the last 7,500 transactions in memory (2,500 between snapshots, and 5,000 for members that are behind),
 * which this keeps below 1 GB. One asker's own may be larger.
 */
export const MAX_GROUP_BYTES = 1 << 17;

/** Most entries that a failed `emptyPrefix` or `notNewer` reports: enough for an error text, whatever stands there. */
export const FOUND_LIMIT = 32;

/** Throws StoreRefused for a transaction that no store takes, LeaseLost for keys on what is lost, before anything is sent. */
export function checkTransaction(
  { compares, puts, deletes, deletePrefixes = [] }: Transaction,
  most = MAX_GROUP_OPERATIONS,
): void {
  const operations = puts.length + deletes.length + deletePrefixes.length;
  if (compares.length > most || operations > most) {
    throw new StoreRefused(
      `a transaction takes ${String(most)} compares and ${String(most)} operations, ` +
        `this has ${String(compares.length)} and ${String(operations)}`,
    );
  }
  const written = [...puts.map(({ key }) => key), ...deletes];
  const seen = new Set<string>();
  for (const key of written) {
    if (seen.has(key)) throw new StoreRefused(`a transaction writes no key twice: ${key}`);
    seen.add(key);
  }
  for (const prefix of deletePrefixes) {
    const both = puts.find(({ key }) => key.startsWith(prefix));
    if (both !== undefined) throw new StoreRefused(`a transaction puts no key it deletes: ${both.key} under ${prefix}`);
  }
  if (
    [...written, ...deletePrefixes].includes('') ||
    compares.some((compare) => 'key' in compare && compare.key === '')
  ) {
    throw new StoreRefused('a key has at least one character');
  }
  const endless = puts.find(({ ttlMs }) => ttlMs !== undefined && !(Number.isSafeInteger(ttlMs) && ttlMs > 0));
  if (endless !== undefined) throw new StoreRefused(`${endless.key}: ${String(endless.ttlMs)} ms is no time to live`);
  for (const { key, ttlMs, lease } of puts) {
    if (lease === undefined) continue;
    if (ttlMs !== undefined) throw new StoreRefused(`${key}: a key is on a lease, or has a time to live, not both`);
    if (lease.lost.aborted) throw new LeaseLost(`${key}: the lease is lost`, { cause: lease.lost.reason });
  }
  const named = [...written, ...deletePrefixes, ...compares.map(placeOf)];
  const bytes =
    named.reduce((sum, key) => sum + Buffer.byteLength(key), 0) +
    puts.reduce((sum, { value }) => sum + value.length, 0);
  if (bytes > MAX_TRANSACTION_BYTES) {
    throw new StoreRefused(`a transaction takes ${String(MAX_TRANSACTION_BYTES)} bytes, this has ${String(bytes)}`);
  }
}

/** Whether the compare holds, given what stands where it looks (for `notNewer`: what is newer there). */
export function holds(compare: Compare, found: readonly KeyValue[]): boolean {
  switch (compare.kind) {
    case 'absent':
    case 'emptyPrefix':
    case 'notNewer':
      return found.length === 0;
    case 'present':
      return found.length > 0;
    case 'unchanged':
      return (found[0]?.modRevision ?? 0n) === compare.modRevision;
  }
}

/** The compares that do not hold and what stands there; `foundAt[i]` is what stands where compare `i` looks. */
export function failureOf(
  compares: readonly Compare[],
  foundAt: readonly (readonly KeyValue[])[],
): { readonly failed: readonly Compare[]; readonly found: readonly KeyValue[] } {
  const failed: Compare[] = [];
  const found = new Map<string, KeyValue>();
  for (const [index, compare] of compares.entries()) {
    const entries = foundAt[index] ?? [];
    if (holds(compare, entries)) continue;
    failed.push(compare);
    for (const entry of entries) found.set(entry.key, entry);
  }
  return { failed, found: [...found.values()] };
}

/** The key, or the prefix, a compare looks at. */
export function placeOf(compare: Compare): string {
  return 'prefix' in compare ? compare.prefix : compare.key;
}
