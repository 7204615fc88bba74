/** Random transactions, and what a store makes of them in a form in which two stores can be compared. */
import fc from 'fast-check';
import { never, putting, take } from './contract-bench.testing.js';
import { StoreRefused, type CommitResult, type Compare, type Store, type Transaction } from './store.js';

/** Keys that are each other's prefixes and neighbours, to be confused with each other. */
const KEYS = ['a', 'a/', 'a/1', 'a/2', 'a0', 'b'];

/** One step of a random history. `seen` picks the revision after an earlier step. */
type Step = Omit<Transaction, 'compares'> & {
  readonly compares: readonly { readonly kind: Compare['kind']; readonly key: string; readonly seen: number }[];
};

const stepArbitrary: fc.Arbitrary<Step> = fc
  .record({
    compares: fc.array(
      fc.record({
        kind: fc.constantFrom<Compare['kind'][]>('absent', 'present', 'unchanged', 'emptyPrefix', 'notNewer'),
        key: fc.constantFrom(...KEYS),
        seen: fc.nat(20),
      }),
      { maxLength: 2 },
    ),
    written: fc.uniqueArray(fc.constantFrom(...KEYS), { maxLength: 3 }),
    deleted: fc.nat(3),
    value: fc.uint8Array({ maxLength: 3 }),
    deletePrefixes: fc.oneof(
      { arbitrary: fc.constant([]), weight: 3 },
      { arbitrary: fc.array(fc.constantFrom(...KEYS), { maxLength: 2 }), weight: 1 },
    ),
  })
  .map(({ compares, written, deleted, value, deletePrefixes }) => ({
    compares,
    puts: written.slice(deleted).map((key) => ({ key, value })),
    deletes: written.slice(0, deleted),
    deletePrefixes,
  }));

/** Random histories: a few keys, all kinds of compares, many of which fail. */
export const histories = fc.array(stepArbitrary, { minLength: 1, maxLength: 15 });

/** Plays a history under `at`; everything the store said, with revisions counted from the history's beginning. */
export async function play(store: Store, at: string, history: readonly Step[]): Promise<unknown> {
  const base = (await store.list('', never)).revision;
  const revisions = [base];
  const results: unknown[] = [];
  for (const { compares, puts, deletes, deletePrefixes = [] } of history) {
    const result = await attempt(store, {
      compares: compares.map(({ kind, key, seen }): Compare => {
        const revision = revisions[seen % revisions.length] ?? 0n;
        if (kind === 'emptyPrefix') return { kind, prefix: at + key };
        if (kind === 'notNewer') return { kind, prefix: at + key, revision };
        if (kind === 'unchanged') return { kind, key: at + key, modRevision: revision };
        return { kind, key: at + key };
      }),
      puts: puts.map(({ key, value }) => ({ key: at + key, value })),
      deletes: deletes.map((key) => at + key),
      deletePrefixes: deletePrefixes.map((prefix) => at + prefix),
    });
    results.push(result);
    if (result !== 'refused') revisions.push(result.revision);
  }
  const listing = await store.list(at, never);
  const count = await store.count(at, never);
  const oldest = await store.oldest(at, 1_000, never);
  const end = await store.commit(putting(`${at}end`), never);
  const batches = await take(
    store.watch({ prefix: at, from: base + 1n, signal: never }),
    (all) => all.at(-1)?.revision === end.revision,
  );
  const ages = oldest.map((key) => listing.entries.find((entry) => entry.key === key)?.modRevision);
  return relative({ results, listing, batches, count, oldest: [...oldest].sort(), ages }, base, at);
}

async function attempt(store: Store, transaction: Transaction): Promise<CommitResult | 'refused'> {
  try {
    return await store.commit(transaction, never);
  } catch (error) {
    if (error instanceof StoreRefused) return 'refused';
    throw error;
  }
}

/** The same with revisions less `base`, keys without `at`, and bytes as text, so that two stores can be compared. */
function relative(value: unknown, base: bigint, at: string): unknown {
  if (typeof value === 'bigint') return value - base;
  if (typeof value === 'string') return value.replace(at, '');
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map((each) => relative(each, base, at));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, relative(each, base, at)]));
}
