/** Watching, compaction, aborting and closing, as every Store does it: one suite that runs on each implementation. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { Bench, bytes, eventsOf, never, putting, take, textOf, type StoreUnderTest } from './contract-bench.testing.js';
import { Compacted, StoreUnavailable, type WatchBatch } from './store.js';

export function describeWatch(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} under watch`, () => {
    const bench = new Bench(open);

    describe('watch', () => {
      it('tells old changes and new ones, a revision at a time', async () => {
        const from = await bench.put(`${bench.at}a`, `${bench.at}b`, `/elsewhere${bench.at}`);
        await bench.put(`/elsewhere${bench.at}`);
        await bench.commit({
          puts: [{ key: `${bench.at}c`, value: bytes('3') }],
          deletes: [`${bench.at}a`, `${bench.at}never`],
        });
        const watching = take(
          bench.store.watch({ prefix: bench.at, from, signal: never }),
          ({ length }) => length === 3,
        );
        const last = await bench.commit({ deletes: [`${bench.at}b`] });
        const batches = await watching;
        expect(batches.map(eventsOf)).toEqual([
          [`+${bench.at}a=${bench.at}a`, `+${bench.at}b=${bench.at}b`],
          [`+${bench.at}c=3`, `-${bench.at}a`],
          [`-${bench.at}b`],
        ]);
        expect(batches.map(({ revision }) => revision)).toEqual([from, from + 2n, last.revision]);
      });

      it('tells what an entry was at each change', async () => {
        const from = await bench.put(`${bench.at}a`);
        await bench.commit({ puts: [{ key: `${bench.at}a`, value: bytes('2') }] });
        const batches = await take(
          bench.store.watch({ prefix: bench.at, from, signal: never }),
          ({ length }) => length === 2,
        );
        const entries = batches.flatMap(({ events }) => events.map((event) => event.kind === 'put' && event.entry));
        expect(entries).toMatchObject([
          { key: `${bench.at}a`, createRevision: from, modRevision: from },
          { key: `${bench.at}a`, createRevision: from, modRevision: from + 1n },
        ]);
      });

      it('tells what a key was before, where that is asked for', async () => {
        const from = await bench.put(`${bench.at}a`, `${bench.at}b`);
        await bench.commit({ puts: [{ key: `${bench.at}a`, value: bytes('2') }], deletes: [`${bench.at}b`] });
        await bench.commit({ puts: [{ key: `${bench.at}b`, value: bytes('3') }], deletePrefixes: [`${bench.at}a`] });
        const asked = { prefix: bench.at, from, signal: never };
        const batches = await take(bench.store.watch({ ...asked, previous: true }), ({ length }) => length === 3);
        const told = batches.map(({ events }) =>
          events.map(({ previous }) => previous && [textOf(previous.value), previous.createRevision - from]),
        );
        expect(batches.map(eventsOf)).toEqual([
          [`+${bench.at}a=${bench.at}a`, `+${bench.at}b=${bench.at}b`],
          [`+${bench.at}a=2`, `-${bench.at}b`],
          [`+${bench.at}b=3`, `-${bench.at}a`],
        ]);
        expect(told).toEqual([
          [undefined, undefined],
          [
            [`${bench.at}a`, 0n],
            [`${bench.at}b`, 0n],
          ],
          [undefined, ['2', 0n]],
        ]);
        expect(batches[2]?.events[1]?.previous).toMatchObject({ key: `${bench.at}a`, modRevision: from + 1n });
        const [first] = await take(bench.store.watch({ ...asked, from: from + 1n }), () => true);
        expect(first?.events.map(({ previous }) => previous)).toEqual([undefined, undefined]);
      });

      it('tells only what begins with the prefix', async () => {
        const from = await bench.put(`${bench.at}a`, `${bench.at}a0`, `${bench.at}a/1`, `${bench.at}b`);
        const [batch] = await take(bench.store.watch({ prefix: `${bench.at}a/`, from, signal: never }), () => true);
        expect(batch === undefined ? [] : eventsOf(batch)).toEqual([`+${bench.at}a/1=${bench.at}a/1`]);
      });

      it('waits for a revision that is yet to come', async () => {
        const now = await bench.put(`${bench.at}a`);
        const watching = take(bench.store.watch({ prefix: bench.at, from: now + 3n, signal: never }), () => true);
        // The watch is asked for before the revision exists, or right after: both must tell the same.
        await pause(50, never);
        for (const key of ['b', 'c', 'd', 'e']) await bench.put(bench.at + key);
        expect((await watching).map(({ revision }) => revision)).toEqual([now + 3n]);
      });

      it('follows many changes of many keys in order, each once', async () => {
        const from = await bench.put(`${bench.at}start`);
        const writers = Array.from({ length: 20 }, async (_, writer) => {
          for (let count = 0; count < 25; count += 1) await bench.put(`${bench.at}${String(writer)}/${String(count)}`);
        });
        const watching = take(
          bench.store.watch({ prefix: bench.at, from: from + 1n, signal: never }),
          ({ length }) => length === 500,
        );
        await Promise.all(writers);
        const batches = await watching;
        expect(batches.map(({ revision }) => revision)).toEqual(
          Array.from({ length: 500 }, (_, index) => from + 1n + BigInt(index)),
        );
        expect(new Set(batches.flatMap(eventsOf)).size).toBe(500);
      });

      it('leaves what one slow consumer has not taken to later, and others to theirs', async () => {
        const from = (await bench.put(`${bench.at}start`)) + 1n;
        const slowly = new AbortController();
        const slow = bench.store.watch({ prefix: bench.at, from, signal: slowly.signal })[Symbol.asyncIterator]();
        const first = slow.next();
        const keys = Array.from({ length: 200 }, (_, index) => bench.at + String(index));
        for (const key of keys) await bench.put(key);
        await first;
        const quick = await take(
          bench.store.watch({ prefix: bench.at, from, signal: never }),
          ({ length }) => length === 200,
        );
        expect(quick).toHaveLength(200);
        for (let count = 1; count < 200; count += 1) {
          const { value } = (await slow.next()) as { value: WatchBatch };
          expect(value.revision).toBe(from + BigInt(count));
        }
        slowly.abort();
        expect((await slow.next()).done).toBe(true);
      });

      it('ends when the signal aborts, whether it waits or is waited for', async () => {
        const from = await bench.put(`${bench.at}a`);
        const waiting = new AbortController();
        const taken = take(bench.store.watch({ prefix: bench.at, from, signal: waiting.signal }), () => false);
        const held = new AbortController();
        const iterator = bench.store.watch({ prefix: bench.at, from, signal: held.signal })[Symbol.asyncIterator]();
        expect((await iterator.next()).done).toBe(false);
        await pause(20, never);
        waiting.abort();
        held.abort();
        expect(await taken).toHaveLength(1);
        expect((await iterator.next()).done).toBe(true);
        expect(await take(bench.store.watch({ prefix: bench.at, from, signal: held.signal }), () => false)).toEqual([]);
      });

      it('ends when the signal aborts while it begins', async () => {
        const from = (await bench.put(`${bench.at}a`)) + 1n;
        for (let turns = 0; turns < 40; turns += 1) {
          const aborting = new AbortController();
          const taken = take(bench.store.watch({ prefix: bench.at, from, signal: aborting.signal }), () => false);
          for (let count = 0; count < turns; count += 1) await (turns % 2 === 0 ? Promise.resolve() : nextTurn());
          aborting.abort();
          expect(await taken).toEqual([]);
        }
      });

      it('knows no revision 0', async () => {
        await expect(
          take(bench.store.watch({ prefix: bench.at, from: 0n, signal: never }), () => true),
        ).rejects.toThrow(RangeError);
      });
    });

    describe('aborting', () => {
      it('rejects each call with the reason', async () => {
        const reason = new Error('no longer wanted');
        const aborted = AbortSignal.abort(reason);
        await expect(bench.store.get(`${bench.at}a`, aborted)).rejects.toBe(reason);
        await expect(bench.store.list(bench.at, aborted)).rejects.toBe(reason);
        await expect(bench.store.commit(putting(`${bench.at}a`), aborted)).rejects.toBe(reason);
        expect(await bench.keysUnder(bench.at)).toEqual([]);
      });
    });

    describe('closing', () => {
      it('ends watches and later calls with StoreUnavailable, and may be done twice', async () => {
        const closed = bench.under.another();
        const { revision } = await closed.get(`${bench.at}a`, never);
        const watching = take(closed.watch({ prefix: bench.at, from: revision + 1n, signal: never }), () => false);
        const ended = expect(watching).rejects.toBeInstanceOf(StoreUnavailable);
        await pause(50, never);
        await closed[Symbol.asyncDispose]();
        await closed[Symbol.asyncDispose]();
        await ended;
        await expect(closed.get(`${bench.at}a`, never)).rejects.toBeInstanceOf(StoreUnavailable);
        await expect(closed.commit(putting(`${bench.at}a`), never)).rejects.toBeInstanceOf(StoreUnavailable);
      });
    });

    describe('compaction', () => {
      it('is told to a watch that needs what is gone, and to no other', async () => {
        const first = await bench.put(`${bench.at}a`);
        const second = await bench.put(`${bench.at}b`);
        const third = await bench.put(`${bench.at}c`);
        await bench.under.compact(second);
        for (const from of [1n, first, second]) {
          const error: unknown = await take(
            bench.store.watch({ prefix: bench.at, from, signal: never }),
            () => true,
          ).catch((reason: unknown) => reason);
          expect(error).toBeInstanceOf(Compacted);
          expect(error).toMatchObject({ compactRevision: second });
        }
        const [batch] = await take(bench.store.watch({ prefix: bench.at, from: third, signal: never }), () => true);
        expect(batch?.revision).toBe(third);
      });

      it('leaves what keys were before the first revision that can be watched', async () => {
        const first = await bench.put(`${bench.at}a`, `${bench.at}b`);
        const second = await bench.commit({
          puts: [{ key: `${bench.at}a`, value: bytes('2') }],
          deletes: [`${bench.at}b`],
        });
        await bench.under.compact(first);
        const from = second.revision;
        const [batch] = await take(
          bench.store.watch({ prefix: bench.at, from, signal: never, previous: true }),
          () => true,
        );
        expect(batch?.events.map(({ previous }) => textOf(previous?.value))).toEqual([`${bench.at}a`, `${bench.at}b`]);
      });

      it('takes nothing from a listing, nor from a watch from there', async () => {
        await bench.put(`${bench.at}a`, `${bench.at}gone`);
        await bench.commit({ deletes: [`${bench.at}gone`] });
        const last = await bench.put(`${bench.at}b`);
        await bench.under.compact(last);
        const { entries, revision } = await bench.store.list(bench.at, never);
        expect(entries.map(({ key }) => key)).toEqual([`${bench.at}a`, `${bench.at}b`]);
        const watching = take(bench.store.watch({ prefix: bench.at, from: revision + 1n, signal: never }), () => true);
        await bench.put(`${bench.at}c`);
        expect((await watching).map(eventsOf)).toEqual([[`+${bench.at}c=${bench.at}c`]]);
      });
    });
  });
}
