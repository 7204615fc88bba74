import { MemoryStore } from './memory.js';
import { describeExpiry } from './expiry-contract.testing.js';
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
    another: () => new MemoryStore(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
};

describeStore('memory', open);
describeWatch('memory', open);
describeExpiry('memory', open);
