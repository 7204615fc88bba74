import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { createCa } from '../identity/ca.js';
import { never, putting, take, transaction } from './contract-bench.testing.js';
import { CuttingProxy } from './cutting-proxy.testing.js';
import { EtcdConnection } from './etcd-connection.js';
import { EtcdLab } from './etcd-lab.testing.js';
import type { EtcdStore } from './etcd.js';
import { StoreRefused, StoreUnavailable, type Store, type WatchBatch } from './store.js';

/** Puts `count` keys under `at`, a revision each, `writers` of them at a time; whoever gets no answer looks, and tries again. */
async function write(store: Store, at: string, count: number, writers = 64): Promise<void> {
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < count) {
      const key = at + String(next).padStart(6, '0');
      next += 1;
      while (!(await written(store, key)));
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
}

async function written(store: Store, key: string): Promise<boolean> {
  try {
    // Guarded, so that a repetition after an unknown outcome cannot write twice.
    await store.commit({ ...putting(key), compares: [{ kind: 'absent', key }] }, never);
    return true;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    return false;
  }
}

/** Bytes for the largest answer here, 1,000 revisions: what never fits a connection can never arrive. */
const ENOUGH = 60_000;

/** These numbers, over and over. */
function cycle(...numbers: readonly number[]): () => number | undefined {
  let calls = 0;
  return () => numbers[calls++ % numbers.length];
}

/** The keys a watch told of, in the order told; fails when revisions do not rise. */
function keysOf(batches: readonly WatchBatch[]): string[] {
  for (const [index, { revision }] of batches.entries()) {
    expect(revision).toBeGreaterThan(batches[index - 1]?.revision ?? 0n);
  }
  return batches.flatMap(({ events }) => events.map((event) => (event.kind === 'put' ? event.entry.key : event.key)));
}

const wanted = (at: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => at + String(index).padStart(6, '0'));

describe('etcd over a network that breaks', () => {
  let lab: EtcdLab;
  let direct: EtcdStore;
  let at = '';
  let tests = 0;
  beforeAll(async () => {
    lab = await EtcdLab.open();
    direct = lab.store();
  });
  afterAll(async () => {
    await direct[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    tests += 1;
    at = `/t${String(tests)}/`;
  });

  it('tells 3,000 old changes in order, each once, whatever byte each connection ends at', async () => {
    const from = (await direct.list('', never)).revision + 1n;
    await write(direct, at, 3_000);
    await using proxy = await CuttingProxy.open(lab.port);
    // In the middle of TLS, of the first answers, of each batch of history, and at last not at all. A connection that its
    // owner gives up first is no cut, so there are some to spare.
    const budgets = [1, 900, 1_800, 2_500, 3_500, 3_000, 4_000, 5_000, 20_000, 50_000, 60_000, 40_000, 55_000];
    proxy.budget = () => budgets.shift();
    await using store = lab.store({ port: proxy.port });
    const batches = await take(store.watch({ prefix: at, from, signal: never }), ({ length }) => length === 3_000);
    expect(keysOf(batches).sort()).toEqual(wanted(at, 3_000));
    expect(proxy.cuts).toBeGreaterThanOrEqual(6);
  });

  it('tells 3,000 changes as they happen in order, each once, over connections that end all the time', async () => {
    const from = (await direct.list('', never)).revision + 1n;
    await using proxy = await CuttingProxy.open(lab.port);
    proxy.budget = cycle(2_000, 4_000, 6_000, 9_000, 15_000, ENOUGH);
    await using store = lab.store({ port: proxy.port });
    const watching = take(store.watch({ prefix: at, from, signal: never }), ({ length }) => length === 3_000);
    await write(direct, at, 3_000);
    expect(keysOf(await watching).sort()).toEqual(wanted(at, 3_000));
    expect(proxy.cuts).toBeGreaterThanOrEqual(6);
  });

  it('commits and lists through broken connections: an unknown outcome is said to be one', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    proxy.budget = cycle(4_000, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000, ENOUGH);
    await using store = lab.store({ port: proxy.port });
    await write(store, at, 500, 8);
    expect((await store.list(at, never)).entries.map(({ key }) => key)).toEqual(wanted(at, 500));
    expect(proxy.cuts).toBeGreaterThan(5);
  });

  it('lists completely while the history is compacted away under it', async () => {
    const keys = wanted(at, 3_200);
    for (let start = 0; start < keys.length; start += 100) {
      await direct.commit(putting(...keys.slice(start, start + 100)), never);
    }
    using connection = new EtcdConnection(lab.options());
    // A few compactions while three pages are read: some fall in between, and then they end.
    const compactions = async (): Promise<void> => {
      for (let count = 0; count < 6; count += 1) {
        const { revision } = await direct.commit(putting(`/elsewhere${at}`), never);
        await connection.once((kv, call) => kv.compact({ revision: String(revision) }, call), never);
      }
    };
    for (let count = 0; count < 10; count += 1) {
      const [{ entries }] = await Promise.all([direct.list(at, never), compactions()]);
      expect(entries.map(({ key }) => key)).toEqual(keys);
    }
  });

  it('notices a connection that has gone silent, and resumes on another', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port });
    const { revision } = await direct.get(at, never);
    const iterator = store.watch({ prefix: at, from: revision + 1n, signal: never })[Symbol.asyncIterator]();
    await direct.commit(putting(`${at}1`), never);
    expect((await iterator.next()).done).toBe(false);
    proxy.silence();
    await direct.commit(putting(`${at}2`), never);
    const startedAt = performance.now();
    const { value } = (await iterator.next()) as { value: WatchBatch };
    expect(keysOf([value])).toEqual([`${at}2`]);
    expect(performance.now() - startedAt).toBeLessThan(6_000);
    await iterator.return?.();
  });

  it('gives up on a silent endpoint at the deadline, and asks again', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port, callTimeoutMs: 300 });
    await store.commit(putting(`${at}1`), never);
    proxy.silence();
    await expect(store.commit(putting(`${at}2`), never)).rejects.toBeInstanceOf(StoreUnavailable);
    proxy.cut();
    expect((await store.get(`${at}1`, never)).entry?.key).toBe(`${at}1`);
  });

  it('does not read ahead of a consumer that stands still', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port });
    const { revision } = await direct.get(at, never);
    const iterator = store.watch({ prefix: at, from: revision + 1n, signal: never })[Symbol.asyncIterator]();
    const first = iterator.next();
    const keys = wanted(at, 1_200);
    for (let start = 0; start < keys.length; start += 50) {
      const puts = keys.slice(start, start + 50).map((key) => ({ key, value: Buffer.alloc(20_000) }));
      await Promise.all(puts.map((put) => direct.commit(transaction({ puts: [put] }), never)));
    }
    await first;
    await pause(300, never);
    // 24 MB were written; grpc-js takes 4 MB ahead (its HTTP/2 window), and the sockets on the way hold a few.
    expect(proxy.bytesToClients).toBeLessThan(12_000_000);
    const batches = [(await first).value as WatchBatch];
    while (batches.length < 1_200) batches.push((await iterator.next()).value as WatchBatch);
    expect(keysOf(batches).sort()).toEqual(keys);
    await iterator.return?.();
  });

  it('aborts a call that hangs', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port });
    await store.get(at, never);
    proxy.silence();
    const aborting = new AbortController();
    const reason = new Error('no longer wanted');
    setTimeout(() => aborting.abort(reason), 50);
    await expect(store.get(at, aborting.signal)).rejects.toBe(reason);
    await expect(store.commit(putting(`${at}a`), aborting.signal)).rejects.toBe(reason);
  });

  it('goes on with the endpoint that works', async () => {
    const dead = 'https://127.0.0.1:1';
    for (const endpoints of [
      [dead, ...lab.etcd.endpoints],
      [...lab.etcd.endpoints, dead],
      [dead, dead, ...lab.etcd.endpoints],
    ]) {
      await using store = lab.store({ endpoints });
      const key = at + String(endpoints.indexOf(dead)) + String(endpoints.length);
      const { committed, revision } = await store.commit(putting(key), never);
      expect(committed).toBe(true);
      const [batch] = await take(store.watch({ prefix: key, from: revision, signal: never }), () => true);
      expect(keysOf(batch === undefined ? [] : [batch])).toEqual([key]);
    }
  });

  it('believes no server of another CA, and serves no client of one', async () => {
    const { ca, cert, key } = lab.etcd.tls;
    const other = await createCa('another');
    await using misled = lab.store({ patienceMs: 200, tls: { ca: other.cert, cert, key } });
    await using foreign = lab.store({ patienceMs: 200, tls: { ca, cert: other.cert, key: other.key } });
    for (const store of [misled, foreign]) {
      await expect(store.get(at, never)).rejects.toBeInstanceOf(StoreUnavailable);
      await expect(store.commit(putting(at), never)).rejects.toBeInstanceOf(StoreUnavailable);
    }
  });

  it.each(['http://127.0.0.1:2379', '127.0.0.1', 'https://127.0.0.1:2379/path', ''])(
    'refuses the endpoint "%s"',
    (endpoint) => {
      expect(() => lab.store({ endpoints: [endpoint] })).toThrow(RangeError);
    },
  );

  it('refuses to have no endpoint', () => {
    expect(() => lab.store({ endpoints: [] })).toThrow(RangeError);
  });
});

describe('etcd that is killed', () => {
  it('loses nothing that was committed, and no event', async () => {
    await using lab = await EtcdLab.open();
    await using store = lab.store();
    const { revision } = await store.get('/', never);
    const watching = take(
      store.watch({ prefix: '/k/', from: revision + 1n, signal: never }),
      ({ length }) => length === 600,
    );
    const writing = write(store, '/k/', 600, 16);
    for (let kills = 0; kills < 3; kills += 1) {
      await pause(150, never);
      lab.kill();
      // Answered only when there is an etcd again.
      await store.get('/', never);
    }
    await writing;
    const keys = keysOf(await watching);
    expect(new Set(keys).size).toBe(600);
    expect((await store.list('/k/', never)).entries.map(({ key }) => key)).toEqual([...keys].sort());
  });
});

describe('etcd that grants nothing', () => {
  it('is refused with StoreRefused, a watch too', async () => {
    await using lab = await EtcdLab.open();
    await using store = lab.store();
    await store.commit(putting('/a'), never);
    await enableAccessControl(lab);
    await expect(store.get('/a', never)).rejects.toBeInstanceOf(StoreRefused);
    await expect(store.list('/', never)).rejects.toBeInstanceOf(StoreRefused);
    await expect(store.commit(putting('/b'), never)).rejects.toBeInstanceOf(StoreRefused);
    const watching = take(store.watch({ prefix: '/', from: 1n, signal: never }), () => true);
    await expect(watching).rejects.toBeInstanceOf(StoreRefused);
  });
});

/** Equivalent to `etcdctl user add ...; etcdctl auth enable`: our certificate's CN, `weft`, becomes a user without rights. */
async function enableAccessControl(lab: EtcdLab): Promise<void> {
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
    await client.auth.userAdd({ name: 'weft', password: 'test' });
    await client.auth.authEnable();
  } finally {
    client.close();
  }
}
