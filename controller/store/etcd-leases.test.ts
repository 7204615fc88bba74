import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { bytes, never, take, transaction } from './contract-bench.testing.js';
import { CuttingProxy } from './cutting-proxy.testing.js';
import { EtcdConnection } from './etcd-connection.js';
import { EtcdLab } from './etcd-lab.testing.js';
import { StoreUnavailable, type Put, type Store } from './store.js';

const LONG_MS = 600_000;
const brief = (key: string, ttlMs = LONG_MS): Put => ({ key, value: bytes('x'), ttlMs });
const putting = (store: Store, ...puts: readonly Put[]) => store.commit(transaction({ puts }), never);

describe('leases in etcd', () => {
  let lab: EtcdLab;
  beforeAll(async () => {
    lab = await EtcdLab.open();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  /** Equivalent to `etcdctl lease list`. */
  const leases = async (): Promise<string[]> => {
    using connection = new EtcdConnection(lab.options());
    const listed = await connection.once((_kv, call, client) => client.leaseClient.leaseLeases(call), never);
    return listed.leases.map(({ ID }) => ID);
  };
  /** Equivalent to `etcdctl lease revoke`, of each there is. */
  const revokeAll = async (): Promise<void> => {
    using connection = new EtcdConnection(lab.options());
    for (const ID of await leases()) {
      await connection.once((_kv, call, client) => client.leaseClient.leaseRevoke({ ID }, call), never);
    }
  };

  it('are shared by keys that are put at about the same time, up to a thousand', async () => {
    await using store = lab.store();
    const before = await leases();
    const keys = Array.from({ length: 2_500 }, (_, index) => `/shared/${String(index)}`);
    for (let first = 0; first < keys.length; first += 100) {
      await Promise.all(
        keys.slice(first, first + 100).map((key, index) => putting(store, brief(key, LONG_MS + (index % 2)))),
      );
    }
    expect((await leases()).length - before.length).toBe(4);
    expect(await store.count('/shared/', never)).toBe(2_500);
  });

  it('are replaced where they are not there any more, for every commit that finds so', async () => {
    await using store = lab.store();
    await putting(store, brief('/replaced/0'));
    await revokeAll();
    expect(await store.count('/replaced/', never)).toBe(0);
    const before = await leases();
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) => putting(store, brief(`/replaced/${String(index)}`))),
    );
    expect(results.every(({ committed }) => committed)).toBe(true);
    expect(await store.count('/replaced/', never)).toBe(50);
    expect((await leases()).length - before.length).toBe(1);
  });

  it('do not stand between a failed compare and its answer', async () => {
    await using store = lab.store();
    await store.commit(transaction({ puts: [{ key: '/failed/a', value: bytes('a') }, brief('/failed/b')] }), never);
    await revokeAll();
    const compares = [{ kind: 'absent', key: '/failed/a' }] as const;
    const result = await store.commit(transaction({ compares, puts: [brief('/failed/c')] }), never);
    expect(result).toMatchObject({ committed: false, failed: compares, found: [{ key: '/failed/a' }] });
    expect(await store.count('/failed/', never)).toBe(1);
  });

  it('end in time when etcd was killed in between, and a watch tells it', async () => {
    await using store = lab.store();
    const { revision } = await putting(store, brief('/killed/a', 3_000));
    const watching = take(
      store.watch({ prefix: '/killed/', from: revision, signal: never }),
      ({ length }) => length === 2,
    );
    const startedAt = performance.now();
    lab.kill();
    const [, gone] = await watching;
    expect(gone?.events).toEqual([{ kind: 'delete', key: '/killed/a' }]);
    expect(performance.now() - startedAt).toBeGreaterThan(2_900);
  });

  it('that one commit gave up on are there for the others', async () => {
    await using store = lab.store();
    const reason = new Error('no longer wanted');
    const aborting = new AbortController();
    const given = store.commit(transaction({ puts: [brief('/given/1')] }), aborting.signal);
    const others = [2, 3].map((key) => putting(store, brief(`/given/${String(key)}`)));
    aborting.abort(reason);
    await expect(given).rejects.toBe(reason);
    expect((await Promise.all(others)).map(({ committed }) => committed)).toEqual([true, true]);
    expect(await store.count('/given/', never)).toBe(2);
  });

  it('are waited for in vain when the store is closed', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    const store = lab.store({ port: proxy.port });
    await store.get('/', never);
    proxy.silence();
    const waiting = expect(putting(store, brief('/closed/1'))).rejects.toBeInstanceOf(StoreUnavailable);
    await pause(20, never);
    await store[Symbol.asyncDispose]();
    await waiting;
  });
});
