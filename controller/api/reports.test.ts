import { expect, it } from 'vitest';
import { deferred, type Deferred } from '../../core/lifetime.js';
import { deleteEndpoint } from '../domain/endpoint.js';
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
  const reports = new Reports({ cache, committer, hostId: host.id, signal, log: SILENT });

  store.slow = true;
  const deleting = committer.run((context) => deleteEndpoint(context, { id, hostId: undefined }), {
    ...{ requestId: 'r', signal },
  });
  await expect.poll(() => store.waiting.length).toBe(1);
  reports.take({ readyEndpointIds: [id], removedEndpointIds: [] });
  await store.release();
  await deleting;
  // That it is ready was decided before, and is on its way yet.
  await expect.poll(() => store.waiting.length).toBe(1);
  expect(cache.view.endpoints.get(id)?.state).toBe('removing');
  reports.take({ readyEndpointIds: [], removedEndpointIds: [id] });
  store.slow = false;
  await store.release();
  await expect.poll(() => cache.view.endpoints.has(id)).toBe(false);
});
