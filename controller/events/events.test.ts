import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { pause } from '../../core/lifetime.js';
import { ObjectKind } from '../../proto/gen/weft/v1/watch.js';
import { Cache } from '../cache/cache.js';
import { never } from '../store/contract-bench.testing.js';
import { EtcdLab } from '../store/etcd-lab.testing.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import type { Store } from '../store/store.js';
import { SILENT } from '../testing.js';
import type { EventFilter } from './event.js';
import { Events, type EventsOptions } from './events.js';
import { Client, HOSTS, NETWORKS, Writer, sorted } from './history.testing.js';
import { Random } from './random.testing.js';

const EVERYTHING: EventFilter = { kinds: undefined, networkId: undefined, hostId: undefined };

/** A store, and what only a test does to it. */
interface Ground extends AsyncDisposable {
  readonly open: () => Store;
  readonly compact: (revision: bigint) => Promise<void>;
}

/** What of a controller tells events. */
interface Teller extends AsyncDisposable {
  readonly events: Events;
  readonly cache: Cache;
}

async function openTeller(store: Store, options: Partial<EventsOptions> = {}): Promise<Teller> {
  const stop = new AbortController();
  const cache = new Cache({ store, log: SILENT, patienceMs: 100 });
  const running = cache.run(stop.signal);
  await cache.listed;
  const events = new Events({ store, cache, epoch: 'e1', log: SILENT, quietMs: 500, ...options });
  return {
    ...{ events, cache },
    [Symbol.asyncDispose]: async () => {
      events[Symbol.dispose]();
      stop.abort();
      await running;
    },
  };
}

interface Following {
  readonly client?: Client;
  readonly from: bigint;
  readonly filter?: EventFilter;
  /** Ends when it has come so far; undefined: at what is now. */
  readonly to?: bigint;
  /** Messages after which it breaks off, and milliseconds it takes over each. */
  readonly breaksAfter?: number;
  readonly slowlyMs?: number;
}

async function follow({ events }: Pick<Teller, 'events'>, following: Following): Promise<Client> {
  const { client = new Client(), from, filter = EVERYTHING, to, breaksAfter, slowlyMs = 0 } = following;
  let messages = 0;
  for await (const message of events.watch({ from, filter, untilNow: to === undefined, signal: never })) {
    if (slowlyMs > 0) await pause(slowlyMs, never);
    client.take(message);
    messages += 1;
    if (to !== undefined && (client.bookmark ?? 0n) >= to) break;
    if (messages === breaksAfter) break;
  }
  client.broken();
  return client;
}

/** Those that are of this revision or a later one. */
function since(lines: readonly string[], from: bigint): string[] {
  return sorted(lines.filter((line) => BigInt(line.split(' ', 1)[0] ?? '') >= from));
}

async function openEtcd(): Promise<Ground> {
  const lab = await EtcdLab.open();
  const stores: Store[] = [];
  return {
    open: () => {
      const store = lab.store();
      stores.push(store);
      return store;
    },
    compact: (revision) => lab.compact(revision),
    [Symbol.asyncDispose]: async () => {
      for (const store of stores) await store[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
    },
  };
}

async function openMemory(): Promise<Ground> {
  const store = new MemoryStore();
  return {
    open: () => store,
    compact: async (revision) => {
      store.compact(revision);
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

describe.each([
  { name: 'memory', open: openMemory },
  { name: 'etcd', open: openEtcd },
])('events on $name', ({ open }) => {
  let ground: Ground;
  let store: Store;
  let writer: Writer;
  const seed = Math.floor(Math.random() * 2 ** 32);

  beforeAll(async () => {
    ground = await open();
    store = ground.open();
    writer = new Writer(store, new Random(seed));
    await writer.write();
  });
  afterAll(async () => {
    await ground[Symbol.asyncDispose]();
  });

  async function writeMany(count: number): Promise<bigint> {
    let last = 0n;
    for (let left = count; left > 0; left -= 1) last = await writer.write();
    return last;
  }

  it(`are told as they happen, and from the past just the same (seed ${String(seed)})`, async () => {
    await using teller = await openTeller(store);
    const from = teller.cache.view.revision + 1n;
    const target = from + 119n;
    const live = follow(teller, { from, to: target });
    await writeMany(120);
    const { lines } = await live;
    expect(sorted(lines)).toEqual(since(writer.lines, from));
    // Nobody watches now, so nothing is kept.
    await vi.waitFor(() => {
      expect(teller.events.watchers).toBe(0);
    });
    expect(teller.events.bytes).toBe(0);
    for (const start of [2n, from, from + 7n, from + 60n, target]) {
      const { lines: replayed, bookmark } = await follow(teller, { from: start });
      expect(replayed.filter((line) => lines.includes(line))).toEqual(
        lines.filter((line) => BigInt(line.split(' ', 1)[0] ?? '') >= start),
      );
      expect(sorted(replayed)).toEqual(since(writer.lines, start));
      expect(bookmark).toBe(target);
    }
  }, 60_000);

  it('are told once each and in order to whoever breaks off anywhere and goes on at another controller', async () => {
    await using one = await openTeller(store);
    await using other = await openTeller(ground.open(), { ring: { events: 40, bytes: 1024 * 1024 } });
    const from = one.cache.view.revision + 1n;
    const target = from + 199n;
    const clients = Array.from({ length: 12 }, async (_, index) => {
      const random = new Random(seed + index);
      const client = new Client();
      for (let next = from; next <= target; next = (client.bookmark ?? next - 1n) + 1n) {
        const teller = random.below(2) === 0 ? one : other;
        await teller.cache.atLeast(next - 1n, never);
        const breaksAfter = 1 + random.below(4);
        await follow(teller, { client, from: next, to: target, breaksAfter, slowlyMs: random.below(3) * 5 });
      }
      return client;
    });
    await writeMany(200);
    for (const { lines } of await Promise.all(clients)) expect(sorted(lines)).toEqual(since(writer.lines, from));
  }, 120_000);

  it('are told from history to whoever is slower than the ring is long', async () => {
    await using teller = await openTeller(store, { ring: { events: 10, bytes: 20_000 } });
    const from = teller.cache.view.revision + 1n;
    const target = from + 149n;
    const quick = follow(teller, { from, to: target });
    const slow = follow(teller, { from, to: target, slowlyMs: 60 });
    await writeMany(150);
    for (const { lines } of [await quick, await slow]) expect(sorted(lines)).toEqual(since(writer.lines, from));
    expect(teller.events.bytes).toBeLessThanOrEqual(20_000);
  }, 60_000);

  it('are told as they happened where the cache itself had to list', async () => {
    await using teller = await openTeller(store);
    const from = teller.cache.view.revision + 1n;
    const target = from + 59n;
    const watching = follow(teller, { from, to: target });
    for (let count = 0; count < 60; count += 1) {
      await writer.write();
      if (count % 7 === 3) teller.cache.relist();
      if (count % 10 === 9) await pause(20, never);
    }
    expect(sorted((await watching).lines)).toEqual(since(writer.lines, from));
  }, 60_000);

  it('are not missed where the cache is at a revision that touched no object', async () => {
    await writeMany(3);
    const { revision } = await store.commit(
      { compares: [], puts: [{ key: '/others', value: Buffer.from('x') }], deletes: [] },
      never,
    );
    await using teller = await openTeller(store);
    expect(teller.cache.view.revision).toBe(revision);
    const told = await follow(teller, { from: revision - 3n });
    expect(sorted(told.lines)).toEqual(since(writer.lines, revision - 3n));
    // How far there is nothing more is not known; whoever goes on from the bookmark misses nothing.
    expect(told.bookmark).toBe(revision - 1n);
    const watching = follow(teller, { from: revision - 3n, to: revision + 2n });
    await pause(700, never);
    await writeMany(2);
    expect(sorted((await watching).lines)).toEqual(since(writer.lines, revision - 3n));
  }, 30_000);

  it('are of what is asked for', async () => {
    await using teller = await openTeller(store);
    const from = teller.cache.view.revision + 1n;
    const last = await writeMany(80);
    await teller.cache.atLeast(last, never);
    const [networkId] = NETWORKS;
    const [hostId] = HOSTS;
    const all = since(writer.lines, from);
    const told = async (filter: Partial<EventFilter>) =>
      sorted((await follow(teller, { from, filter: { ...EVERYTHING, ...filter } })).lines);
    for (const [word, kind] of [
      ['network', ObjectKind.OBJECT_KIND_NETWORK],
      ['endpoint', ObjectKind.OBJECT_KIND_ENDPOINT],
      ['host', ObjectKind.OBJECT_KIND_HOST],
    ] as const) {
      expect(await told({ kinds: new Set([kind]) })).toEqual(all.filter((line) => line.split(' ')[2] === word));
    }
    const onNetwork = await told({ networkId });
    expect(onNetwork.length).toBeGreaterThan(0);
    expect(onNetwork.length).toBeLessThan(all.length);
    expect(all).toEqual(expect.arrayContaining(onNetwork));
    const onBoth = await told({ networkId, hostId });
    expect(onNetwork).toEqual(expect.arrayContaining(onBoth));
    expect(await told({ hostId })).toEqual(expect.arrayContaining(onBoth));
    // A watch for little comes as far as one for everything.
    const { bookmark, lines } = await follow(teller, {
      from,
      filter: { ...EVERYTHING, networkId: NETWORKS[0], kinds: new Set([ObjectKind.OBJECT_KIND_HOST]) },
    });
    expect(lines).toEqual([]);
    expect(bookmark).toBe(last);
  }, 30_000);

  it('come with bookmarks also when nothing happens', async () => {
    await using teller = await openTeller(store, { bookmarkMs: 200 });
    const from = teller.cache.view.revision + 1n;
    const client = await follow(teller, { from, to: from + 1_000n, breaksAfter: 4 });
    expect(client).toMatchObject({ lines: [], bookmark: from - 1n });
  });

  it('are refused from where history is compacted, with the oldest that is kept', async () => {
    await using teller = await openTeller(store);
    await writeMany(20);
    const head = await writeMany(20);
    await teller.cache.atLeast(head, never);
    const watching = teller.events.watch({ from: head - 30n, filter: EVERYTHING, untilNow: false, signal: never });
    expect((await watching.next()).done).toBe(false);
    await ground.compact(head - 10n);
    for (const from of [2n, head - 30n, head - 10n]) {
      const refused: unknown = await follow(teller, { from }).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(WeftError);
      expect(refused).toMatchObject({
        ...{ reason: 'HISTORY_COMPACTED', status: 'OUT_OF_RANGE' },
        metadata: { oldestRevision: String(head - 9n) },
      });
    }
    await expect(watching.next()).rejects.toMatchObject({ reason: 'HISTORY_COMPACTED' });
    const { lines } = await follow(teller, { from: head - 9n });
    expect(sorted(lines)).toEqual(since(writer.lines, head - 9n));
  }, 30_000);
});

describe('who watches', () => {
  it('is one of so many, and is let go of when the controller stops', async () => {
    await using store = new MemoryStore();
    await using teller = await openTeller(store, { watchersMax: 2 });
    const watch = () => teller.events.watch({ from: 2n, filter: EVERYTHING, untilNow: false, signal: never });
    const [first, second] = [watch(), watch()];
    await first.next();
    await second.next();
    await expect(watch().next()).rejects.toMatchObject({ reason: 'TOO_MANY_CALLS' });
    await second.return(undefined);
    const third = watch();
    await third.next();
    const ended = [first.next(), third.next()];
    teller.events[Symbol.dispose]();
    for (const each of ended) await expect(each).rejects.toMatchObject({ reason: 'CONTROLLER_UNAVAILABLE' });
    await expect(watch().next()).rejects.toMatchObject({ reason: 'CONTROLLER_UNAVAILABLE' });
  });

  it('is told that the epoch is over when the state is restored', async () => {
    await using store = new MemoryStore();
    const meta = { key: objectKey.meta(), value: Buffer.from('m') };
    const { revision } = await store.commit({ compares: [], puts: [meta], deletes: [] }, never);
    const stop = new AbortController();
    const cache = new Cache({ store, log: SILENT, metaRevision: revision });
    const running = cache.run(stop.signal);
    await cache.listed;
    using events = new Events({ store, cache, epoch: 'e1', log: SILENT });
    const watching = events.watch({ from: revision + 1n, filter: EVERYTHING, untilNow: false, signal: never });
    await watching.next();
    const next = watching.next();
    await store.commit({ compares: [], puts: [meta], deletes: [] }, never);
    await expect(next).rejects.toMatchObject({ reason: 'EPOCH_DIFFERS', status: 'FAILED_PRECONDITION' });
    await running;
  });

  it('ends with its signal, also when it waits for its turn at history', async () => {
    await using store = new MemoryStore();
    await using teller = await openTeller(store);
    const stop = new AbortController();
    const watching = teller.events.watch({ from: 2n, filter: EVERYTHING, untilNow: false, signal: stop.signal });
    await watching.next();
    const next = watching.next();
    stop.abort(new Error('gone'));
    await expect(next).rejects.toThrow('gone');
    expect(teller.events.watchers).toBe(0);
  });
});
