import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { never, transaction } from './contract-bench.testing.js';
import { EtcdCluster } from './etcd-cluster.testing.js';
import { EtcdStore } from './etcd.js';
import { StoreFull, StoreRefused, type Store } from './store.js';

const VALUE = Buffer.alloc(100_000, 1);

describe('an etcd without space', () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await EtcdCluster.open(1, ['--quota-backend-bytes', String(8 * 1024 ** 2)]);
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  /** Puts keys, sixteen at a time, until some are refused, though perhaps written: see StoreFull. */
  const fill = async (store: Store): Promise<void> => {
    for (let round = 0; round < 40; round += 1) {
      const keys = Array.from({ length: 16 }, (_, index) => `/fill/${String(round)}/${String(index)}`);
      const outcomes = await Promise.allSettled(
        keys.map((key) => store.commit(transaction({ puts: [{ key, value: VALUE }] }), never)),
      );
      const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
      for (const { reason } of refused) expect(reason).toBeInstanceOf(StoreFull);
      if (refused.length > 0) return;
    }
    throw new Error('etcd takes more than it was allowed');
  };

  it('is told from one that refuses for another reason, and still reads and deletes', async () => {
    await using store = new EtcdStore(cluster.options());
    await fill(store);
    const again = store.commit(transaction({ puts: [{ key: '/again', value: VALUE }] }), never);
    await expect(again).rejects.toBeInstanceOf(StoreFull);
    await expect(again).rejects.toBeInstanceOf(StoreRefused);
    await expect(again).rejects.toMatchObject({ name: 'StoreFull' });
    const brief = { key: '/brief', value: VALUE, ttlMs: 60_000 };
    await expect(store.commit(transaction({ puts: [brief] }), never)).rejects.toBeInstanceOf(StoreFull);
    expect((await store.list('/again', never)).entries).toEqual([]);
    expect(await store.count('/brief', never)).toBe(0);
    const freed = await store.commit(transaction({ deletePrefixes: ['/fill/0/'] }), never);
    expect(freed.committed).toBe(true);
    expect(await store.count('/fill/0/', never)).toBe(0);
    const nameless = store.commit(transaction({ compares: [{ kind: 'absent', key: '' }] }), never);
    await expect(nameless).rejects.toBeInstanceOf(StoreRefused);
    await expect(nameless).rejects.not.toBeInstanceOf(StoreFull);
  });
});
