import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { never, putting } from './contract-bench.testing.js';
import { EtcdCluster } from './etcd-cluster.testing.js';
import { EtcdLab, openEtcdUnderTest } from './etcd-lab.testing.js';
import { EtcdStore } from './etcd.js';
import { GroupCommit } from './group-commit.js';
import { MemoryStore } from './memory.js';
import { histories, play } from './random-history.testing.js';
import { describeElection } from './election-contract.testing.js';
import { describeExpiry } from './expiry-contract.testing.js';
import { describeLeases } from './lease-contract.testing.js';
import { describeStore } from './store-contract.testing.js';
import { MAX_GROUP_OPERATIONS, MAX_OPERATIONS } from './transaction.js';
import { describeWatch } from './watch-contract.testing.js';

describeStore('etcd', openEtcdUnderTest);
describeWatch('etcd', openEtcdUnderTest);
describeExpiry('etcd', openEtcdUnderTest);
describeLeases('etcd', openEtcdUnderTest, 2_000);
describeElection('etcd', openEtcdUnderTest, { ttlMs: 2_000, histories: 10 });

describe('an etcd that takes as many operations as it does by itself', () => {
  it('is asked for more once, and from then on for groups that it takes', async () => {
    await using cluster = await EtcdCluster.open(1);
    await using store = new EtcdStore(cluster.options());
    const groups = new GroupCommit({ store, flights: 1 });
    const claim = (key: string) =>
      groups.commit({ ...putting(key), compares: [{ kind: 'absent', key }] }, { signal: never });
    const keys = Array.from({ length: 400 }, (_, index) => `/k${String(index)}`);
    expect(store.operationsMax).toBe(MAX_GROUP_OPERATIONS);
    const results = await Promise.all(keys.map(claim));
    expect(results.every(({ committed }) => committed)).toBe(true);
    expect(store.operationsMax).toBe(MAX_OPERATIONS);
    // Those were refused as one, and went one by one; these go in groups.
    const more = await Promise.all(keys.map((key) => claim(`${key}/more`)));
    expect(new Set(more.map(({ revision }) => revision)).size).toBe(Math.ceil(keys.length / MAX_OPERATIONS));
    expect(await store.count('/k', never)).toBe(2 * keys.length);
  }, 30_000);
});

describe('memory and etcd', () => {
  let lab: EtcdLab;
  beforeAll(async () => {
    lab = await EtcdLab.open();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  it('say the same of any history', async () => {
    await using etcd = lab.store();
    let count = 0;
    let committed = 0;
    let failed = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(histories, async (history) => {
        count += 1;
        const at = `/h${String(count)}/`;
        await using memory = new MemoryStore();
        const said = await play(etcd, at, history);
        expect(await play(memory, at, history)).toEqual(said);
        for (const result of (said as { results: ('refused' | { committed: boolean })[] }).results) {
          if (result === 'refused') refused += 1;
          else if (result.committed) committed += 1;
          else failed += 1;
        }
      }),
      { numRuns: 60 },
    );
    // Histories of one outcome only would prove little.
    expect(Math.min(committed, failed)).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(0);
  }, 60_000);
});
