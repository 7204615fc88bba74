import { describe, expect, it, vi } from 'vitest';
import { parseIp } from '../../core/address.js';
import { newEndpointId, newNetworkId } from '../../core/ids.js';
import { HistoryTrimmer } from './history.js';
import { HISTORY, historyKey, objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { StoreUnavailable } from '../store/store.js';
import { SILENT } from '../testing.js';

const signal = new AbortController().signal;
const networkId = newNetworkId();

/** Writes so many records, one a revision, and returns their keys, the oldest first. */
async function fill(store: MemoryStore, count: number): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const address = parseIp(`10.1.${String(index >> 8)}.${String(index & 0xff)}`);
    if (address === undefined) throw new Error('no address');
    const key = historyKey({ address, networkId, endpointId: newEndpointId() });
    await store.commit({ compares: [], puts: [{ key, value: Buffer.from('') }], deletes: [] }, signal);
    keys.push(key);
  }
  return keys;
}
const left = async (store: MemoryStore) => (await store.list(HISTORY, signal)).entries.map(({ key }) => key);

describe('the history of addresses', () => {
  it('keeps the latest records, however many trim it', async () => {
    const store = new MemoryStore();
    const keys = await fill(store, 450);
    await store.commit(
      { compares: [], puts: [{ key: objectKey.meta(), value: Buffer.from('') }], deletes: [] },
      signal,
    );
    const trimmer = new HistoryTrimmer({ store, log: SILENT, records: 120 });
    const removed = await Promise.all([trimmer.once(signal), trimmer.once(signal)]);
    expect(Math.max(...removed)).toBe(330);
    expect(await left(store)).toEqual(keys.slice(330).toSorted());
    expect(await trimmer.once(signal)).toBe(0);
    expect((await store.get(objectKey.meta(), signal)).entry).toBeDefined();
  });

  it('loses no more than it has to where one was quicker than another', async () => {
    const store = new MemoryStore();
    const keys = await fill(store, 40);
    const slow = new MemoryStore();
    const trimmer = new HistoryTrimmer({ store, log: SILENT, records: 10 });
    for (const method of ['count', 'commit', 'oldest'] as const) {
      slow[method] = async (...args: never[]) => {
        if (method === 'oldest') await trimmer.once(signal);
        return (store[method] as (...each: never[]) => Promise<never>).apply(store, args);
      };
    }
    expect(await new HistoryTrimmer({ store: slow, log: SILENT, records: 10 }).once(signal)).toBe(0);
    expect(await left(store)).toEqual(keys.slice(30).toSorted());
  });

  it('is left alone when the store holds another state', async () => {
    const store = new MemoryStore();
    await fill(store, 5);
    const fence = () => ({ kind: 'present' as const, key: objectKey.meta() });
    expect(await new HistoryTrimmer({ store, log: SILENT, records: 1, fence }).once(signal)).toBe(0);
    expect(await left(store)).toHaveLength(5);
  });

  it('is trimmed again after the store was away', async () => {
    const store = new MemoryStore();
    await fill(store, 5);
    const count = vi.spyOn(store, 'count').mockRejectedValueOnce(new StoreUnavailable('away'));
    const stop = new AbortController();
    const running = new HistoryTrimmer({ store, log: SILENT, records: 2, everyMs: 5 }).run(stop.signal);
    await vi.waitFor(async () => {
      expect(await left(store)).toHaveLength(2);
    });
    stop.abort();
    await running;
    expect(count.mock.calls.length).toBeGreaterThan(1);
  });
});
