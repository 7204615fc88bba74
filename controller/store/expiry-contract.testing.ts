/** Keys that go by themselves, as every Store lets them go: one suite that runs on each implementation. */
import { describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { Bench, bytes, eventsOf, never, take, type StoreUnderTest } from './contract-bench.testing.js';
import { StoreRefused, type WatchBatch } from './store.js';

/** A key of this time to live goes after 1 to 1.5 seconds on an etcd of quick elections. */
const TTL_MS = 400;
const LATEST_MS = TTL_MS * 1.125 + 2_000;
/** For a machine that is busy with something else. */
const SLACK_MS = 1_000;

export function describeExpiry(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} and keys that go by themselves`, () => {
    const bench = new Bench(open);
    const brief = (key: string, value = key) => ({ key: bench.at + key, value: bytes(value), ttlMs: TTL_MS });
    const lasting = (key: string) => ({ key: bench.at + key, value: bytes('lasting') });
    /** What a watch tells from `from` on until it told of the delete of `last`. */
    const until = (from: bigint, last: string): Promise<WatchBatch[]> =>
      take(bench.store.watch({ prefix: bench.at, from, signal: never }), (batches) =>
        batches.some(({ events }) => events.some((each) => each.kind === 'delete' && each.key === bench.at + last)),
      );

    it('lets one go in time, as a delete at a revision of its own', async () => {
      const startedAt = performance.now();
      const { revision } = await bench.commit({ puts: [brief('a'), lasting('b')] });
      const batches = await until(revision, 'a');
      const tookMs = performance.now() - startedAt;
      expect(tookMs).toBeGreaterThanOrEqual(TTL_MS);
      expect(tookMs).toBeLessThan(LATEST_MS + SLACK_MS);
      expect(batches.map(eventsOf)).toEqual([[`+${bench.at}a=a`, `+${bench.at}b=lasting`], [`-${bench.at}a`]]);
      expect(batches[1]?.revision).toBe(revision + 1n);
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}b`]);
      const gone = await bench.commit({ compares: [{ kind: 'absent', key: `${bench.at}a` }] });
      expect(gone).toEqual({ committed: true, revision: revision + 1n });
    });

    it('lets those that were put together go together, in the order of their keys', async () => {
      const keys = ['c', 'a', 'b', 'a/1'];
      const { revision } = await bench.commit({ puts: keys.map((key) => brief(key)) });
      const [, gone, ...more] = await until(revision, 'c');
      expect(gone === undefined ? [] : eventsOf(gone)).toEqual(
        ['a', 'a/1', 'b', 'c'].map((key) => `-${bench.at}${key}`),
      );
      expect(more).toEqual([]);
    });

    it('goes by what was written last', async () => {
      const keys = ['deleted', 'renewed', 'stays', 'swept/1'];
      const first = await bench.commit({ puts: [...keys, 'goes'].map((key) => brief(key)) });
      const { revision } = await bench.commit({
        puts: [lasting('stays'), { ...brief('renewed', 'anew'), ttlMs: 60_000 }],
        deletes: [`${bench.at}deleted`],
        deletePrefixes: [`${bench.at}swept/`],
      });
      await bench.commit({ puts: [lasting('deleted')] });
      const batches = await until(first.revision, 'goes');
      expect(batches.slice(1).map(eventsOf)).toEqual([
        [`+${bench.at}stays=lasting`, `+${bench.at}renewed=anew`, `-${bench.at}deleted`, `-${bench.at}swept/1`],
        [`+${bench.at}deleted=lasting`],
        [`-${bench.at}goes`],
      ]);
      expect(batches.map((batch) => batch.revision)).toEqual([0n, 1n, 2n, 3n].map((more) => first.revision + more));
      expect(revision).toBe(first.revision + 1n);
      expect(await bench.keysUnder(bench.at)).toEqual(['deleted', 'renewed', 'stays'].map((key) => bench.at + key));
    });

    it('gives a lasting key an end, and starts the time of a brief one anew', async () => {
      await bench.commit({ puts: [lasting('a'), brief('b')] });
      await pause(TTL_MS / 2, never);
      const againAt = performance.now();
      const { revision } = await bench.commit({ puts: [brief('a'), brief('b', 'again')] });
      await Promise.all([until(revision, 'a'), until(revision, 'b')]);
      expect(performance.now() - againAt).toBeGreaterThanOrEqual(TTL_MS);
      expect(await bench.keysUnder(bench.at)).toEqual([]);
    });

    it('changes nothing where a compare does not hold', async () => {
      await bench.commit({ puts: [lasting('a'), brief('b')] });
      const compares = [{ kind: 'absent', key: `${bench.at}a` }] as const;
      const failed = await bench.commit({ compares, puts: [brief('a'), lasting('b')] });
      expect(failed).toMatchObject({ committed: false, failed: compares });
      await until(failed.revision, 'b');
      await pause(LATEST_MS, never);
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}a`]);
    });

    it('keeps each of several times to live in one transaction', async () => {
      const { revision } = await bench.commit({
        puts: [brief('soon'), { ...brief('later'), ttlMs: 3 * TTL_MS }, { ...brief('in a day'), ttlMs: 86_400_000 }],
      });
      const batches = await until(revision, 'later');
      expect(batches.slice(1).map(eventsOf)).toEqual([[`-${bench.at}soon`], [`-${bench.at}later`]]);
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}in a day`]);
    });

    it('outlasts the longest timer there is', async () => {
      await bench.commit({ puts: [{ ...brief('a'), ttlMs: 2 ** 31 + 1_000 }] });
      await pause(50, never);
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}a`]);
    });

    it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d ms', async (ttlMs) => {
      await expect(bench.commit({ puts: [{ ...brief('a'), ttlMs }] })).rejects.toBeInstanceOf(StoreRefused);
      expect(await bench.keysUnder(bench.at)).toEqual([]);
    });
  });
}
