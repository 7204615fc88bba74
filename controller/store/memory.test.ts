import { MemoryStore } from './memory.js';
import { describeElection } from './election-contract.testing.js';
import { describeExpiry } from './expiry-contract.testing.js';
import { describeLeases } from './lease-contract.testing.js';
import { describeStore } from './store-contract.testing.js';
import type { StoreUnderTest } from './contract-bench.testing.js';
import { describeWatch } from './watch-contract.testing.js';

const open = async (): Promise<StoreUnderTest> => {
  const store = new MemoryStore();
  return {
    store,
    compact: async (revision) => {
      store.compact(revision);
    },
    revoke: async (id) => {
      store.revokeLease(id);
    },
    another: () => new MemoryStore(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
};

describeStore('memory', open);
describeWatch('memory', open);
describeExpiry('memory', open);
describeLeases('memory', open, 1_000);
describeElection('memory', open, { ttlMs: 500, histories: 20 });
