import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newEndpointId, newHostId, newNetworkId, type EndpointId } from '../../core/ids.js';
import { parseIp } from '../../core/address.js';
import { GUARDS } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';
import type { Context, Decision } from './decision.js';
import { createEndpoint, deleteEndpoint, releaseEndpoint } from './endpoint.js';
import { registerHost } from './host.js';
import { createNetwork } from './network.js';
import { defaultPools } from './subnet-pool.js';

const signal = new AbortController().signal;
const hostId = newHostId();
const networks = [newNetworkId(), newNetworkId(), newNetworkId()];

let brain: Brain;
const run = <Result>(rule: (context: Context) => Decision<Result>) =>
  brain.committer.run(rule, { requestId: 'test', signal });

beforeEach(async () => {
  brain = await openBrain(new MemoryStore());
  const vtep = parseIp('192.0.2.1');
  if (vtep === undefined) throw new Error('no address');
  await run((context) => registerHost(context, { id: hostId, name: 'h1', vtep, version: '' }));
  for (const [index, id] of networks.entries()) {
    await run((context) =>
      createNetwork(
        context,
        {
          id,
          name: `n${String(index)}`,
          driver: 'overlay',
          ipv6: false,
          internal: false,
          mtu: undefined,
          subnets: [],
          labels: {},
          options: {},
        },
        defaultPools('8f14e45f-ceea-467f-a8e3-0d2f1ed6b5a1'),
      ),
    );
  }
});

afterEach(() => brain[Symbol.asyncDispose]());

/** Connects sandbox `a` to every network, then marks all of it as to be removed. */
async function removing(): Promise<EndpointId[]> {
  const ids: EndpointId[] = [];
  for (const networkId of networks) {
    const id = newEndpointId();
    const command = { id, networkId, hostId, sandbox: 'a', aliases: [], addresses: [], mac: undefined, labels: {} };
    await run((context) => createEndpoint(context, command));
    await run((context) => deleteEndpoint(context, { id, hostId }));
    ids.push(id);
  }
  return ids;
}

const guards = async () => (await brain.store.list(`${GUARDS}sandboxes/`, signal)).entries.map(({ key }) => key);

describe('endpoints of one sandbox that are released at the same time', () => {
  it('leave no guard behind, and the sandbox’s name can be used again', async () => {
    for (let round = 0; round < 2; round++) {
      const ids = await removing();
      expect(await guards()).toHaveLength(1);
      await Promise.all(ids.map((id) => run((context) => releaseEndpoint(context, { id, hostId }))));
      expect(await guards()).toEqual([]);
    }
  });
});
