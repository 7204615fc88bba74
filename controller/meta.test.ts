import { describe, expect, it } from 'vitest';
import { StoredMeta } from '../proto/gen/weft/v1/stored.js';
import { UnusableStore, loadOrCreateMeta } from './meta.js';
import { objectKey } from './store/keys.js';
import { MemoryStore } from './store/memory.js';
import { StoreUnavailable } from './store/store.js';
import { SILENT } from './testing.js';

const signal = new AbortController().signal;
const write = (store: MemoryStore, value: Uint8Array) =>
  store.commit({ compares: [], puts: [{ key: objectKey.meta(), value }], deletes: [] }, signal);

describe('the cluster’s identity', () => {
  it('is made once, whoever starts at the same time, and read by the rest', async () => {
    const store = new MemoryStore();
    const all = await Promise.all([1, 2, 3].map(() => loadOrCreateMeta(store, SILENT, signal)));
    expect(new Set(all.map(({ clusterId, epoch }) => clusterId + epoch)).size).toBe(1);
    expect(await loadOrCreateMeta(store, SILENT, signal)).toEqual(all[0]);
  });

  it('waits for a store that does not answer yet', async () => {
    const store = new MemoryStore();
    const get = store.get.bind(store);
    let failures = 2;
    store.get = (key, until) => (failures-- > 0 ? Promise.reject(new StoreUnavailable('away')) : get(key, until));
    expect((await loadOrCreateMeta(store, SILENT, signal)).clusterId).toMatch(/-/);
  });

  it('of a schema nobody here knows is refused in a sentence', async () => {
    const store = new MemoryStore();
    const { clusterId, epoch } = await loadOrCreateMeta(store, SILENT, signal);
    await write(store, StoredMeta.encode(StoredMeta.fromPartial({ clusterId, epoch, schema: 2 })).finish());
    await expect(loadOrCreateMeta(store, SILENT, signal)).rejects.toThrow(
      'the store holds schema 2, and this controller knows 1',
    );
  });

  it.each([
    ['nonsense', Buffer.from('\u0007\u00ff')],
    ['no ids', StoredMeta.encode(StoredMeta.fromPartial({ schema: 1 })).finish()],
  ])('that is %s is refused', async (_, value) => {
    const store = new MemoryStore();
    await write(store, value);
    await expect(loadOrCreateMeta(store, SILENT, signal)).rejects.toBeInstanceOf(UnusableStore);
  });
});
