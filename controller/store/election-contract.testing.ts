/** Campaigns, on every Store: one suite that runs on each implementation. */
import { once } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { Bench, bytes, never, take, textOf, transaction, type StoreUnderTest } from './contract-bench.testing.js';
import { Deposed, campaign, leaderOf, type Leadership } from './election.js';
import { LeaseLost, StoreRefused, type Lease, type Store } from './store.js';

export interface ElectionSuite {
  /** Of the leases that candidates stand with. */
  readonly ttlMs: number;
  /** Random histories, all played at once. */
  readonly histories: number;
}

/** Milliseconds in which the next one leads after another resigned, also on a busy machine. */
const SOON_MS = 1_000;

export function describeElection(
  name: string,
  open: () => Promise<StoreUnderTest>,
  { ttlMs, histories }: ElectionSuite,
): void {
  describe(`${name} and elections`, () => {
    const bench = new Bench(open);
    const election = (): string => `${bench.at}leader`;
    const grant = (): Promise<Lease> => bench.store.grantLease({ ttlMs }, never);
    const stand = (lease: Lease, who: string, signal = never): Promise<Leadership> =>
      campaign({ store: bench.store, name: election(), value: bytes(who), lease }, signal);
    const leader = async (): Promise<string | undefined> =>
      textOf((await leaderOf(bench.store, election(), never))?.value);
    const write = async (leadership: Leadership): Promise<boolean> => {
      const puts = [{ key: `${bench.at}work`, value: bytes('done') }];
      return (await bench.commit({ compares: [leadership.fence()], puts })).committed;
    };
    /** When so many stand. */
    const standing = async (count: number): Promise<void> => {
      while ((await bench.store.count(`${election()}/`, never)) !== count) await pause(5, never);
    };

    it('let one lead, and the next when it resigns, in the order in which they stood', async () => {
      const [a, b, c] = await Promise.all([grant(), grant(), grant()]);
      expect(await leader()).toBeUndefined();
      const first = await stand(a, 'a');
      const led: string[] = [];
      const second = stand(b, 'b').finally(() => led.push('b'));
      await standing(2);
      const third = stand(c, 'c').finally(() => led.push('c'));
      await standing(3);
      await pause(100, never);
      expect(led).toEqual([]);
      expect(await leader()).toBe('a');
      expect(await write(first)).toBe(true);

      const resignedAt = performance.now();
      await Promise.all([first[Symbol.asyncDispose](), first[Symbol.asyncDispose]()]);
      expect(first.lost.reason).toBeInstanceOf(Deposed);
      const then = await second;
      expect(performance.now() - resignedAt).toBeLessThan(SOON_MS);
      expect(led).toEqual(['b']);
      expect(await leader()).toBe('b');
      expect([await write(first), await write(then)]).toEqual([false, true]);
      // It kept its lease, and may stand again: behind who waits.
      const again = stand(a, 'a').finally(() => led.push('a'));
      await standing(3);
      await b[Symbol.asyncDispose]();
      expect(then.lost.aborted).toBe(true);
      await using last = await third;
      expect([await write(then), await write(last)]).toEqual([false, true]);
      await last[Symbol.asyncDispose]();
      await using anew = await again;
      expect(led).toEqual(['b', 'c', 'a']);
      expect(anew.lost.aborted).toBe(false);
      for (const lease of [a, b, c]) await lease[Symbol.asyncDispose]();
    });

    it('depose who is silent before the next one leads, and take no write of it any more', async () => {
      const silent = await bench.store.grantLease({ ttlMs, kept: false }, never);
      await using waiting = await grant();
      const first = await stand(silent, 'silent');
      const lost = once(first.lost, 'abort').then(() => performance.now());
      const second = stand(waiting, 'waiting').then((leadership) => ({ leadership, at: performance.now() }));
      const { leadership, at } = await second;
      expect(await lost).toBeLessThan(at);
      expect([await write(first), await write(leadership)]).toEqual([false, true]);
      await Promise.all([first[Symbol.asyncDispose](), leadership[Symbol.asyncDispose]()]);
      expect(await bench.keysUnder(`${election()}/`)).toEqual([]);
    });

    it('depose at once whom somebody deposes: by ending its lease, or by taking its key', async () => {
      for (const depose of ['lease', 'key', 'changed']) {
        await using lease = await bench.store.grantLease({ ttlMs: 60_000 }, never);
        await using leadership = await stand(lease, 'a');
        const key = (await leaderOf(bench.store, election(), never))?.key ?? '';
        const deposedAt = performance.now();
        if (depose === 'lease') await bench.under.revoke(lease.id);
        else if (depose === 'key') await bench.commit({ deletes: [key] });
        else await bench.commit({ puts: [{ key, value: bytes('a') }] });
        expect(await write(leadership)).toBe(false);
        if (!leadership.lost.aborted) await once(leadership.lost, 'abort');
        expect(performance.now() - deposedAt).toBeLessThan(SOON_MS);
        expect(leadership.lost.reason).toBeInstanceOf(Deposed);
      }
    });

    it('forget who gives up, who is refused, and whose lease is lost', async () => {
      const reason = new Error('no longer wanted');
      const lease = await grant();
      await using first = await stand(lease, 'a');
      await using other = await grant();
      const aborting = new AbortController();
      const given = stand(other, 'b', aborting.signal);
      await standing(2);
      aborting.abort(reason);
      await expect(given).rejects.toBe(reason);
      await standing(1);
      await expect(stand(other, 'b', aborting.signal)).rejects.toBe(reason);

      const ended = await grant();
      const losing = stand(ended, 'c');
      await standing(2);
      await Promise.all([expect(losing).rejects.toBeInstanceOf(LeaseLost), ended[Symbol.asyncDispose]()]);
      await standing(1);
      await expect(stand(ended, 'c')).rejects.toBeInstanceOf(LeaseLost);

      const taken = stand(other, 'd');
      await standing(2);
      await Promise.all([
        expect(taken).rejects.toBeInstanceOf(Deposed),
        bench.commit({ deletes: [`${election()}/${other.id}`] }),
      ]);
      const huge = { store: bench.store, name: election(), value: new Uint8Array(2 ** 21), lease: other };
      await expect(campaign(huge, never)).rejects.toBeInstanceOf(StoreRefused);
      expect(await leader()).toBe('a');
      expect(first.lost.aborted).toBe(false);
      await lease[Symbol.asyncDispose]();
    });

    it('let at most one hold it, whoever stands still or resigns, and only who leads writes, whoever is deposed', async () => {
      const turn = fc.record({
        restMs: fc.nat(ttlMs / 2),
        holdMs: fc.nat(ttlMs / 2),
        end: fc.constantFrom('resign', 'sleep', 'revoke', 'take'),
      });
      const history = fc.array(fc.array(turn, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 4 });
      const all = fc.array(history, { minLength: histories, maxLength: histories });
      await fc.assert(
        fc.asyncProperty(all, async (played) => {
          const tallies = await Promise.all(
            played.map((each, index) => play(`${bench.at}${String(index)}/`, bench.under, { candidates: each, ttlMs })),
          );
          const total = (of: 'written' | 'refused'): number => tallies.reduce((sum, tally) => sum + tally[of], 0);
          expect(Math.min(total('written'), total('refused'))).toBeGreaterThan(histories);
        }),
        { numRuns: 1, endOnFailure: true },
      );
    }, 120_000);
  });
}

interface Turn {
  readonly restMs: number;
  readonly holdMs: number;
  readonly end: string;
}

/** Has candidates take their turns, each with a lease of its own a turn; fails when two hold it, or who does not lead writes. */
async function play(
  at: string,
  { store, revoke }: StoreUnderTest,
  { candidates, ttlMs }: { readonly candidates: readonly (readonly Turn[])[]; readonly ttlMs: number },
): Promise<{ readonly written: number; readonly refused: number }> {
  const from = (await store.get(at, never)).revision + 1n;
  const tally = { written: 0, refused: 0 };
  const holders = new Set<{ readonly lease: Lease; readonly leadership: Leadership }>();
  const name = `${at}leader`;

  const takeTurn = async ({ restMs, holdMs, end }: Turn): Promise<void> => {
    await pause(restMs, never);
    const lease = await store.grantLease({ ttlMs, kept: false }, never);
    const life = setInterval(() => lease.renew(), ttlMs / 10);
    const value = bytes(`${name}/${lease.id}`);
    const leadership = await campaign({ store, name, value, lease }, never).catch((error: unknown) => {
      clearInterval(life);
      // A process that is held up for too long loses its lease.
      if (error instanceof LeaseLost || error instanceof Deposed) return undefined;
      throw error;
    });
    if (leadership === undefined) return;
    for (const other of leadership.lost.aborted ? [] : holders) {
      // What `lost` says a moment later, where this process was held up.
      expect(other.leadership.lost.aborted || other.lease.remainingMs() === 0).toBe(true);
      holders.delete(other);
    }
    const holder = { lease, leadership };
    holders.add(holder);
    const write = async (): Promise<boolean> => {
      const puts = [{ key: `${at}work`, value }];
      const { committed } = await store.commit(transaction({ compares: [leadership.fence()], puts }), never);
      tally[committed ? 'written' : 'refused'] += 1;
      return committed;
    };
    await write();
    await pause(holdMs, never);
    await write();
    clearInterval(life);
    if (end === 'sleep') await pause(1.5 * ttlMs, never);
    // A process that was held up for too long may have lost its lease before; then it does not resign, and its key goes in time.
    const told = end !== 'sleep' && !(end === 'resign' && lease.lost.aborted);
    // Whom somebody else deposes hears of it when the next one does; then only the fence is left.
    if (end === 'revoke' || end === 'take') holders.delete(holder);
    if (end === 'revoke') {
      await revoke(lease.id).catch((error: unknown) => {
        // It has ended already.
        if (!(error instanceof StoreRefused)) throw error;
      });
    }
    if (end === 'take') await store.commit(transaction({ deletes: [`${name}/${lease.id}`] }), never);
    if (end === 'resign') await leadership[Symbol.asyncDispose]();
    // Whoever stood still may lead yet, where the store took its time; who was told may not.
    const late = await write();
    if (told) expect(late).toBe(false);
    await leadership[Symbol.asyncDispose]();
    await lease[Symbol.asyncDispose]();
  };
  const takeAll = async (turns: readonly Turn[]): Promise<void> => {
    for (const turn of turns) await takeTurn(turn);
  };
  await Promise.all(candidates.map(takeAll));

  const { revision } = await store.commit(transaction({ puts: [{ key: `${at}end`, value: bytes('') }] }), never);
  await checkWrites(store, { at, from, until: revision });
  return tally;
}

/** Goes through all that happened: every write is of the candidate whose key was the oldest right then. */
async function checkWrites(
  store: Store,
  { at, from, until }: { readonly at: string; readonly from: bigint; readonly until: bigint },
): Promise<void> {
  const batches = await take(
    store.watch({ prefix: at, from, signal: never }),
    (told) => told.at(-1)?.revision === until,
  );
  const standing = new Map<string, bigint>();
  for (const event of batches.flatMap(({ events }) => events)) {
    if (event.kind === 'delete') standing.delete(event.key);
    else if (event.entry.key === `${at}work`) {
      const [oldest] = [...standing].sort(([, a], [, b]) => Number(a - b));
      expect(textOf(event.entry.value)).toBe(oldest?.[0]);
    } else if (event.entry.key.startsWith(`${at}leader/`)) standing.set(event.entry.key, event.entry.createRevision);
  }
}
