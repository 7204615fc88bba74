/** Reading and committing, as every Store does it: one suite that runs on each implementation. */
import { describe, expect, it } from 'vitest';
import {
  Bench,
  bytes,
  eventsOf,
  never,
  putting,
  take,
  textOf,
  transaction,
  type StoreUnderTest,
} from './contract-bench.testing.js';
import { StoreRefused, type Compare, type Transaction } from './store.js';
import { FOUND_LIMIT } from './transaction.js';

const MAX_OPERATIONS = 128;
const MAX_TRANSACTION_BYTES = 1_048_576;

export function describeStore(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} as a Store`, () => {
    const bench = new Bench(open);
    describe('get', () => {
      it('gives the entry with its revisions, as of the last change', async () => {
        const created = await bench.put(`${bench.at}a`);
        const changed = (await bench.commit({ puts: [{ key: `${bench.at}a`, value: bytes('new') }] })).revision;
        const { entry, revision } = await bench.store.get(`${bench.at}a`, never);
        expect(changed).toBe(created + 1n);
        expect(revision).toBe(changed);
        expect(entry).toMatchObject({ key: `${bench.at}a`, createRevision: created, modRevision: changed });
        expect(textOf(entry?.value)).toBe('new');
      });

      it('gives nothing, at a revision, for what is not there', async () => {
        const revision = await bench.put(`${bench.at}a`);
        expect(await bench.store.get(`${bench.at}b`, never)).toEqual({ entry: undefined, revision });
      });

      it('keeps bytes that are no text, and none at all', async () => {
        const binary = Uint8Array.from({ length: 256 }, (_, index) => index);
        await bench.commit({
          puts: [
            { key: `${bench.at}binary`, value: binary },
            { key: `${bench.at}empty`, value: new Uint8Array() },
          ],
        });
        const [kept, empty] = (await bench.store.list(bench.at, never)).entries;
        expect(Buffer.compare(kept?.value ?? bytes(''), binary)).toBe(0);
        expect(empty?.value).toHaveLength(0);
      });
    });

    describe('list', () => {
      it('gives just the keys under the prefix, in the order of their bytes', async () => {
        const inside = ['a/', 'a/1', 'a/10', 'a/2', 'a/é', 'a/日', 'a/😀'].map((key) => bench.at + key);
        const outside = ['a', 'a.', 'a0', 'b/1', 'A/1'].map((key) => bench.at + key);
        const revision = await bench.put(...outside, ...[...inside].reverse());
        const listing = await bench.store.list(`${bench.at}a/`, never);
        expect(listing.entries.map(({ key }) => key)).toEqual(inside);
        expect(listing.revision).toBe(revision);
      });

      it('tells what there was at an earlier revision, until history is compacted from there', async () => {
        const first = await bench.put(`${bench.at}a`, `${bench.at}b`);
        const second = await bench.commit({
          puts: [{ key: `${bench.at}a`, value: bytes('2') }],
          deletes: [`${bench.at}b`],
        });
        await bench.put(`${bench.at}c`);
        const then = await bench.store.list(bench.at, never, first);
        expect(then.revision).toBe(first);
        expect(then.entries.map(({ key, value, modRevision }) => [key, textOf(value), modRevision])).toEqual([
          [`${bench.at}a`, `${bench.at}a`, first],
          [`${bench.at}b`, `${bench.at}b`, first],
        ]);
        await bench.under.compact(second.revision);
        const { entries } = await bench.store.list(bench.at, never, second.revision);
        expect(entries.map(({ key, value }) => [key, textOf(value)])).toEqual([[`${bench.at}a`, '2']]);
        for (const at of [first, second.revision + 1_000n]) {
          await expect(bench.store.list(bench.at, never, at)).rejects.toBeInstanceOf(StoreRefused);
        }
        await expect(bench.store.list(bench.at, never, 0n)).rejects.toThrow(RangeError);
      });

      it('gives an empty listing at a revision', async () => {
        const revision = await bench.put(`${bench.at}other`);
        expect(await bench.store.list(`${bench.at}nothing/`, never)).toEqual({ entries: [], revision });
      });

      it('gives everything for the empty prefix', async () => {
        await bench.put(`${bench.at}a`, `\u0001${bench.at}`);
        expect(await bench.keysUnder('')).toEqual(expect.arrayContaining([`${bench.at}a`, `\u0001${bench.at}`]));
      });

      it('is complete and ordered beyond 5 MB, and beyond any page', async () => {
        const large = Buffer.alloc(400_000, 7);
        const small = Array.from({ length: 2_560 }, (_, index) => `${bench.at}n${String(index).padStart(5, '0')}`);
        for (let first = 0; first < small.length; first += MAX_OPERATIONS) {
          await bench.put(...small.slice(first, first + MAX_OPERATIONS));
        }
        const big = Array.from({ length: 15 }, (_, index) => `${bench.at}z${String(index).padStart(2, '0')}`);
        for (const key of big) await bench.commit({ puts: [{ key, value: large }] });
        const { entries } = await bench.store.list(bench.at, never);
        expect(entries.map(({ key }) => key)).toEqual([...small, ...big]);
        expect(entries.reduce((sum, { value }) => sum + value.length, 0)).toBeGreaterThan(6_000_000);
      });
    });

    describe('revisions', () => {
      const at = async (revision: bigint, prefix = bench.at): Promise<[string, bigint][]> => {
        const found: [string, bigint][] = [];
        for await (const page of bench.store.revisions({ prefix, at: revision, signal: never })) {
          for (const { key, modRevision } of page) found.push([key.slice(bench.at.length), modRevision]);
        }
        return found;
      };

      it('tell which keys there were at an earlier revision, and when each was written', async () => {
        const first = await bench.put(...['a', 'b', 'c/1', 'c/2'].map((key) => bench.at + key));
        const second = await bench.put(`${bench.at}b`, `${bench.at}d`);
        const third = (await bench.commit({ deletes: [`${bench.at}a`], deletePrefixes: [`${bench.at}c/`] })).revision;
        const fourth = await bench.put(`${bench.at}a`);
        expect(await at(first)).toEqual(['a', 'b', 'c/1', 'c/2'].map((key) => [key, first]));
        const later = [
          ['a', first],
          ['b', second],
          ['c/1', first],
          ['c/2', first],
          ['d', second],
        ];
        expect(await at(second)).toEqual(later);
        expect(await at(third)).toEqual([
          ['b', second],
          ['d', second],
        ]);
        expect(await at(fourth)).toEqual([
          ['a', fourth],
          ['b', second],
          ['d', second],
        ]);
        expect(await at(second, `${bench.at}c/`)).toEqual([
          ['c/1', first],
          ['c/2', first],
        ]);
        expect(await at(first - 1n)).toEqual([]);
      });

      it('are complete beyond any page', async () => {
        const keys = Array.from({ length: 2_304 }, (_, index) => `n${String(index).padStart(5, '0')}`);
        let revision = 0n;
        for (let first = 0; first < keys.length; first += MAX_OPERATIONS) {
          revision = await bench.put(...keys.slice(first, first + MAX_OPERATIONS).map((key) => bench.at + key));
        }
        await bench.commit({ deletePrefixes: [bench.at] });
        expect((await at(revision)).map(([key]) => key)).toEqual(keys);
      });

      it('are refused where they are compacted, and where they are yet to come', async () => {
        const first = await bench.put(`${bench.at}a`);
        const second = await bench.put(`${bench.at}a`);
        await expect(at(second + 1n)).rejects.toBeInstanceOf(StoreRefused);
        await bench.under.compact(second);
        await expect(at(first)).rejects.toBeInstanceOf(StoreRefused);
        expect(await at(second)).toEqual([['a', second]]);
        await expect(at(0n)).rejects.toThrow(RangeError);
      });
    });

    describe('count and oldest', () => {
      it('count just the keys under the prefix', async () => {
        await bench.put(...['a', 'a/', 'a/1', 'a/2', 'a0', 'b'].map((key) => bench.at + key));
        expect(await bench.store.count(`${bench.at}a/`, never)).toBe(3);
        expect(await bench.store.count(`${bench.at}nothing/`, never)).toBe(0);
        expect(await bench.store.count(bench.at, never)).toBe(6);
        expect(await bench.store.count('', never)).toBeGreaterThanOrEqual(6);
      });

      it('name those that were written longest ago, also where others were made earlier', async () => {
        for (const key of ['p/3', 'p/1', 'p/4', 'p/2', 'q']) await bench.put(bench.at + key);
        await bench.put(`${bench.at}p/3`);
        const named = async (limit: number): Promise<string[]> =>
          (await bench.store.oldest(`${bench.at}p/`, limit, never)).map((key) => key.slice(bench.at.length));
        expect(await named(2)).toEqual(['p/1', 'p/4']);
        expect(await named(100)).toEqual(['p/1', 'p/4', 'p/2', 'p/3']);
        expect(await bench.store.oldest(`${bench.at}nothing/`, 1, never)).toEqual([]);
        await expect(named(0)).rejects.toThrow(RangeError);
      });
    });

    describe('commit', () => {
      it('deletes everything under a prefix at one revision, and tells nothing of what is not there', async () => {
        const from = await bench.put(...['a', 'a/', 'a/2', 'a/1', 'a0', 'b/1'].map((key) => bench.at + key));
        const result = await bench.commit({
          puts: [{ key: `${bench.at}c`, value: bytes('1') }],
          deletes: [`${bench.at}a/2`],
          deletePrefixes: [`${bench.at}a/`, `${bench.at}nothing/`, `${bench.at}a/1`],
        });
        expect(result).toEqual({ committed: true, revision: from + 1n });
        expect(await bench.keysUnder(bench.at)).toEqual(['a', 'a0', 'b/1', 'c'].map((key) => bench.at + key));
        const watch = bench.store.watch({ prefix: bench.at, from: from + 1n, signal: never });
        const [batch] = await take(watch, () => true);
        expect(batch === undefined ? [] : eventsOf(batch)).toEqual(
          ['+c=1', '-a/2', '-a/', '-a/1'].map((event) => `${event.slice(0, 1)}${bench.at}${event.slice(1)}`),
        );
        expect(await bench.commit({ deletePrefixes: [`${bench.at}nothing/`] })).toEqual({
          committed: true,
          revision: result.revision,
        });
      });

      it('deletes thousands of keys at one revision, which a watch tells whole', async () => {
        const keys = Array.from({ length: 3_000 }, (_, index) => `${bench.at}p/${String(index).padStart(4, '0')}`);
        for (let first = 0; first < keys.length; first += MAX_OPERATIONS) {
          await bench.put(...keys.slice(first, first + MAX_OPERATIONS));
        }
        const { revision } = await bench.commit({ deletePrefixes: [`${bench.at}p/`] });
        const watch = bench.store.watch({ prefix: bench.at, from: revision, signal: never });
        const [batch] = await take(watch, () => true);
        expect(batch?.revision).toBe(revision);
        expect(batch === undefined ? [] : eventsOf(batch)).toEqual(keys.map((key) => `-${key}`));
      });

      it('puts and deletes at one revision', async () => {
        await bench.put(`${bench.at}old`);
        const result = await bench.commit({
          puts: [{ key: `${bench.at}new`, value: bytes('1') }],
          deletes: [`${bench.at}old`, `${bench.at}never`],
        });
        expect(result.committed).toBe(true);
        const { entries, revision } = await bench.store.list(bench.at, never);
        expect(entries.map(({ key }) => key)).toEqual([`${bench.at}new`]);
        expect(revision).toBe(result.revision);
      });

      it('makes no revision when nothing changes', async () => {
        const revision = await bench.put(`${bench.at}a`);
        expect(await bench.commit({})).toEqual({ committed: true, revision });
        expect(await bench.commit({ deletes: [`${bench.at}never`] })).toEqual({ committed: true, revision });
        expect(await bench.commit({ compares: [{ kind: 'present', key: `${bench.at}a` }] })).toEqual({
          committed: true,
          revision,
        });
        expect((await bench.store.get(`${bench.at}a`, never)).revision).toBe(revision);
      });

      it('starts a key anew after it was deleted', async () => {
        const first = await bench.put(`${bench.at}a`);
        await bench.commit({ deletes: [`${bench.at}a`] });
        const second = await bench.put(`${bench.at}a`);
        expect((await bench.store.get(`${bench.at}a`, never)).entry).toMatchObject({
          createRevision: second,
          modRevision: second,
        });
        const stale: Compare = { kind: 'unchanged', key: `${bench.at}a`, modRevision: first };
        expect((await bench.commit({ compares: [stale] })).committed).toBe(false);
      });

      describe('compares', () => {
        /** Beside `a`: its neighbours in key order, which no compare of `a` or `a/` may see. */
        const neighbours = ['a.', 'a0', 'aa', 'b'];
        const cases: { says: string; there: string[]; compare: (revision: bigint) => Compare; holds: boolean }[] = [
          { says: 'absent', there: [], compare: () => ({ kind: 'absent', key: `${bench.at}a` }), holds: true },
          { says: 'absent', there: ['a'], compare: () => ({ kind: 'absent', key: `${bench.at}a` }), holds: false },
          { says: 'absent', there: ['a/1'], compare: () => ({ kind: 'absent', key: `${bench.at}a` }), holds: true },
          { says: 'present', there: ['a'], compare: () => ({ kind: 'present', key: `${bench.at}a` }), holds: true },
          { says: 'present', there: ['a/1'], compare: () => ({ kind: 'present', key: `${bench.at}a` }), holds: false },
          {
            says: 'unchanged',
            there: ['a'],
            compare: (modRevision) => ({ kind: 'unchanged', key: `${bench.at}a`, modRevision }),
            holds: true,
          },
          {
            says: 'unchanged, one revision off,',
            there: ['a'],
            compare: (revision) => ({ kind: 'unchanged', key: `${bench.at}a`, modRevision: revision - 1n }),
            holds: false,
          },
          {
            says: 'unchanged',
            there: [],
            compare: (modRevision) => ({ kind: 'unchanged', key: `${bench.at}a`, modRevision }),
            holds: false,
          },
          {
            says: 'unchanged since never',
            there: [],
            compare: () => ({ kind: 'unchanged', key: `${bench.at}a`, modRevision: 0n }),
            holds: true,
          },
          {
            says: 'emptyPrefix',
            there: [],
            compare: () => ({ kind: 'emptyPrefix', prefix: `${bench.at}a/` }),
            holds: true,
          },
          {
            says: 'emptyPrefix',
            there: ['a'],
            compare: () => ({ kind: 'emptyPrefix', prefix: `${bench.at}a/` }),
            holds: true,
          },
          {
            says: 'emptyPrefix',
            there: ['a/'],
            compare: () => ({ kind: 'emptyPrefix', prefix: `${bench.at}a/` }),
            holds: false,
          },
          {
            says: 'emptyPrefix',
            there: ['a/1', 'a/2'],
            compare: () => ({ kind: 'emptyPrefix', prefix: `${bench.at}a/` }),
            holds: false,
          },
          {
            says: 'notNewer than now',
            there: ['a', 'a/', 'a/1'],
            compare: (revision) => ({ kind: 'notNewer', prefix: `${bench.at}a/`, revision }),
            holds: true,
          },
          {
            says: 'notNewer than before',
            there: ['a/', 'a/1'],
            compare: (revision) => ({ kind: 'notNewer', prefix: `${bench.at}a/`, revision: revision - 1n }),
            holds: false,
          },
          {
            says: 'notNewer than before',
            there: ['a'],
            compare: (revision) => ({ kind: 'notNewer', prefix: `${bench.at}a/`, revision: revision - 1n }),
            holds: true,
          },
          {
            says: 'notNewer than nothing',
            there: [],
            compare: () => ({ kind: 'notNewer', prefix: `${bench.at}a/`, revision: 0n }),
            holds: true,
          },
          {
            says: 'notNewer than nothing',
            there: ['a/1', 'a/2'],
            compare: () => ({ kind: 'notNewer', prefix: `${bench.at}a/`, revision: 0n }),
            holds: false,
          },
        ];
        it.each(cases)('$says with $there there: $holds', async ({ there, compare, holds }) => {
          const revision = await bench.put(...[...neighbours, ...there].map((key) => bench.at + key));
          const condition = compare(revision);
          const result = await bench.commit({
            compares: [condition],
            puts: [{ key: `${bench.at}written`, value: bytes('1') }],
            deletes: [`${bench.at}b`],
          });
          if (holds) {
            expect(result).toEqual({ committed: true, revision: revision + 1n });
            expect(await bench.keysUnder(`${bench.at}written`)).toEqual([`${bench.at}written`]);
            expect(await bench.keysUnder(`${bench.at}b`)).toEqual([]);
            return;
          }
          expect(result).toMatchObject({ committed: false, revision, failed: [condition] });
          const found = result.committed ? [] : result.found.map(({ key }) => key);
          // A key that should be there and is not leaves nothing to be found.
          expect(found).toEqual(condition.kind === 'present' ? [] : there.map((key) => bench.at + key));
          expect(await bench.keysUnder(`${bench.at}written`)).toEqual([]);
          expect(await bench.keysUnder(`${bench.at}b`)).toEqual([`${bench.at}b`]);
        });

        it('name just those that failed, in order, and what stands there, each key once', async () => {
          const revision = await bench.put(`${bench.at}x`, `${bench.at}y`, `${bench.at}p/1`);
          const held: Compare[] = [
            { kind: 'present', key: `${bench.at}x` },
            { kind: 'absent', key: `${bench.at}z` },
            { kind: 'emptyPrefix', prefix: `${bench.at}q/` },
          ];
          const failing: Compare[] = [
            { kind: 'unchanged', key: `${bench.at}y`, modRevision: 1n },
            { kind: 'absent', key: `${bench.at}y` },
            { kind: 'present', key: `${bench.at}z` },
            { kind: 'emptyPrefix', prefix: `${bench.at}p/` },
          ];
          const compares = failing.flatMap((compare, index) => [compare, ...held.slice(index, index + 1)]);
          const result = await bench.commit({ compares, puts: [{ key: `${bench.at}w`, value: bytes('1') }] });
          expect(result).toMatchObject({ committed: false, revision, failed: failing });
          const found = result.committed ? [] : result.found;
          expect(found.map(({ key, value, modRevision }) => [key, textOf(value), modRevision])).toEqual([
            [`${bench.at}y`, `${bench.at}y`, revision],
            [`${bench.at}p/1`, `${bench.at}p/1`, revision],
          ]);
        });

        it('find what is newer among what is not, and see no delete', async () => {
          const keys = ['1', '2', '3', '4'].map((key) => `${bench.at}p/${key}`);
          const seen = await bench.put(...keys);
          const [first = '', second = '', third = ''] = keys;
          const notNewer: Compare = { kind: 'notNewer', prefix: `${bench.at}p/`, revision: seen };
          await bench.commit({ deletes: [first] });
          expect((await bench.commit({ compares: [notNewer] })).committed).toBe(true);
          await bench.put(third);
          await bench.put(second);
          const result = await bench.commit({ compares: [notNewer] });
          expect(result).toMatchObject({ committed: false, failed: [notNewer] });
          expect(result.committed ? [] : result.found.map(({ key }) => key)).toEqual([second, third]);
        });

        it('report only the first keys of a full prefix', async () => {
          const keys = Array.from({ length: 100 }, (_, index) => `${bench.at}p/${String(index).padStart(3, '0')}`);
          await bench.put(...keys);
          const prefix = `${bench.at}p/`;
          for (const compare of [
            { kind: 'emptyPrefix', prefix } as const,
            { kind: 'notNewer', prefix, revision: 1n } as const,
          ]) {
            const result = await bench.commit({ compares: [compare] });
            expect(result.committed ? [] : result.found.map(({ key }) => key)).toEqual(keys.slice(0, FOUND_LIMIT));
          }
        });
      });

      it('takes 128 compares and 128 operations', async () => {
        const keys = Array.from({ length: MAX_OPERATIONS }, (_, index) => `${bench.at}k${String(index)}`);
        const compares = keys.map((key): Compare => ({ kind: 'absent', key }));
        const whole = { ...putting(...keys), compares };
        expect((await bench.store.commit(whole, never)).committed).toBe(true);
        const again = await bench.store.commit(whole, never);
        expect(again.committed ? [] : again.failed).toEqual(compares);
        expect(again.committed ? [] : again.found).toHaveLength(MAX_OPERATIONS);
      });

      it('takes as many compares and operations as it says, once it has been refused more', async () => {
        const wholeOf = (count: number): Transaction => {
          const keys = names(count);
          return { ...putting(...keys), compares: keys.map((key): Compare => ({ kind: 'absent', key })) };
        };
        const first = await bench.store.commit(wholeOf(most()), never).catch((error: unknown) => error);
        if (first instanceof StoreRefused) expect(most()).toBe(MAX_OPERATIONS);
        const fits = most();
        await bench.store.commit(wholeOf(fits), never);
        const again = await bench.store.commit(wholeOf(fits), never);
        expect(again.committed ? [] : again.found).toHaveLength(fits);
        expect(most()).toBe(fits);
      });

      const names = (count: number, kind = '') =>
        Array.from({ length: count }, (_, index) => `${bench.at}${kind}${String(index)}`);
      const most = () => bench.store.operationsMax ?? MAX_OPERATIONS;
      const refused: [string, () => Transaction][] = [
        ['too many operations', () => putting(...names(most() + 1))],
        [
          'too many operations of both kinds',
          () => ({ ...putting(...names(most() - 63, 'p')), deletes: names(64, 'd') }),
        ],
        [
          'too many compares',
          () => transaction({ compares: names(most() + 1).map((key) => ({ kind: 'absent', key })) }),
        ],
        ['a key put twice', () => putting(`${bench.at}a`, `${bench.at}a`)],
        ['a key put and deleted', () => ({ ...putting(`${bench.at}a`), deletes: [`${bench.at}a`] })],
        ['a key deleted twice', () => transaction({ deletes: [`${bench.at}a`, `${bench.at}a`] })],
        ['a key without a name', () => putting('')],
        ['every key as a prefix to delete', () => transaction({ deletePrefixes: [''] })],
        [
          'a key put under a prefix deleted',
          () => ({ ...putting(`${bench.at}a/1`), deletePrefixes: [`${bench.at}a/`] }),
        ],
        [
          'a key put that is a prefix deleted',
          () => ({ ...putting(`${bench.at}a`), deletePrefixes: [`${bench.at}a`] }),
        ],
        [
          'too many operations of three kinds',
          () => ({
            ...putting(...names(most() - 64, 'p')),
            deletes: names(64, 'd'),
            deletePrefixes: [`${bench.at}x/`],
          }),
        ],
        [
          'too many bytes',
          () => transaction({ puts: [{ key: `${bench.at}a`, value: Buffer.alloc(MAX_TRANSACTION_BYTES) }] }),
        ],
      ];
      it.each(refused)('refuses %s, and writes nothing', async (_, make) => {
        const revision = await bench.put(`${bench.at}before`);
        await expect(bench.store.commit(make(), never)).rejects.toBeInstanceOf(StoreRefused);
        expect((await bench.store.list(bench.at, never)).entries.map(({ key }) => key)).toEqual([`${bench.at}before`]);
        expect((await bench.store.get(bench.at, never)).revision).toBe(revision);
      });

      it('takes one transaction of the largest size', async () => {
        const key = `${bench.at}a`;
        const value = Buffer.alloc(MAX_TRANSACTION_BYTES - key.length, 1);
        expect((await bench.commit({ puts: [{ key, value }] })).committed).toBe(true);
        expect((await bench.store.get(key, never)).entry?.value).toHaveLength(value.length);
      });

      it('lets exactly one of many win a guard', async () => {
        const guard: Compare = { kind: 'absent', key: `${bench.at}guard` };
        const results = await Promise.all(
          Array.from({ length: 50 }, (_, index) =>
            bench.commit({ compares: [guard], puts: [{ key: guard.key, value: bytes(String(index)) }] }),
          ),
        );
        const winners = results.filter(({ committed }) => committed);
        const winner = results.findIndex(({ committed }) => committed);
        expect(winners).toHaveLength(1);
        const { entry } = await bench.store.get(guard.key, never);
        expect(textOf(entry?.value)).toBe(String(winner));
        for (const result of results) {
          if (!result.committed) expect(result.found).toEqual([entry]);
        }
      });

      it('lets concurrent rewrites of one key lose nothing', async () => {
        await bench.commit({ puts: [{ key: `${bench.at}counter`, value: bytes('0') }] });
        const increment = async (): Promise<void> => {
          while (true) {
            const { entry } = await bench.store.get(`${bench.at}counter`, never);
            const value = bytes(String(Number(textOf(entry?.value)) + 1));
            const unchanged: Compare = {
              kind: 'unchanged',
              key: `${bench.at}counter`,
              modRevision: entry?.modRevision ?? 0n,
            };
            const result = await bench.commit({ compares: [unchanged], puts: [{ key: `${bench.at}counter`, value }] });
            if (result.committed) return;
          }
        };
        await Promise.all(Array.from({ length: 8 }, increment));
        expect(textOf((await bench.store.get(`${bench.at}counter`, never)).entry?.value)).toBe('8');
      });
    });
  });
}
