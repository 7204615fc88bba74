import { describe, expect, it } from 'vitest';
import { newHostId, type EndpointId } from '../../core/ids.js';
import { spanOf } from '../../controller/fanout/span.js';
import { MemoryStore } from '../../controller/store/memory.js';
import { openController } from '../../controller/testing.js';
import { monotonicMs, SimulatedAgent } from './agent.js';
import { SimulatedAgents } from './agents.js';
import { Sharing } from './sharing.js';
import { eventually, makeEndpoint, makeHosts, makeNetwork, targetOf } from './testing.js';

describe('simulated agents', () => {
  it('come to know what the controller knows, and say of their endpoints what hosts say', async () => {
    await using controller = await openController(new MemoryStore());
    const client = await controller.client({ role: 'admin', name: 'operator' });
    const { cache } = controller.brain;
    const sharing = new Sharing();
    const hosts = await makeHosts(controller, 3);
    const options = { ca: controller.ca.cert, target: targetOf(controller), sharing, onAck: () => undefined };
    const agents = hosts.map((host) => new SimulatedAgent({ ...options, host }));
    const stop = new AbortController();
    const running = agents.map((agent) => agent.run(stop.signal));
    try {
      await eventually(() => agents.every(({ isFollowing }) => isFollowing));
      const networks = [await makeNetwork(client, 'first'), await makeNetwork(client, 'second')];
      const made: EndpointId[] = [];
      for (let round = 0; round < 40; round += 1) {
        for (const [at, { hostId }] of hosts.entries()) {
          // The last host is on one of the networks only.
          made.push(await makeEndpoint(client, networks[at === 2 ? 0 : round % 2] ?? '', hostId));
        }
      }
      // Pending ones are attached at once, and removing ones are out of the kernel.
      await eventually(() => [...cache.view.endpoints.values()].every(({ state }) => state === 'ready'));
      for (const id of made.slice(0, 30)) await client.call(client.endpoints.delete.bind(client.endpoints), { id });
      await eventually(() => cache.view.endpoints.size === made.length - 30);
      await eventually(() => [...controller.fanout.sessions].every(({ openRevision }) => openRevision === undefined));

      for (const { hostId, known } of agents) {
        if (known === undefined) throw new Error('it follows');
        expect(new Set(known.view.keys())).toEqual(spanOf(cache.view, hostId));
        for (const [id, { network, endpoints, peers }] of known.view) {
          expect(network).toEqual(cache.view.networks.get(id));
          expect(new Map(endpoints)).toEqual(new Map(cache.view.endpointsOf(id)));
          expect([...peers.keys()].sort()).toEqual([...cache.view.countsOf(id).keys()].sort());
        }
      }
      expect(agents.map(({ known }) => known?.view.size)).toEqual([2, 2, 1]);
    } finally {
      stop.abort();
      await Promise.all(running);
      for (const agent of agents) agent[Symbol.dispose]();
    }
  });

  it('run in processes of their own, say when they acknowledged what, and can be stopped', async () => {
    await using controller = await openController(new MemoryStore());
    const client = await controller.client({ role: 'admin', name: 'operator' });
    const hosts = await makeHosts(controller, 6);
    let pids: readonly number[];
    {
      await using agents = await SimulatedAgents.start({
        ...{ hosts, ca: controller.ca.cert, target: targetOf(controller), staggerMs: 50, processes: 2 },
      });
      pids = agents.processes.map(({ pid }) => pid);
      await eventually(async () => (await agents.standing()).following === hosts.length);
      const network = await makeNetwork(client, 'net');
      for (const { hostId } of hosts) await makeEndpoint(client, network, hostId);
      await eventually(() =>
        [...controller.brain.cache.view.endpoints.values()].every(({ state }) => state === 'ready'),
      );

      const reached = async (): Promise<number> =>
        (await agents.standing(controller.brain.cache.view.revision)).reached;
      await eventually(async () => (await reached()) === hosts.length);
      await agents.record();
      const beganMs = monotonicMs();
      agents.processes[0]?.freeze();
      await makeEndpoint(client, network, hosts[1]?.hostId ?? newHostId());
      const { revision } = controller.brain.cache.view;
      const sessions = () => [...controller.fanout.sessions].filter(({ ackedRevision }) => ackedRevision >= revision);
      await eventually(() => sessions().length === 3);
      agents.processes[0]?.thaw();
      await eventually(async () => (await reached()) === hosts.length);

      const acks = await agents.recorded();
      expect([...acks.keys()].sort()).toEqual(hosts.map(({ hostId }) => hostId).sort());
      for (const { revisions, timesMs } of acks.values()) {
        const at = revisions.findIndex((each) => each >= Number(revision));
        expect(timesMs[at]).toBeGreaterThan(beganMs);
        expect(timesMs[at]).toBeLessThan(monotonicMs());
      }
      const received = [...(await agents.received()).values()];
      expect(Math.min(...received)).toBeGreaterThan(100);
      const summaries = [...(await agents.summaries()).values()];
      expect(new Set(summaries.map((summary) => JSON.stringify(summary))).size).toBe(1);
      expect(summaries[0]).toEqual({ [network]: expect.stringMatching(/^7 6 \d+$/) as string });
      expect((await agents.standing()).receivedBytes).toBeGreaterThan(600);
      agents.processes[1]?.freeze();
    }
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});
