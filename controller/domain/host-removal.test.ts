import { expect, it } from 'vitest';
import { newEndpointId } from '../../core/ids.js';
import { MemoryStore } from '../store/memory.js';
import type { Transaction } from '../store/store.js';
import { openBrain } from '../testing.js';
import { createEndpoint } from './endpoint.js';
import { removeHost } from './host-removal.js';
import { Operator, wish } from './network.testing.js';

const options = { requestId: 'r', signal: new AbortController().signal };

it('leaves no endpoint of a host that is not there any more, however late it was decided', async () => {
  const store = new MemoryStore();
  await using brain = await openBrain(store);
  const operator = new Operator(brain);
  const host = await operator.host(1);
  const network = await operator.create({ name: 'blue', subnets: [wish('10.1.0.0/24')] });
  const late: Transaction[] = [];
  await brain.committer.run((context) => {
    const decision = createEndpoint(context, {
      ...{ id: newEndpointId(), networkId: network.id, hostId: host.id, sandbox: 'web', aliases: [] },
      ...{ addresses: [], mac: undefined, labels: {} },
    });
    if ('transaction' in decision) late.push(decision.transaction);
    return { kind: 'done', result: undefined };
  }, options);
  await brain.committer.run((context) => removeHost(context, { hostId: host.id, force: false }), options);
  expect(late).toHaveLength(1);
  for (const transaction of late)
    expect(await store.commit(transaction, options.signal)).toMatchObject({ committed: false });
  expect(brain.cache.view.endpoints.size).toBe(0);
});
