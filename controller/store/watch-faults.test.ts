import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Etcd3 } from 'etcd3';
import { pause } from '../../core/lifetime.js';
import { bytes, eventsOf, never, putting, take, transaction } from './contract-bench.testing.js';
import { CuttingProxy } from './cutting-proxy.testing.js';
import { EtcdLab } from './etcd-lab.testing.js';
import type { EtcdStore } from './etcd.js';
import { MemoryStore } from './memory.js';
import { Compacted, StoreRefused, type Store, type Transaction, type WatchBatch } from './store.js';

/** Every kind of change there is, over and over. */
function steps(at: string, count: number): Transaction[] {
  const key = (name: string | number) => `${at}${String(name)}`;
  return Array.from({ length: count }, (_, index) => {
    const puts = [`k${String(index % 7)}`, `p/${String(index)}`].map((name) => ({
      key: key(name),
      value: bytes(name),
    }));
    if (index % 5 === 4) return transaction({ puts: puts.slice(0, 1), deletePrefixes: [key('p/')] });
    if (index % 3 === 2) return transaction({ puts, deletes: [key(`k${String((index + 1) % 7)}`), key('never')] });
    return transaction({ puts });
  });
}

/** One batch in one line. */
const line = (batch: WatchBatch, since = 0n): string => [String(batch.revision - since), ...eventsOf(batch)].join(' ');

/**
 * Writes a history under `at`, at the end of which keys go by themselves and `end` is put; `between` is called after
 * each step. The lines a watch should tell, made from what the same history does to a store in memory.
 */
async function write(store: Store, at: string, between: (revision: bigint, index: number) => Promise<void>) {
  await using model = new MemoryStore();
  const both = async (each: Transaction): Promise<bigint> => {
    const { revision } = await store.commit(each, never);
    await model.commit(each, never);
    return revision;
  };
  let base = 0n;
  for (const [index, step] of steps(at, 60).entries()) {
    const revision = await both(step);
    if (index === 0) base = revision - 2n;
    await between(revision, index);
  }
  const brief = ['b', 'a', 'c'].map((name) => ({ key: `${at}brief/${name}`, value: bytes('x'), ttlMs: 300 }));
  await both(transaction({ puts: brief }));
  for (const each of [store, model]) {
    while ((await each.count(`${at}brief/`, never)) > 0) await pause(20, never);
  }
  await both(putting(`${at}end`));
  const told = await take(model.watch({ prefix: at, from: 1n, signal: never }), (batches) => isOver(batches, at));
  return told.map((batch) => line(batch, -base));
}

const isOver = (batches: readonly WatchBatch[], at: string): boolean =>
  batches.at(-1)?.events.some((event) => event.kind === 'put' && event.entry.key === `${at}end`) === true;

/** What a watch told, in lines; and how it ended, where it did. */
async function follow(store: Store, options: { at: string; from: bigint; slowly: boolean }) {
  const { at, from, slowly } = options;
  const lines: string[] = [];
  try {
    for await (const batch of store.watch({ prefix: at, from, signal: never })) {
      lines.push(line(batch));
      if (isOver([batch], at)) return { lines, ended: undefined };
      if (slowly) await pause(5, never);
    }
  } catch (error) {
    if (!(error instanceof Compacted)) throw error;
    return { lines, ended: error };
  }
  throw new Error('a watch ended by itself');
}

/** Bytes that a watch's connection begins with: TLS, HTTP/2, and the answer that says it was made. */
const GREETING = 1_500;

describe('a watch that asks for what keys were before', () => {
  it('hands out no event without, also where history is compacted before etcd has sent it', async () => {
    await using lab = await EtcdLab.open();
    await using store = lab.store();
    const key = '/before';
    // So large that etcd cannot send them all ahead of who reads: what they were before is looked up when it sends.
    const put = async (index: number): Promise<bigint> => {
      const value = Buffer.alloc(200_000, index % 251);
      return (await store.commit(transaction({ puts: [{ key, value }] }), never)).revision;
    };
    const from = (await put(0)) + 1n;
    await using reading = lab.store();
    const watch = reading.watch({ prefix: key, from, signal: never, previous: true })[Symbol.asyncIterator]();
    const batches: WatchBatch[] = [];
    const first = watch.next();
    let head = 0n;
    for (let index = 1; index <= 250; index += 1) head = await put(index);
    batches.push(((await first) as { value: WatchBatch }).value);
    await pause(300, never);
    await lab.compact(head);
    let ended: unknown;
    try {
      while (batches.length < 250) batches.push(((await watch.next()) as { value: WatchBatch }).value);
    } catch (error) {
      ended = error;
    }
    expect(ended).toBeInstanceOf(Compacted);
    expect(ended).toMatchObject({ compactRevision: head });
    expect(batches.length).toBeGreaterThan(5);
    for (const [index, { revision, events }] of batches.entries()) {
      expect(revision).toBe(from + BigInt(index));
      expect(events.map(({ previous }) => previous?.value[0])).toEqual([index % 251]);
    }
  }, 60_000);
});

describe('a watch whose connections break', () => {
  let lab: EtcdLab;
  let direct: EtcdStore;
  beforeAll(async () => {
    lab = await EtcdLab.open();
    direct = lab.store();
  });
  afterAll(async () => {
    await direct[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  it('tells every event once and in order, wherever in the history each breaks', async () => {
    const at = '/everywhere/';
    const now = (await direct.get(at, never)).revision;
    await using proxy = await CuttingProxy.open(lab.port);
    // Of 200 watches, each one's first connection ends a little later than another's, the second and third as well.
    const watches = 200;
    let connections = 0;
    proxy.budget = () => {
      const index = connections++;
      return index < 3 * watches ? 1 + (index % watches) * 37 + Math.floor(index / watches) * 11 : undefined;
    };
    await using store = lab.store({ port: proxy.port });
    const begin = (count: number) =>
      Array.from({ length: count }, (_, index) => ({
        from: now + 1n + BigInt((index % 4) * 15),
        slowly: index % 5 === 4,
      })).map(async (options) => ({ ...options, ...(await follow(store, { at, ...options })) }));
    // Half of them from before the first change, some for revisions that are yet to come; half when much has happened.
    const early = begin(watches / 2);
    let late: typeof early = [];
    const wanted = await write(direct, at, async (_, index) => {
      if (index === 30) late = begin(watches / 2);
      await pause(10, never);
    });
    for (const { from, lines } of await Promise.all([...early, ...late])) {
      const first = wanted.findIndex((each) => BigInt(each.split(' ', 1)[0] ?? '') >= from);
      expect(lines).toEqual(wanted.slice(first === -1 ? wanted.length : first));
    }
    expect(proxy.cuts).toBeGreaterThan(watches);
  }, 120_000);

  it('misses nothing without saying so, where history is compacted under it', async () => {
    const at = '/compacted/';
    const now = (await direct.get(at, never)).revision;
    await using proxy = await CuttingProxy.open(lab.port);
    let connections = 0;
    proxy.budget = () => {
      const index = connections++;
      return index % 3 === 2 ? undefined : GREETING + index * 40;
    };
    await using store = lab.store({ port: proxy.port });
    const following = Array.from({ length: 60 }, (_, index) =>
      follow(store, { at, from: now + 1n, slowly: index % 4 === 3 }),
    );
    let compacted = 0n;
    const wanted = await write(direct, at, async (revision, index) => {
      if (index % 12 === 11) {
        // Behind the head, as etcd is told to, and right at it (see createRequest in watch.ts).
        compacted = revision - (index % 24 === 11 ? 0n : 5n);
        await lab.compact(compacted);
      }
      await pause(10, never);
    });
    const outcomes = await Promise.all(following);
    for (const { lines, ended } of outcomes) {
      expect(lines).toEqual(wanted.slice(0, lines.length));
      if (ended === undefined) expect(lines).toEqual(wanted);
      else expect(ended.compactRevision).toBeLessThanOrEqual(compacted);
    }
    const ended = outcomes.filter((outcome) => outcome.ended !== undefined).length;
    expect(ended).toBeGreaterThan(0);
    expect(ended).toBeLessThan(outcomes.length);
    expect(proxy.cuts).toBeGreaterThan(10);
  }, 120_000);
});

describe('a watch that is refused', () => {
  it('stands in the way of no other, before or after it', async () => {
    await using lab = await EtcdLab.open();
    await using store = lab.store();
    const { revision } = await store.commit(putting('/mine/1', '/others/1'), never);
    await grantOnly(lab, '/mine/');
    const watch = (prefix: string) => store.watch({ prefix, from: revision, signal: never })[Symbol.asyncIterator]();
    const before = watch('/mine/');
    const text = async (from: AsyncIterator<WatchBatch>) => {
      const { value } = (await from.next()) as { value: WatchBatch };
      return eventsOf(value);
    };
    expect(await text(before)).toEqual(['+/mine/1=/mine/1']);
    for (let times = 0; times < 3; times += 1) {
      await expect(watch('/others/').next()).rejects.toBeInstanceOf(StoreRefused);
    }
    const after = watch('/mine/');
    await store.commit(putting('/mine/2'), never);
    expect(await text(before)).toEqual(['+/mine/2=/mine/2']);
    expect(await text(after)).toEqual(['+/mine/1=/mine/1']);
    expect(await text(after)).toEqual(['+/mine/2=/mine/2']);
    await Promise.all([before.return?.(), after.return?.()]);
  });
});

/** Equivalent to `etcdctl role grant-permission --prefix=true mine readwrite <prefix>` for the user `weft`, and `auth enable`. */
async function grantOnly(lab: EtcdLab, prefix: string): Promise<void> {
  const { ca, cert, key } = lab.etcd.tls;
  const client = new Etcd3({
    hosts: [...lab.etcd.endpoints],
    credentials: { rootCertificate: Buffer.from(ca), certChain: Buffer.from(cert), privateKey: Buffer.from(key) },
    grpcOptions: { 'grpc.ssl_target_name_override': 'localhost' },
  });
  try {
    await client.auth.roleAdd({ name: 'root' });
    await client.auth.userAdd({ name: 'root', password: 'test' });
    await client.auth.userGrantRole({ user: 'root', role: 'root' });
    await client.auth.roleAdd({ name: 'mine' });
    const range_end = Buffer.from(`${prefix.slice(0, -1)}0`);
    const perm = { permType: 'Readwrite', key: Buffer.from(prefix), range_end } as const;
    await client.auth.roleGrantPermission({ name: 'mine', perm });
    await client.auth.userAdd({ name: 'weft', password: 'test' });
    await client.auth.userGrantRole({ user: 'weft', role: 'mine' });
    await client.auth.authEnable();
  } finally {
    client.close();
  }
}
