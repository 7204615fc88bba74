/** Agents that come back to a controller which has never heard of them: the agent's own code, over gRPC. */
import { describe, expect, it } from 'vitest';
import type { HostView, NetworkView } from '../../core/fold.js';
import { newHostId, type EndpointId, type NetworkId } from '../../core/ids.js';
import { putEndpoint, putNetwork } from '../../controller/cache/objects.js';
import { createCa } from '../../controller/identity/ca.js';
import { objectKey } from '../../controller/store/keys.js';
import { MemoryStore } from '../../controller/store/memory.js';
import { openController } from '../../controller/testing.js';
import { SimulatedAgent, type SimulatedHost } from './agent.js';
import { Sharing } from './sharing.js';
import { eventually, makeEndpoint, makeHosts, makeNetwork, targetOf } from './testing.js';

const never = new AbortController().signal;

/** A view in a form that is equal where the views are. */
function plain(view: HostView | undefined): unknown {
  const sorted = <T>(map: ReadonlyMap<string, T>): (readonly [string, T])[] =>
    [...map].sort(([one], [other]) => (one < other ? -1 : 1));
  const networks = sorted(view ?? new Map<NetworkId, NetworkView>());
  return networks.map(([id, { network, endpoints, peers }]) => [id, network, sorted(endpoints), sorted(peers)]);
}

/** Agents that run until they are disposed of. */
class Running implements AsyncDisposable {
  readonly agents: readonly SimulatedAgent[];
  readonly #stop = new AbortController();
  readonly #running: readonly Promise<void>[];

  constructor(hosts: readonly SimulatedHost[], { ca, target }: { readonly ca: string; readonly target: string }) {
    const sharing = new Sharing();
    this.agents = hosts.map((host) => new SimulatedAgent({ host, ca, target, sharing, onAck: () => undefined }));
    this.#running = this.agents.map((agent) => agent.run(this.#stop.signal));
  }

  async untilFollowing(streams: number): Promise<void> {
    await eventually(() => this.agents.every((agent) => agent.isFollowing && agent.streams.count === streams));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
    for (const agent of this.agents) agent[Symbol.dispose]();
  }
}

describe('agents whose controller is another one', () => {
  it('are told what changed meanwhile, and end with what new agents are told', async () => {
    const store = new MemoryStore();
    const ca = await createCa('test');
    let controller = await openController(store, { ca });
    try {
      const { port } = controller;
      const at = { ca: ca.cert, target: targetOf(controller) };
      const hosts = await makeHosts({ ca }, 3);
      await using running = new Running(hosts, at);
      const { agents } = running;
      await running.untilFollowing(1);
      const client = await controller.client({ role: 'admin', name: 'operator' });
      const [wide, narrow, left] = [
        await makeNetwork(client, 'wide'),
        await makeNetwork(client, 'narrow'),
        await makeNetwork(client, 'left'),
      ];
      const make = (network: NetworkId, count: number): Promise<EndpointId[]> =>
        Promise.all(
          Array.from({ length: count }, (_, index) =>
            makeEndpoint(client, network, hosts[index % 3]?.hostId ?? newHostId()),
          ),
        );
      const ofWide = await make(wide, 200);
      await make(narrow, 40);
      const ofLeft = await make(left, 1);
      const { cache } = controller.brain;
      await eventually(() => [...cache.view.endpoints.values()].every(({ state }) => state === 'ready'));
      await eventually(() => [...controller.fanout.sessions].every(({ openRevision }) => openRevision === undefined));
      const receivedBefore = agents.map((agent) => agent.receivedBytes);

      await controller[Symbol.asyncDispose]();
      const view = agents[0]?.known?.view;
      const [changed, gone] = ofWide.map((id) => view?.get(wide)?.endpoints.get(id));
      const settings = view?.get(narrow)?.network;
      if (changed === undefined || gone === undefined || settings === undefined) throw new Error('not followed');
      const puts = [putEndpoint({ ...changed, aliases: ['other'] }), putNetwork({ ...settings, labels: { a: 'b' } })];
      const deletes = [objectKey.endpoint(wide, gone.id), ...ofLeft.map((id) => objectKey.endpoint(left, id))];
      await store.commit({ compares: [], puts, deletes }, never);
      controller = await openController(store, { ca, port });
      await running.untilFollowing(2);
      const resumed = agents.map((agent, index) => agent.receivedBytes - (receivedBefore[index] ?? 0));

      await using fresh = new Running(hosts, at);
      await fresh.untilFollowing(1);
      expect(agents.map((agent) => plain(agent.known?.view))).toEqual(
        fresh.agents.map((agent) => plain(agent.known?.view)),
      );
      expect(agents[0]?.known?.view.get(wide)?.endpoints.get(changed.id)?.aliases).toEqual(['other']);
      expect(agents.map((agent) => agent.known?.view.has(left))).toEqual([false, false, false]);
      for (const [index, agent] of fresh.agents.entries()) {
        expect(resumed[index]).toBeGreaterThan(0);
        // Two buckets of 16 or so, of some fifteen.
        expect((resumed[index] ?? Infinity) / agent.receivedBytes).toBeLessThan(0.3);
      }
    } finally {
      await controller[Symbol.asyncDispose]();
    }
  });
});
