/** What the suites of store-contract.testing.ts and watch-contract.testing.ts, and the tests of the stores, share. */
import { setMaxListeners } from 'node:events';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import type { CommitResult, Store, Transaction, WatchBatch } from './store.js';

/** A store under test, and what only a test does to it. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store;
  readonly compact: (revision: bigint) => Promise<void>;
  /** Ends a lease from outside: `etcdctl lease revoke <id>`. */
  readonly revoke: (id: string) => Promise<void>;
  /** A second one, to be closed. */
  readonly another: () => Store;
}

/** The signal of what is never given up. */
export const never = neverAborted();
function neverAborted(): AbortSignal {
  const { signal } = new AbortController();
  // Tests wait for many things at once with this.
  setMaxListeners(0, signal);
  return signal;
}

/** A value from text, */
export const bytes = (text: string): Uint8Array => Buffer.from(text);
/** and back. */
export const textOf = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString();

/** A transaction, from the parts that matter. */
export function transaction(parts: Partial<Transaction>): Transaction {
  return { compares: [], puts: [], deletes: [], ...parts };
}

/** Puts keys, with their own names for values unless given. */
export function putting(...keys: readonly string[]): Transaction {
  return transaction({ puts: keys.map((key) => ({ key, value: bytes(key) })) });
}

/** Takes batches from a watch until `enough`, and lets go of it. */
export async function take(
  watch: AsyncIterable<WatchBatch>,
  enough: (batches: readonly WatchBatch[]) => boolean,
): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  for await (const batch of watch) {
    batches.push(batch);
    if (enough(batches)) break;
  }
  return batches;
}

/** A batch as text: `+key=value` and `-key`, in order. */
export function eventsOf(batch: WatchBatch): string[] {
  return batch.events.map((event) =>
    event.kind === 'put' ? `+${event.entry.key}=${textOf(event.entry.value) ?? ''}` : `-${event.key}`,
  );
}

/** The store that one suite uses, with a place of its own for every test. Called inside `describe`. */
export class Bench {
  /** Prefix of this test's keys, with a slash at its end. */
  at = '';
  #under: StoreUnderTest | undefined;
  #tests = 0;

  constructor(open: () => Promise<StoreUnderTest>) {
    beforeAll(async () => {
      this.#under = await open();
    });
    afterAll(async () => {
      await this.#under?.[Symbol.asyncDispose]();
    });
    beforeEach(() => {
      this.#tests += 1;
      this.at = `/t${String(this.#tests)}/`;
    });
  }

  get under(): StoreUnderTest {
    if (this.#under === undefined) throw new Error('the store is opened before the first test');
    return this.#under;
  }

  get store(): Store {
    return this.under.store;
  }

  commit(parts: Partial<Transaction>): Promise<CommitResult> {
    return this.store.commit(transaction(parts), never);
  }

  /** Puts keys, all in one revision. */
  async put(...keys: readonly string[]): Promise<bigint> {
    const result = await this.store.commit(putting(...keys), never);
    expect(result.committed).toBe(true);
    return result.revision;
  }

  async keysUnder(prefix: string): Promise<string[]> {
    return (await this.store.list(prefix, never)).entries.map(({ key }) => key);
  }
}
