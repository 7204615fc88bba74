import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deferred, type Deferred } from '../../core/lifetime.js';
import { bytes, never, putting, transaction } from './contract-bench.testing.js';
import { Fenced, GroupCommit, type GroupCommitOptions } from './group-commit.js';
import { MemoryStore } from './memory.js';
import {
  StoreFull,
  StoreRefused,
  StoreUnavailable,
  type CommitResult,
  type Compare,
  type KeyValue,
  type Transaction,
} from './store.js';
import { MAX_OPERATIONS, failureOf } from './transaction.js';

/** A store whose commits wait to be let through, and which remembers them. */
class GatedStore extends MemoryStore {
  override operationsMax = MAX_OPERATIONS;
  readonly sent: Transaction[] = [];
  /** What the next commits do in place of committing, or after it. */
  readonly faults: { readonly error: Error; readonly after: boolean }[] = [];
  #gate: Deferred<void> | undefined;

  shut(): void {
    this.#gate = deferred();
  }
  open(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }
  override async commit(given: Transaction, signal: AbortSignal): Promise<CommitResult> {
    this.sent.push(given);
    await this.#gate?.promise;
    const fault = this.faults.shift();
    if (fault?.after === false) throw fault.error;
    const result = await super.commit(given, signal);
    if (fault !== undefined) throw fault.error;
    return result;
  }
}

const setUp = (options: Partial<GroupCommitOptions> = {}) => {
  const store = new GatedStore();
  const groups = new GroupCommit({ store, flights: 1, ...options });
  const commit = (parts: Partial<Transaction>, signal = never) => groups.commit(transaction(parts), { signal });
  return { store, groups, commit };
};
const later = () => new Promise((resolveLater) => setImmediate(resolveLater));
const claim = (...keys: readonly string[]): Partial<Transaction> => ({
  compares: keys.map((key) => ({ kind: 'absent', key })),
  puts: keys.map((key) => ({ key, value: bytes(key) })),
});
const sizes = (store: GatedStore) => store.sent.map(({ puts }) => puts.length);
const outcome = (work: Promise<unknown>) =>
  work.then(
    (value) => value,
    (error: unknown) => error,
  );

/** Sends one transaction, and holds it in the store while others come. */
async function whileBusy(store: GatedStore, groups: GroupCommit, come: () => void): Promise<void> {
  store.shut();
  const first = groups.commit(putting('busy'), { signal: never });
  await later();
  come();
  await later();
  store.open();
  await first;
}

describe('transactions that are asked for while another is on its way', () => {
  it('travel together in the next, at one revision', async () => {
    const { store, groups, commit } = setUp();
    const results: Promise<CommitResult>[] = [];
    await whileBusy(store, groups, () => {
      for (let index = 0; index < 20; index += 1) results.push(commit(claim(`k${String(index)}`)));
    });
    const answers = await Promise.all(results);
    expect(new Set(answers.map(({ revision }) => revision)).size).toBe(1);
    expect(answers.every(({ committed }) => committed)).toBe(true);
    expect(sizes(store)).toEqual([1, 20]);
  });

  it('leave at once when nothing is on its way, with what is asked for in the same moment', async () => {
    const { store, commit } = setUp();
    await Promise.all([commit(claim('a')), commit(claim('b'))]);
    await commit(claim('c'));
    expect(sizes(store)).toEqual([2, 1]);
  });

  it('make the same compare once, and no transaction more than a store takes', async () => {
    const { store, commit } = setUp();
    const shared: Compare = { kind: 'absent', key: 'network' };
    const member = (index: number): Partial<Transaction> => ({
      compares: [shared, { kind: 'absent', key: `a${String(index)}` }, { kind: 'absent', key: `b${String(index)}` }],
      puts: ['a', 'b'].map((name) => ({ key: name + String(index), value: bytes('') })),
    });
    await Promise.all(Array.from({ length: 150 }, (_, index) => commit(member(index))));
    expect(store.sent.map(({ compares, puts }) => [compares.length, puts.length])).toEqual([
      ...[
        [127, 126],
        [127, 126],
        [49, 48],
      ],
    ]);
    const many = Array.from({ length: 40 }, (_, index) => ({
      deletes: [1, 2, 3].map((each) => `${String(index)}-${String(each)}`),
      deletePrefixes: [`under/${String(index)}/`],
    }));
    await Promise.all(many.map((each) => commit(each)));
    expect(store.sent.slice(3).map(({ deletes }) => deletes.length)).toEqual([96, 24]);
    const large = Array.from({ length: 5 }, (_, index) => ({
      puts: [{ key: `large${String(index)}`, value: Buffer.alloc(40_000) }],
    }));
    await Promise.all(large.map((each) => commit(each)));
    expect(sizes(store).slice(5)).toEqual([3, 2]);
  });

  it.each<[string, Partial<Transaction>, Partial<Transaction>]>([
    ['write one key', putting('x'), putting('x')],
    ['put and delete one key', putting('x'), { deletes: ['x'] }],
    [
      'look at what the other writes',
      { compares: [{ kind: 'absent', key: 'x' }], puts: putting('y').puts },
      putting('x'),
    ],
    [
      'write what the other looks at',
      putting('x'),
      { compares: [{ kind: 'absent', key: 'x' }], puts: putting('y').puts },
    ],
    ['look under a prefix', { compares: [{ kind: 'emptyPrefix', prefix: 'x/' }], deletes: ['y'] }, putting('x/1')],
    ['look at the age of a prefix', putting('x/1'), { compares: [{ kind: 'notNewer', prefix: 'x/', revision: 9n }] }],
    ['delete under a prefix', { deletePrefixes: ['x/'] }, putting('x/1')],
    ['delete what the other looks at', { compares: [{ kind: 'absent', key: 'x/1' }] }, { deletePrefixes: ['x/'] }],
    ['delete under overlapping prefixes', { deletePrefixes: ['x/'] }, { deletePrefixes: ['x/y/'] }],
    [
      'delete where the other looks',
      { compares: [{ kind: 'emptyPrefix', prefix: 'x/y/' }] },
      { deletePrefixes: ['x/'] },
    ],
  ])('stay apart when they %s', async (_what, one, other) => {
    const { store, commit } = setUp();
    const third = claim('elsewhere');
    await Promise.all([commit(one), commit(other), commit(third)]);
    expect(store.sent).toHaveLength(2);
    // The third has nothing to do with them, and need not wait.
    expect(store.sent[0]?.puts.map(({ key }) => key)).toContain('elsewhere');
  });

  it('are kept from passing each other: neither an endpoint in a removed network, nor a network removed under one', async () => {
    const { store, commit } = setUp();
    await commit(putting('network'));
    const attach = commit({ compares: [{ kind: 'present', key: 'network' }], puts: putting('endpoints/1').puts });
    const remove = commit({ compares: [{ kind: 'emptyPrefix', prefix: 'endpoints/' }], deletes: ['network'] });
    expect((await Promise.all([attach, remove])).map(({ committed }) => committed)).toEqual([true, false]);
    expect((await store.list('', never)).entries.map(({ key }) => key)).toEqual(['endpoints/1', 'network']);
  });
});

describe('what is passed over', () => {
  it('is overtaken by nothing that it would lose to, and by all else', async () => {
    const { store, commit } = setUp({ flights: 2 });
    store.shut();
    // Written under where it looks while it waits, again and again: it would wait for as long as that goes on.
    const first = commit(claim('network/1'));
    await later();
    const shrink = commit({ compares: [{ kind: 'notNewer', prefix: 'network/', revision: 9n }], deletes: ['y'] });
    const second = commit(claim('network/2'));
    const elsewhere = commit(claim('elsewhere'));
    await later();
    expect(store.sent.map(({ puts }) => puts.map(({ key }) => key))).toEqual([['network/1'], ['elsewhere']]);
    store.open();
    await Promise.all([first, elsewhere, shrink, second]);
    expect(store.sent.slice(2).map(({ puts, deletes }) => [...puts.map(({ key }) => key), ...deletes])).toEqual([
      ['y'],
      ['network/2'],
    ]);
  });
});

describe('a group', () => {
  it('that fails answers those who lost with their own failure, and commits the rest at once', async () => {
    const { store, commit } = setUp();
    await commit(putting('taken', 'other'));
    const [first, second, third, fourth] = await Promise.all([
      commit(claim('a')),
      commit(claim('taken', 'b')),
      commit(claim('c')),
      commit({ compares: [{ kind: 'emptyPrefix', prefix: 'o' }], puts: putting('d').puts }),
    ]);
    expect(first).toMatchObject({ committed: true });
    expect(third).toEqual(first);
    expect(second).toMatchObject({ committed: false, failed: [{ kind: 'absent', key: 'taken' }] });
    expect(fourth).toMatchObject({ committed: false, failed: [{ kind: 'emptyPrefix', prefix: 'o' }] });
    const found = (result: CommitResult) => (result.committed ? [] : result.found.map(({ key }) => key));
    expect([found(second), found(fourth)]).toEqual([['taken'], ['other']]);
    expect(sizes(store)).toEqual([2, 5, 2]);
  });

  it('of which all share what does not hold answers all', async () => {
    const { store, commit } = setUp();
    const compare: Compare = { kind: 'present', key: 'network' };
    const results = await Promise.all(
      ['a', 'b'].map((key) => commit({ compares: [compare], puts: putting(key).puts })),
    );
    expect(results.map((each) => !each.committed && each.failed)).toEqual([[compare], [compare]]);
    expect(store.sent).toHaveLength(1);
  });

  it('of which not all fit any more, when some of it has lost, answers nobody before it is written', async () => {
    const { store, groups, commit } = setUp();
    store.operationsMax = 2 * MAX_OPERATIONS;
    await commit(putting('taken'));
    const results: Promise<CommitResult>[] = [];
    await whileBusy(store, groups, () => {
      results.push(commit(claim('taken')));
      for (let index = 0; index < 200; index += 1) results.push(commit(claim(`k${String(index)}`)));
    });
    store.shut();
    await later();
    // Another member of the etcd cluster takes less, and says so while this is on its way.
    store.operationsMax = MAX_OPERATIONS;
    store.open();
    const [lost, ...others] = await Promise.all(results);
    expect(lost?.committed).toBe(false);
    expect(others.every(({ committed }) => committed)).toBe(true);
    expect(sizes(store)).toEqual([1, 1, 201, 128, 72]);
    expect((await store.list('k', never)).entries).toHaveLength(200);
  });

  it('sends its members one by one when nobody can be blamed', async () => {
    const { store, commit } = setUp();
    const blameless: CommitResult = { committed: false, revision: 1n, failed: [], found: [] };
    const real = store.commit.bind(store);
    store.commit = (given, signal) => (given.puts.length > 1 ? Promise.resolve(blameless) : real(given, signal));
    const results = await Promise.all([commit(claim('a')), commit(claim('b'))]);
    expect(results.map(({ committed }) => committed)).toEqual([true, true]);
    expect(results[0].revision).not.toBe(results[1].revision);
  });

  it('with an unknown outcome leaves it unknown to every member', async () => {
    const { store, commit } = setUp();
    store.faults.push({ error: new StoreUnavailable('gone'), after: true });
    const results = await Promise.all([outcome(commit(claim('a'))), outcome(commit(claim('b')))]);
    expect(results.every((each) => each instanceof StoreUnavailable)).toBe(true);
    expect((await store.list('', never)).entries).toHaveLength(2);
  });

  it('that is refused lets each member fail alone, with its own error', async () => {
    const { store, commit } = setUp();
    const results = await Promise.all([
      outcome(commit(claim('a'))),
      outcome(commit({ puts: [...putting('b').puts, ...putting('b').puts] })),
      outcome(commit(claim('c'))),
    ]);
    expect(results.map((each) => each instanceof StoreRefused)).toEqual([false, true, false]);
    expect((results[1] as Error).message).toContain('writes no key twice: b');
    expect((await store.list('', never)).entries.map(({ key }) => key)).toEqual(['a', 'c']);
  });

  it('that found the store full says so to all, for each may have been written', async () => {
    const { store, groups, commit } = setUp();
    store.faults.push({ error: new StoreFull('full'), after: true });
    const results = await Promise.all([outcome(commit(claim('a'))), outcome(commit(claim('b')))]);
    expect(results.every((each) => each instanceof StoreFull)).toBe(true);
    const alone = await Promise.all(
      ['c', 'd'].map((key) => groups.commit(putting(key), { signal: never, alone: true })),
    );
    expect(new Set(alone.map(({ revision }) => revision)).size).toBe(2);
    expect(sizes(store)).toEqual([2, 1, 1]);
  });
});

describe('a caller that goes', () => {
  it('before its group has left is left out', async () => {
    const { store, groups, commit } = setUp();
    const gone = new AbortController();
    const results: Promise<unknown>[] = [];
    await whileBusy(store, groups, () => {
      results.push(
        commit(claim('a')),
        outcome(commit(claim('b'), gone.signal)),
        outcome(commit(claim('c'), gone.signal)),
      );
      gone.abort(new Error('gone'));
    });
    expect(await Promise.all(results)).toMatchObject([{ committed: true }, { message: 'gone' }, { message: 'gone' }]);
    expect((await store.list('', never)).entries.map(({ key }) => key)).toEqual(['a', 'busy']);
    await expect(commit(claim('d'), gone.signal)).rejects.toThrow('gone');
  });

  it('after that is told at once, and takes nobody with it', async () => {
    const { store, commit } = setUp();
    store.shut();
    const gone = new AbortController();
    const [one, other] = [outcome(commit(claim('a'), gone.signal)), commit(claim('b'))];
    await later();
    gone.abort(new Error('gone'));
    expect(await one).toMatchObject({ message: 'gone' });
    store.open();
    expect(await other).toMatchObject({ committed: true });
  });
});

describe('the fence', () => {
  const fence = (): Compare => ({ kind: 'unchanged', key: 'meta', modRevision: 2n });

  it('is part of every group, and fails all of one', async () => {
    const { store, commit } = setUp({ fence });
    await store.commit(putting('meta'), never);
    const together = await Promise.all([commit(claim('a')), commit(claim('b'))]);
    expect(together.map(({ committed }) => committed)).toEqual([true, true]);
    await store.commit(putting('meta'), never);
    const results = await Promise.all([outcome(commit(claim('c'))), outcome(commit(claim('a')))]);
    expect(results.every((each) => each instanceof Fenced)).toBe(true);
    expect((await store.list('', never)).entries.map(({ key }) => key)).toEqual(['a', 'b', 'meta']);
  });
});

describe('what was committed', () => {
  it('is answered when it has been taken in, without keeping the next group waiting', async () => {
    const taken = deferred<undefined>();
    const { store, commit } = setUp({ committed: () => taken.promise });
    let answered = 0;
    const results = ['a', 'b'].map(async (key) => {
      await later();
      await commit(claim(key));
      answered += 1;
    });
    await later();
    results.push(commit(claim('c')).then(() => undefined));
    await later();
    await later();
    expect((await store.list('', never)).entries.length).toBe(3);
    expect(answered).toBe(0);
    taken.resolve(undefined);
    await Promise.all(results);
    expect(answered).toBe(2);
  });
});

/** A store that takes its time, and remembers how it was at each revision. */
class SlowStore extends MemoryStore {
  readonly states = new Map<bigint, readonly KeyValue[]>();

  override async commit(given: Transaction, signal: AbortSignal): Promise<CommitResult> {
    await later();
    const result = await super.commit(given, signal);
    const { entries, revision } = await this.list('', signal);
    this.states.set(revision, entries);
    return result;
  }
}

const KEYS = ['a', 'a/', 'a/1', 'a/2', 'b', 'c', 'd'];
const key = fc.constantFrom(...KEYS);
const compareArbitrary: fc.Arbitrary<Compare> = fc.oneof(
  key.map((each): Compare => ({ kind: 'absent', key: each })),
  key.map((each): Compare => ({ kind: 'present', key: each })),
  key.map((prefix): Compare => ({ kind: 'emptyPrefix', prefix })),
  fc
    .tuple(key, fc.bigInt(0n, 4n))
    .map(([each, modRevision]): Compare => ({ kind: 'unchanged', key: each, modRevision })),
  fc.tuple(key, fc.bigInt(1n, 6n)).map(([prefix, revision]): Compare => ({ kind: 'notNewer', prefix, revision })),
);
const transactions = fc.array(
  fc
    .record({
      compares: fc.array(compareArbitrary, { maxLength: 2 }),
      written: fc.uniqueArray(key, { maxLength: 3 }),
      deleted: fc.nat(3),
      prefix: fc.option(key, { freq: 8, nil: undefined }),
    })
    .map(({ compares, written, deleted, prefix }): Transaction => ({
      compares,
      puts: putting(...written.slice(deleted)).puts,
      deletes: written.slice(0, deleted),
      ...(prefix === undefined ? {} : { deletePrefixes: [prefix] }),
    })),
  { maxLength: 12 },
);

/** What stands where a compare looks. */
const seenBy = (compare: Compare, state: readonly KeyValue[]): readonly KeyValue[] =>
  'prefix' in compare
    ? state.filter(
        (entry) =>
          entry.key.startsWith(compare.prefix) &&
          (compare.kind === 'emptyPrefix' || entry.modRevision > compare.revision),
      )
    : state.filter((entry) => entry.key === compare.key);
const failureIn = (state: readonly KeyValue[], { compares }: Transaction) =>
  failureOf(
    compares,
    compares.map((compare) => seenBy(compare, state)),
  );
const keysOf = (state: readonly KeyValue[]) => state.map((entry) => `${entry.key}@${String(entry.modRevision)}`);

/** The state with a transaction's writes at `revision`. */
function after(state: readonly KeyValue[], done: Transaction, revision: bigint): readonly KeyValue[] {
  const { puts, deletes, deletePrefixes = [] } = done;
  const put = puts.map(({ key: name }) => name);
  const kept = state.filter(
    ({ key: name }) =>
      !put.includes(name) && !deletes.includes(name) && !deletePrefixes.some((prefix) => name.startsWith(prefix)),
  );
  const added = puts.map((each) => ({ ...each, createRevision: revision, modRevision: revision }));
  return [...kept, ...added].toSorted((one, other) => (one.key < other.key ? -1 : 1));
}

describe('whatever is asked for together', () => {
  it('is answered as if each had been committed by itself, one after another', async () => {
    const seen = { shared: 0, lost: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(transactions, fc.integer({ min: 1, max: 3 }), fc.boolean(), async (drawn, flights, forward) => {
        const store = new SlowStore();
        const groups = new GroupCommit({ store, flights });
        await store.commit(putting('a/', 'b'), never);
        // Each with a key of its own, so that every group has a revision of its own.
        const asked = drawn.map((each, index) => ({ ...each, puts: [...each.puts, ...putting(String(index)).puts] }));
        const answers = await Promise.all(asked.map((each) => outcome(groups.commit(each, { signal: never }))));
        const committed = new Map<bigint, Transaction[]>();
        for (const [index, answer] of answers.entries()) {
          const given = asked[index] ?? transaction({});
          if (answer instanceof StoreRefused) {
            seen.refused += 1;
            continue;
          }
          const result = answer as CommitResult;
          const state = store.states.get(result.revision) ?? [];
          if (result.committed) {
            committed.set(result.revision, [...(committed.get(result.revision) ?? []), given]);
          } else {
            seen.lost += 1;
            const expected = failureIn(state, given);
            expect(result.failed).toEqual(expected.failed);
            expect(result.failed).not.toEqual([]);
            expect(keysOf(result.found).toSorted()).toEqual(keysOf(expected.found).toSorted());
          }
        }
        for (const [revision, members] of committed) {
          let state = store.states.get(revision - 1n) ?? [];
          if (members.length > 1) seen.shared += members.length;
          // In either order: what travels together makes no difference to each other.
          for (const member of forward ? members : members.toReversed()) {
            expect(failureIn(state, member).failed).toEqual([]);
            state = after(state, member, revision);
          }
          expect(keysOf(state)).toEqual(keysOf(store.states.get(revision) ?? []));
        }
      }),
      { numRuns: 300 },
    );
    expect(Math.min(seen.shared, seen.lost, seen.refused)).toBeGreaterThan(50);
  });
});
