import fc from 'fast-check';
import { setMaxListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { newEndpointId } from '../../core/ids.js';
import { LossyStore } from '../model/lossy-store.testing.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain } from '../testing.js';
import { createEndpoint } from './endpoint.js';
import { Operator } from './network.testing.js';

const signal = new AbortController().signal;
setMaxListeners(0, signal);

interface Burst {
  /** Creates that arrive together, each by one of two controllers, on one of two networks. */
  readonly creates: readonly { readonly by: number; readonly on: number }[];
  /** What becomes of the commits of each controller, one after the other. */
  readonly faults: readonly (readonly ('lost' | 'dropped' | 'late')[])[];
  /** How many endpoints go afterwards. */
  readonly goes: number;
}

const faults = fc.array(fc.constantFrom('lost' as const, 'dropped' as const, 'late' as const), { maxLength: 3 });
const burst: fc.Arbitrary<Burst> = fc.record({
  creates: fc.array(fc.record({ by: fc.nat(1), on: fc.nat(1) }), { minLength: 1, maxLength: 8 }),
  faults: fc.tuple(faults, faults),
  goes: fc.nat(4),
});

describe('quotas', () => {
  it('are passed by nobody and reached by who comes first, whatever is lost on the way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 7 }),
        fc.array(burst, { minLength: 1, maxLength: 4 }),
        async (endpointsPerNetwork, endpointsPerHost, bursts) => {
          const memory = new MemoryStore();
          const settings = { endpointsPerNetwork, endpointsPerHost, quarantineMs: 0, historyMs: 0 };
          const stores = [new LossyStore(memory), new LossyStore(memory)] as const;
          await using one = await openBrain(stores[0], settings);
          await using two = await openBrain(stores[1], settings);
          const operator = new Operator(one);
          const host = await operator.host(1);
          const networks = [await operator.create(), await operator.create()] as const;
          const settle = async (): Promise<void> => {
            await Promise.all(stores.map((store) => store.heal()));
            const { revision } = await memory.list('/', signal);
            await Promise.all([one, two].map(({ cache }) => cache.atLeast(revision, signal)));
          };
          let serial = 0;
          for (const { creates, faults: lost, goes } of bursts) {
            await settle();
            stores.forEach((store, index) => {
              store.faults = [...(lost[index] ?? [])];
            });
            const outcomes = await Promise.all(
              creates.map(async ({ by, on }) => {
                const network = networks[on === 0 ? 0 : 1];
                const command = {
                  ...{ id: newEndpointId(), networkId: network.id, hostId: host.id, sandbox: `s${String(serial++)}` },
                  ...{ aliases: [], addresses: [], mac: undefined, labels: {} },
                };
                try {
                  const { committer } = by === 0 ? one : two;
                  await committer.run((context) => createEndpoint(context, command), { requestId: 'r', signal });
                  return 'made';
                } catch (error) {
                  if (error instanceof WeftError) return error.message.startsWith('host ') ? 'host' : String(on);
                  throw error;
                }
              }),
            );
            await settle();
            const { view } = two.cache;
            const onHost = view.endpointsOn(host.id).size;
            const counts = networks.map(({ id }) => view.endpointsOf(id).size);
            expect(onHost).toBeLessThanOrEqual(endpointsPerHost);
            for (const count of counts) expect(count).toBeLessThanOrEqual(endpointsPerNetwork);
            // Nothing goes meanwhile, so whatever was full is.
            if (outcomes.includes('host')) expect(onHost).toBe(endpointsPerHost);
            for (const on of [0, 1]) if (outcomes.includes(String(on))) expect(counts[on]).toBe(endpointsPerNetwork);
            const gone = [...view.endpoints.values()].slice(0, goes);
            await one.cache.atLeast(view.revision, signal);
            for (const endpoint of gone) await operator.detach(endpoint);
          }
        },
      ),
      { numRuns: 60 },
    );
  }, 120_000);
});
