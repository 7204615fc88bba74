import { expect, it } from 'vitest';
import { deferred, pause, type Deferred } from '../../core/lifetime.js';
import { deleteEndpoint, markReady } from '../domain/endpoint.js';
import { Operator, wish } from '../domain/network.testing.js';
import { MemoryStore } from '../store/memory.js';
import type { CommitResult, Transaction } from '../store/store.js';
import { SILENT, openBrain } from '../testing.js';
import { Reports } from './reports.js';

/** Commits only what is let go, one after the other. */
class SlowStore extends MemoryStore {
  slow = false;
  /** What waits, the first first. */
  readonly waiting: Deferred<undefined>[] = [];

  override async commit(transaction: Transaction, signal: AbortSignal): Promise<CommitResult> {
    if (this.slow) {
      const turn = deferred<undefined>();
      this.waiting.push(turn);
      await turn.promise;
    }
    return super.commit(transaction, signal);
  }

  /** Lets the next one go, once it is there. */
  async release(): Promise<void> {
    await expect.poll(() => this.waiting.length).toBeGreaterThan(0);
    this.waiting.shift()?.resolve(undefined);
  }
}

it('releases an endpoint whose removal is reported while its readiness is still being written', async () => {
  const store = new SlowStore();
  await using brain = await openBrain(store);
  const { cache, committer } = brain;
  const operator = new Operator(brain);
  const host = await operator.host(1);
  const network = await operator.create({ name: 'blue', subnets: [wish('10.1.0.0/24')] });
  const { id } = await operator.attach(network.id, host);
  const { signal } = new AbortController();
  const reports = new Reports({ cache, committer, hostId: host.id, signal, log: SILENT, isInSync: () => true });

  store.slow = true;
  const deleting = committer.run((context) => deleteEndpoint(context, { id, hostId: undefined }), {
    ...{ requestId: 'r', signal },
  });
  await expect.poll(() => store.waiting.length).toBe(1);
  reports.take({ readyEndpointIds: [id], removedEndpointIds: [], leakedEndpointIds: [] });
  await store.release();
  await deleting;
  // That it is ready was decided before, and is on its way yet.
  await expect.poll(() => store.waiting.length).toBe(1);
  expect(cache.view.endpoints.get(id)?.state).toBe('removing');
  reports.take({ readyEndpointIds: [], removedEndpointIds: [id], leakedEndpointIds: [] });
  store.slow = false;
  await store.release();
  await expect.poll(() => cache.view.endpoints.has(id)).toBe(false);
});

it('removes an endpoint that its host has missed for a while, and no other', async () => {
  await using brain = await openBrain(new MemoryStore());
  const { cache, committer } = brain;
  const operator = new Operator(brain);
  const [host, other] = [await operator.host(1), await operator.host(2)];
  const network = await operator.create({ name: 'blue', subnets: [wish('10.1.0.0/24')] });
  const [leaked, foreign, pending] = [
    await operator.attach(network.id, host),
    await operator.attach(network.id, other),
    await operator.attach(network.id, host, { sandbox: 'db' }),
  ];
  const { signal } = new AbortController();
  for (const { id, hostId } of [leaked, foreign]) {
    await committer.run((context) => markReady(context, { id, hostId }), { requestId: 'r', signal });
  }
  let isInSync = false;
  const options = { cache, committer, hostId: host.id, signal, log: SILENT, isInSync: () => isInSync, leakMs: 30 };
  const reports = new Reports(options);
  const missing = (...ids: readonly string[]): void => {
    reports.take({ readyEndpointIds: [], removedEndpointIds: [], leakedEndpointIds: [...ids] });
  };
  const states = () => [leaked, foreign, pending].map(({ id }) => cache.view.endpoints.get(id)?.state);
  const all = [leaked.id, foreign.id, pending.id];
  const before = states();
  const later = (): Promise<boolean> => pause(40, signal);
  // Before it knows the state, once, or with a break: nothing of that is a leak.
  missing(...all);
  await later();
  isInSync = true;
  missing(...all);
  missing(...all);
  await later();
  missing();
  missing(...all);
  await reports.settled();
  expect(states()).toEqual(before);
  await later();
  missing(...all);
  await expect.poll(states).toEqual(['removing', 'ready', 'pending']);
});
