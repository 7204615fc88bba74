import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeftError, type Reason } from '../../core/errors.js';
import { newNetworkId } from '../../core/ids.js';
import { pause } from '../../core/lifetime.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { Lab } from '../lab/lab.js';
import { Cluster, type Box } from './cluster.js';
import { ControllerClient, openAgent, type AgentClient } from './lab-clients.js';

/** More steps than the story can have: reaching it means that the lives do not get any further. */
const MAX_STEPS = 100;

const PATIENCE_MS = 30_000;

const boxes: readonly [Box, Box] = [
  { host: 'h1', name: 'one' },
  { host: 'h2', name: 'two' },
];

let dir: string;
let lab: Lab;

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.create({ name: 'kill-controller', hosts: 2, dir });
});
afterAll(async () => {
  await Lab.down('kill-controller', { dir });
  rmSync(dir, { recursive: true });
});

const armed = (steps: number) => ({ env: { WEFT_KILL_AT: `etcd:${String(steps)}` } });

/** Waits for what comes within a moment, looking so often that nothing happens in between. */
async function watchFor(isThere: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(PATIENCE_MS);
  while (!isThere()) if (!(await pause(1, deadline))) throw new Error('it never came');
}

const etcds = () => lab.c1.programs().filter(({ command }) => command === 'etcd');

describe('a controller that is killed at its first start', () => {
  const data = () => lab.c1.subdirectory('data');

  /** Starts what was killed again: the cluster is whole, and the operator's credentials open it. */
  async function expectWhole(): Promise<void> {
    await lab.controller.start();
    const status = (await lab.weft('c1', ['status'])) as { clusterId: string };
    expect(status.clusterId).toMatch(/^[0-9a-f-]{36}$/);
    expect(etcds()).toHaveLength(1);
    expect(await lab.c1.etcdKeys()).toEqual(['/weft/v1/o/meta']);
  }

  async function wipe(): Promise<void> {
    await lab.controller.stop();
    expect(etcds()).toEqual([]);
    for (const name of readdirSync(data())) rmSync(path.join(data(), name), { recursive: true });
  }

  it.each([
    'ca/ca.pem',
    'ca/ca.crt',
    'admin/ca.crt',
    'admin/client.key',
    'admin/client.crt',
    'etcd',
    'etcd/ca/ca.pem',
    'etcd/server.pem',
    'etcd/lock',
    'etcd/data/member',
  ])('as soon as %s is there', async (file) => {
    await wipe();
    await lab.controller.start({ untilReady: false });
    await watchFor(() => existsSync(path.join(data(), file)));
    await lab.controller.kill();
    await expectWhole();
  });

  it('after any step in etcd', async () => {
    let deaths = 0;
    for (;;) {
      await wipe();
      const ready = await lab.controller.start(armed(deaths + 1)).then(
        () => true,
        () => false,
      );
      if (ready) break;
      expect(await lab.controller.exited()).toMatchObject({ signal: 'SIGKILL' });
      deaths += 1;
      expect(deaths).toBeLessThan(MAX_STEPS);
      await expectWhole();
    }
    // At least: looking for the cluster's meta, making it, and listing.
    expect(deaths).toBeGreaterThanOrEqual(3);
  });
});

describe('a controller that is killed after any step', () => {
  let controller: ControllerClient;
  let agents: readonly [AgentClient, AgentClient];
  beforeAll(async () => {
    await lab.controller.stop();
    await lab.controller.start();
    await lab.issueCredentials();
    for (const { agent } of lab.hosts) await agent.start();
    await lab.waitForHosts();
    controller = await ControllerClient.open(lab);
    agents = [openAgent(lab, boxes[0].host), openAgent(lab, boxes[1].host)];
  });
  afterAll(async () => {
    for (const agent of agents) agent[Symbol.dispose]();
    await controller[Symbol.asyncDispose]();
  });

  /** Asks until there is an answer, as an operator would; `alreadyDone` is one when an earlier try may have succeeded. */
  async function persist(act: () => Promise<unknown>, alreadyDone?: Reason): Promise<void> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (let tries = 0; ; tries += 1) {
      try {
        await act();
        return;
      } catch (error) {
        if (!(error instanceof WeftError)) throw error;
        if (tries > 0 && error.reason === alreadyDone) return;
        if (error.status !== 'UNAVAILABLE' && error.status !== 'DEADLINE_EXCEEDED') throw error;
        if (!(await pause(20, deadline))) throw error;
      }
    }
  }

  /** Both make or remove their sandbox at the same time. An agent finds its way to the next controller by itself. */
  const both = (act: (agent: AgentClient, name: string) => Promise<unknown>) =>
    Promise.all([act(agents[0], boxes[0].name), act(agents[1], boxes[1].name)]);

  async function tell(cluster: Cluster): Promise<void> {
    const { ask, networks } = controller;
    const id = newNetworkId();
    const wish = CreateNetworkRequest.fromPartial({ id, name: 'told', ipv6: true });
    await persist(() => ask(networks.create.bind(networks), wish));
    const attachments = [{ network: 'told', addresses: [], mac: '', aliases: [], labels: {} }];
    await both(({ ask, sandboxes }, name) => ask(sandboxes.create.bind(sandboxes), { name, attachments, wait: false }));
    await persist(() => controller.converged());
    const endpoints = await listEndpoints();
    expect(endpoints.map(({ sandbox }) => sandbox).sort()).toEqual(boxes.map(({ name }) => name));
    const addresses = endpoints.flatMap((endpoint) => endpoint.addresses);
    expect(new Set(addresses).size).toBe(4);
    const [first, second] = boxes;
    const pings = addresses.map((address) => cluster.ping(first, address, { count: 1 }));
    expect(await Promise.all(pings)).toEqual(addresses.map(() => ({ sent: 1, received: 1 })));
    await both(({ ask, sandboxes }, name) =>
      name === second.name
        ? ask(sandboxes.delete.bind(sandboxes), { name, wait: false })
        : ask(sandboxes.disconnect.bind(sandboxes), { name, network: 'told', wait: false }),
    );
    await persist(() => ask(networks.delete.bind(networks), { network: id }), 'NETWORK_NOT_FOUND');
    const [agent] = agents;
    await agent.ask(agent.sandboxes.delete.bind(agent.sandboxes), { name: first.name, wait: false });
  }

  async function listEndpoints() {
    let endpoints: Awaited<ReturnType<ControllerClient['listEndpoints']>> = [];
    await persist(async () => (endpoints = await controller.listEndpoints()));
    return endpoints;
  }

  /** Starts the controller again when it dies; whether it did before the signal. */
  async function startAgain(signal: AbortSignal): Promise<boolean> {
    const exit = await lab.controller.exited(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (exit === undefined) return false;
    expect(exit).toMatchObject({ signal: 'SIGKILL' });
    await lab.controller.start();
    return true;
  }

  /** Tells the story to a controller that dies after so many steps, and is started again; whether it died. */
  async function live(steps: number): Promise<boolean> {
    await lab.controller.stop();
    await lab.controller.start({ ...armed(steps), untilReady: false });
    const over = new AbortController();
    const died = startAgain(over.signal);
    died.catch(() => undefined);
    try {
      await tell(new Cluster(lab));
      await persist(() => controller.converged());
      await expect.poll(() => lab.leftovers(), { timeout: PATIENCE_MS, interval: 20 }).toEqual([]);
    } finally {
      over.abort();
      await died;
    }
    expect(etcds()).toHaveLength(1);
    return died;
  }

  it(
    'is started again and finishes what it began: nothing twice, nothing lost, nothing left',
    async () => {
      let deaths = 0;
      while (await live(deaths + 1)) {
        deaths += 1;
        expect(deaths).toBeLessThan(MAX_STEPS);
      }
      expect(deaths).toBeGreaterThan(10);
    },
    15 * 60_000,
  );
});
