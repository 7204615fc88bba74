/** Leases, as every Store grants, renews and ends them: one suite that runs on each implementation. */
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { Bench, bytes, eventsOf, never, take, transaction, type StoreUnderTest } from './contract-bench.testing.js';
import { GroupCommit } from './group-commit.js';
import { LeaseLost, StoreRefused, type Lease, type Put, type WatchBatch } from './store.js';

/** etcd looks twice a second for what has ended; the rest is for a machine that is busy with something else. */
const LATE_MS = 2_000;

/** `ttlMs`: of most leases here; whole seconds for etcd. */
export function describeLeases(name: string, open: () => Promise<StoreUnderTest>, ttlMs: number): void {
  describe(`${name} and leases`, () => {
    const bench = new Bench(open);
    const grant = (kept = true): Promise<Lease> => bench.store.grantLease({ ttlMs, kept }, never);
    const on = (lease: Lease, key: string): Put => ({ key: bench.at + key, value: bytes(key), lease });
    const lasting = (key: string): Put => ({ key: bench.at + key, value: bytes(key) });
    /** When the watch tells that this key is gone, and with it. */
    const goneAt = async (from: bigint, key: string): Promise<{ at: number; batches: WatchBatch[] }> => {
      const batches = await take(bench.store.watch({ prefix: bench.at, from, signal: never }), (told) =>
        told.some(({ events }) => events.some((each) => each.kind === 'delete' && each.key === bench.at + key)),
      );
      return { at: performance.now(), batches };
    };
    /** When it is lost. */
    const lostAt = async ({ lost }: Lease): Promise<number> => {
      if (!lost.aborted) await once(lost, 'abort');
      expect(lost.reason).toBeInstanceOf(LeaseLost);
      return performance.now();
    };

    it('keep their keys for as long as they are kept, and without a revision', async () => {
      await using lease = await grant();
      expect(lease.ttlMs).toBe(ttlMs);
      const { revision } = await bench.commit({ puts: [on(lease, 'a'), on(lease, 'b')] });
      for (const startedAt = performance.now(); performance.now() - startedAt < 3 * ttlMs; await pause(50, never)) {
        expect(lease.remainingMs()).toBeGreaterThan(0);
        expect(lease.remainingMs()).toBeLessThan(ttlMs);
      }
      expect(lease.lost.aborted).toBe(false);
      expect((await bench.store.list(bench.at, never)).entries.map(({ key }) => key)).toHaveLength(2);
      expect((await bench.store.get(bench.at, never)).revision).toBe(revision);
    });

    it('end with all their keys in one revision when they are disposed of, at once and once', async () => {
      const lease = await grant();
      const keys = ['c', 'a', 'a/1', 'b'];
      const { revision } = await bench.commit({ puts: [...keys.map((key) => on(lease, key)), lasting('stays')] });
      await Promise.all([lease[Symbol.asyncDispose](), lease[Symbol.asyncDispose]()]);
      await lease[Symbol.asyncDispose]();
      expect(lease.lost.reason).toBeInstanceOf(LeaseLost);
      expect(lease.remainingMs()).toBe(0);
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}stays`]);
      const { batches } = await goneAt(revision + 1n, 'a');
      expect(batches.map(eventsOf)).toEqual([['a', 'a/1', 'b', 'c'].map((key) => `-${bench.at}${key}`)]);
      expect(batches[0]?.revision).toBe(revision + 1n);
    });

    it('are lost before their keys go, when nobody renews them', async () => {
      const grantedAt = performance.now();
      const lease = await grant(false);
      const { revision } = await bench.commit({ puts: [on(lease, 'a')] });
      const [lost, gone] = await Promise.all([lostAt(lease), goneAt(revision + 1n, 'a')]);
      expect(lost).toBeLessThan(gone.at);
      expect(lost - grantedAt).toBeGreaterThanOrEqual(ttlMs * 0.9 - 5);
      expect(gone.at - grantedAt).toBeGreaterThanOrEqual(ttlMs);
      expect(gone.at - grantedAt).toBeLessThan(ttlMs + LATE_MS);
      expect(lease.remainingMs()).toBe(0);
      // Disposing of what is lost does nothing, and waits for nothing.
      await lease[Symbol.asyncDispose]();
    });

    it('that are not kept live by signs of life, for at least their time from the last one', async () => {
      const lease = await grant(false);
      const { revision } = await bench.commit({ puts: [on(lease, 'a')] });
      const gone = goneAt(revision + 1n, 'a');
      let lastAt = 0;
      for (let signs = 0; signs < 15; signs += 1) {
        lastAt = performance.now();
        lease.renew();
        await pause(ttlMs / 5, never);
      }
      expect(lease.lost.aborted).toBe(false);
      const goneAfterMs = (await gone).at - lastAt;
      expect(goneAfterMs).toBeGreaterThanOrEqual(ttlMs - 5);
      expect(goneAfterMs).toBeLessThan(ttlMs * (4 / 3) + LATE_MS);
    });

    it('go on with who adopts them, and who abandoned them is not asked', async () => {
      const first = await grant();
      const { revision } = await bench.commit({ puts: [on(first, 'a')] });
      const second = await bench.store.adoptLease(first.id, never);
      if (second === undefined) throw new Error('the lease is there');
      expect({ id: second.id, ttlMs: second.ttlMs }).toEqual({ id: first.id, ttlMs: first.ttlMs });
      first.abandon();
      expect(first.lost.reason).toBeInstanceOf(LeaseLost);
      await first[Symbol.asyncDispose]();
      for (let signs = 0; signs < 10; signs += 1) {
        second.renew();
        await pause(ttlMs / 5, never);
      }
      expect(second.lost.aborted).toBe(false);
      expect((await bench.store.get(`${bench.at}a`, never)).revision).toBe(revision);
      await second[Symbol.asyncDispose]();
      expect(await bench.keysUnder(bench.at)).toEqual([]);
    });

    it('that are abandoned end in their time', async () => {
      const lease = await grant();
      const { revision } = await bench.commit({ puts: [on(lease, 'a')] });
      lease.abandon();
      const abandonedAt = performance.now();
      await expect(bench.commit({ puts: [on(lease, 'b')] })).rejects.toBeInstanceOf(LeaseLost);
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}a`]);
      const gone = await goneAt(revision + 1n, 'a');
      expect(gone.at - abandonedAt).toBeLessThan(ttlMs + LATE_MS);
    });

    it('that are not there are not adopted', async () => {
      const lease = await grant();
      await lease[Symbol.asyncDispose]();
      expect(await bench.store.adoptLease(lease.id, never)).toBeUndefined();
      expect(await bench.store.adoptLease('987654321987654321', never)).toBeUndefined();
    });

    it('that somebody ends are lost as soon as the store says so', async () => {
      await using lease = await grant();
      await bench.commit({ puts: [on(lease, 'a')] });
      const endedAt = performance.now();
      await bench.under.revoke(lease.id);
      expect(await bench.keysUnder(bench.at)).toEqual([]);
      expect((await lostAt(lease)) - endedAt).toBeLessThan(ttlMs * 0.9);
    });

    it('that somebody ended take no key, and a commit that finds so has them lost', async () => {
      await using other = await bench.store.grantLease({ ttlMs: 60_000 }, never);
      await using lease = await bench.store.grantLease({ ttlMs: 60_000 }, never);
      await bench.under.revoke(lease.id);
      const puts = [on(lease, 'a'), lasting('b'), { ...lasting('c'), ttlMs: 60_000 }, on(other, 'd')];
      await expect(bench.commit({ puts })).rejects.toBeInstanceOf(LeaseLost);
      expect(await bench.keysUnder(bench.at)).toEqual([]);
      await expect(bench.commit({ puts: [on(lease, 'a')] })).rejects.toBeInstanceOf(LeaseLost);
      await lostAt(lease);
      expect(other.lost.aborted).toBe(false);
      expect((await bench.commit({ puts: [on(other, 'd')] })).committed).toBe(true);
    });

    it('let go of keys that are put without them, or with another', async () => {
      await using stays = await grant();
      const goes = await grant();
      await bench.commit({ puts: ['off', 'moved', 'goes', 'deleted'].map((key) => on(goes, key)) });
      await bench.commit({ puts: [lasting('off'), on(stays, 'moved')], deletes: [`${bench.at}deleted`] });
      await bench.commit({ puts: [lasting('deleted')] });
      await goes[Symbol.asyncDispose]();
      expect(await bench.keysUnder(bench.at)).toEqual(['deleted', 'moved', 'off'].map((key) => bench.at + key));
      await stays[Symbol.asyncDispose]();
      expect(await bench.keysUnder(bench.at)).toEqual(['deleted', 'off'].map((key) => bench.at + key));
    });

    it('change nothing where a compare does not hold', async () => {
      const lease = await grant();
      await bench.commit({ puts: [lasting('a')] });
      const compares = [{ kind: 'absent', key: `${bench.at}a` }] as const;
      const failed = await bench.commit({ compares, puts: [on(lease, 'a'), on(lease, 'b')] });
      expect(failed).toMatchObject({ committed: false, failed: compares });
      await lease[Symbol.asyncDispose]();
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}a`]);
    });

    it('travel in groups; one that is lost fails alone', async () => {
      const lease = await bench.store.grantLease({ ttlMs: 60_000 }, never);
      const ended = await bench.store.grantLease({ ttlMs: 60_000 }, never);
      await bench.under.revoke(ended.id);
      const groups = new GroupCommit({ store: bench.store, flights: 1 });
      const commit = (put: Put) => groups.commit(transaction({ puts: [put] }), { signal: never });
      const outcomes = await Promise.allSettled([
        commit(lasting('first')),
        ...[on(lease, 'a'), on(ended, 'b'), lasting('c')].map(commit),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
      expect(await bench.keysUnder(bench.at)).toEqual(['a', 'c', 'first'].map((key) => bench.at + key));
      await lease[Symbol.asyncDispose]();
      expect(await bench.keysUnder(bench.at)).toEqual(['c', 'first'].map((key) => bench.at + key));
    });

    it('outlast the longest timer there is', async () => {
      await using lease = await bench.store.grantLease({ ttlMs: 2 ** 33 }, never);
      await bench.commit({ puts: [on(lease, 'a')] });
      await pause(50, never);
      expect(lease.lost.aborted).toBe(false);
      expect(lease.remainingMs()).toBeGreaterThan(2 ** 32);
      expect(await bench.keysUnder(bench.at)).toEqual([`${bench.at}a`]);
    });

    it('are not granted or adopted for who has given up, and lost with the store', async () => {
      const reason = new Error('no longer wanted');
      await expect(bench.store.grantLease({ ttlMs }, AbortSignal.abort(reason))).rejects.toBe(reason);
      await expect(bench.store.adoptLease('1', AbortSignal.abort(reason))).rejects.toBe(reason);
      const store = bench.under.another();
      const lease = await store.grantLease({ ttlMs }, never);
      await store[Symbol.asyncDispose]();
      await lostAt(lease);
      await lease[Symbol.asyncDispose]();
      await expect(store.grantLease({ ttlMs }, never)).rejects.toThrow('closed');
      await expect(store.adoptLease(lease.id, never)).rejects.toThrow('closed');
    });

    it('are not beside a time to live, nor of any other', async () => {
      await using lease = await grant();
      await expect(bench.commit({ puts: [{ ...on(lease, 'a'), ttlMs: 1 }] })).rejects.toBeInstanceOf(StoreRefused);
      for (const none of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        await expect(bench.store.grantLease({ ttlMs: none }, never)).rejects.toBeInstanceOf(StoreRefused);
      }
      expect(await bench.keysUnder(bench.at)).toEqual([]);
    });
  });
}
