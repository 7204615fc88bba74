import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Settings } from '../domain/settings.js';
import { EtcdLab } from '../store/etcd-lab.testing.js';
import { MemoryStore } from '../store/memory.js';
import type { Store } from '../store/store.js';
import { histories } from './operations.testing.js';
import { World } from './world.testing.js';

const SECOND_MS = 1_000;

const never = new AbortController().signal;

/** Quotas that are reached now and then: a network has up to 13 addresses, and there are 12 endpoints on 2 hosts. */
const SETTINGS: Settings = {
  ...{ quarantineMs: 60, historyMs: 60 * SECOND_MS },
  ...{ endpointsPerNetwork: 5, endpointsPerHost: 7 },
};

/** What must be met for a test to have said anything. */
const MEETINGS = [
  ...['createEndpoint: done', 'createEndpoint: ADDRESS_TAKEN', 'createEndpoint: MAC_TAKEN', 'createEndpoint: ID_TAKEN'],
  ...['createEndpoint: ALREADY_CONNECTED', 'createEndpoint: SUBNETS_OVERLAP', 'createEndpoint: ADDRESSES_EXHAUSTED'],
  ...['createEndpoint: QUOTA_REACHED', 'delete: done', 'markReady: done', 'release: done'],
  ...[
    'createNetwork: done',
    'createNetwork: NETWORK_NAME_TAKEN',
    'deleteNetwork: done',
    'deleteNetwork: NETWORK_IN_USE',
  ],
  ...['updateNetwork: done', 'updateNetwork: ADDRESSES_HELD'],
];

/** Runs so many histories, each on an empty store; how often each answer was met. */
async function check(
  options: {
    readonly runs: number;
    readonly settings: Settings;
    readonly lateMs: number;
    readonly length: number;
  },
  open: () => Promise<Store>,
): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>();
  const { settings, lateMs } = options;
  await fc.assert(
    fc.asyncProperty(histories(options.length), async (history) => {
      await using store = await open();
      await using world = await World.open({ store, settings, lateMs });
      for (const [index, burst] of history.entries()) {
        expect(await world.run(burst), `after burst ${String(index)}`).toEqual([]);
      }
      expect(await world.clear(), 'at the end').toEqual([]);
      for (const [name, count] of world.seen) seen.set(name, (seen.get(name) ?? 0) + count);
    }),
    { numRuns: options.runs, interruptAfterTimeLimit: LIMIT_MS, markInterruptAsFailure: false },
  );
  return seen;
}

const LIMIT_MS = 90 * SECOND_MS;

describe('two controllers on one store', () => {
  it(
    'hold every invariant, in memory, whatever is asked and whatever is lost',
    async () => {
      const seen = await check(
        { runs: 150, settings: SETTINGS, lateMs: 5 * SECOND_MS, length: 40 },
        async () => new MemoryStore(),
      );
      for (const name of MEETINGS) expect(seen.get(name) ?? 0, name).toBeGreaterThan(0);
    },
    2 * LIMIT_MS,
  );

  describe('which is etcd', () => {
    let lab: EtcdLab;
    beforeAll(async () => {
      lab = await EtcdLab.open();
    });
    afterAll(async () => {
      await lab[Symbol.asyncDispose]();
    });

    it(
      'hold every invariant',
      async () => {
        const settings = { ...SETTINGS, quarantineMs: SECOND_MS };
        await check({ runs: 12, settings, lateMs: 10 * SECOND_MS, length: 30 }, async () => {
          const store = lab.store();
          await store.commit({ compares: [], puts: [], deletes: [], deletePrefixes: ['/weft/v1/'] }, never);
          return store;
        });
      },
      3 * LIMIT_MS,
    );
  });
});
