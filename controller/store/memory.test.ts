import { MemoryStore } from './memory.js';
import { describeStore } from './store.contract.js';
import type { StoreUnderTest } from './contract-bench.js';
import { describeWatch } from './watch.contract.js';

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
