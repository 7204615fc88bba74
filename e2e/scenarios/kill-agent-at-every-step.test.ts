import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeftError, type Reason } from '../../core/errors.js';
import { EndpointState } from '../../proto/gen/weft/v1/endpoint.js';
import type { Attachment } from '../../proto/gen/weft/v1/sandbox.js';
import { Lab } from '../lab/lab.js';
import { Cluster, type Box } from './cluster.js';
import { kernelPicture } from './kernel-picture.js';
import { ControllerClient, openAgent, type AgentClient } from './lab-clients.js';

/** More steps than the story can have: reaching it means that the lives do not get any further. */
const MAX_STEPS = 250;

/** The sandbox whose life is told, one beside it on the same host, and one on another. */
const told: Box = { host: 'h1', name: 'told' };
const near: Box = { host: 'h1', name: 'near' };
const far: Box = { host: 'h2', name: 'far' };

let dir: string;
let lab: Lab;
/** The networks' ids, and their names. */
const networkNames = new Map<string, string>();
let controller: ControllerClient;
/** What is there before and after each life. */
let before: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'kill-agent', hosts: 2, dir });
  const cluster = new Cluster(lab);
  controller = await ControllerClient.open(lab);
  // Of the second network h1 has nothing but the story's sandbox: all of it is made and unmade each time.
  for (const network of ['one', 'two']) {
    networkNames.set((await cluster.createNetwork(network, '--ipv6')).id, network);
  }
  await cluster.createSandbox(near, ['one']);
  await cluster.createSandbox(far, ['one', 'two']);
  await controller.converged();
  before = await everything();
});
afterAll(async () => {
  await Lab.down('kill-agent', { dir });
  rmSync(dir, { recursive: true });
});

/** Keys in the store, the kernels of both hosts, and the agent's own files: what a life may not change. */
async function everything() {
  const [keys, h1, h2] = await Promise.all([lab.c1.etcdKeys(), ...lab.hosts.map((host) => kernelPicture(host))]);
  const host = lab.host('h1');
  const records = readdirSync(path.join(host.subdirectory('state'), 'sandboxes'));
  const files = readdirSync(host.fromOutside('/run/weft/sandboxes'));
  return { keys, h1, h2, records, files };
}

/** A part of the story, and the refusals that say it was done already. */
interface Chapter {
  readonly title: string;
  readonly tell: (agent: AgentClient) => Promise<unknown>;
  readonly alreadyDone: readonly Reason[];
  /** Networks the sandbox is on afterwards. */
  readonly networks: readonly string[];
}

const to = (network: string): Attachment => ({ network, addresses: [], mac: '', aliases: [], labels: {} });
const { name } = told;

const STORY: readonly Chapter[] = [
  {
    title: 'create',
    tell: ({ ask, sandboxes }) =>
      ask(sandboxes.create.bind(sandboxes), { name, attachments: [to('one')], wait: false }),
    alreadyDone: ['SANDBOX_EXISTS'],
    networks: ['one'],
  },
  {
    title: 'connect',
    tell: ({ ask, sandboxes }) => ask(sandboxes.connect.bind(sandboxes), { name, attachment: to('two'), wait: false }),
    alreadyDone: ['ALREADY_CONNECTED'],
    networks: ['one', 'two'],
  },
  {
    title: 'disconnect',
    tell: ({ ask, sandboxes }) => ask(sandboxes.disconnect.bind(sandboxes), { name, network: 'two', wait: false }),
    alreadyDone: ['NOT_CONNECTED'],
    networks: ['one'],
  },
  {
    title: 'rm',
    tell: ({ ask, sandboxes }) => ask(sandboxes.delete.bind(sandboxes), { name, wait: false }),
    alreadyDone: ['SANDBOX_NOT_FOUND'],
    networks: [],
  },
];

/** Tells the story to an agent that dies after so many steps; where it died, undefined when it came to the end. */
async function live(steps: number): Promise<string | undefined> {
  const { agent } = lab.host('h1');
  await agent.stop();
  let died: string | undefined;
  let where = 'start';
  let client: AgentClient | undefined;
  const startAgain = async (): Promise<void> => {
    expect(await agent.exited()).toMatchObject({ signal: 'SIGKILL' });
    died = where;
    client?.[Symbol.dispose]();
    await agent.start();
    client = openAgent(lab, 'h1');
  };
  try {
    await agent.start({ env: { WEFT_KILL_AT: `netlink:${String(steps)}` } }).catch(async (error: unknown) => {
      if (agent.running) throw error;
      await startAgain();
    });
    client ??= openAgent(lab, 'h1');
    for (const chapter of STORY) {
      where = chapter.title;
      for (let told = false; !told;) {
        try {
          await chapter.tell(client);
          told = true;
        } catch (error) {
          if (!(error instanceof WeftError)) throw error;
          told = died !== undefined && chapter.alreadyDone.includes(error.reason);
          if (told) continue;
          // Dying after it took the request, or still at its start; never twice.
          if (died !== undefined || error.reason !== 'AGENT_UNAVAILABLE') throw error;
          await startAgain();
        }
      }
      await expect.poll(settled, { timeout: 15_000, interval: 20 }).toEqual(expectedWith(chapter.networks));
      if (died === undefined && !agent.running) await startAgain();
      await controller.converged();
      if (chapter.networks.length > 0) await reachable(chapter.networks);
    }
    await expect.poll(everything, { timeout: 15_000, interval: 20 }).toEqual(before);
    if (died === undefined && !agent.running) await startAgain();
    return died;
  } finally {
    client?.[Symbol.dispose]();
  }
}

const place = (box: Box, network: string): string => `${box.name} ${network}`;

/** Every endpoint that should be there, ready. */
function expectedWith(networks: readonly string[]): string[] {
  return [
    ...networks.map((network) => place(told, network)),
    ...[place(near, 'one'), place(far, 'one'), place(far, 'two')],
  ].sort();
}

/** Every endpoint in the store; one that is not ready says so. No two have an address or a MAC in common. */
async function settled(): Promise<string[]> {
  const endpoints = await controller.listEndpoints();
  const held = endpoints.flatMap(({ networkId, addresses, mac }) =>
    [...addresses, mac].map((what) => `${networkId} ${what}`),
  );
  expect(held).toHaveLength(new Set(held).size);
  return endpoints
    .map(({ sandbox, networkId, state }) => {
      const at = `${sandbox} ${networkNames.get(networkId) ?? networkId}`;
      return state === EndpointState.ENDPOINT_STATE_READY ? at : `${at} ${EndpointState[state]}`;
    })
    .sort();
}

/** One ping each, by every way there is: the cluster says that it has converged, so none may be lost. */
async function reachable(networks: readonly string[]): Promise<void> {
  const others = (await controller.listEndpoints())
    .filter(({ sandbox, networkId }) => sandbox !== name && networks.includes(networkNames.get(networkId) ?? ''))
    .flatMap(({ addresses }) => addresses);
  expect(others).toHaveLength(networks.length === 2 ? 6 : 4);
  const pings = others.map(async (address) => {
    const argv = ['ip', 'netns', 'exec', `weft-s-${name}`, 'ping', '-n', '-q', '-c', '1', '-W', '2', address];
    return [address, (await lab.host('h1').exec(argv)).code];
  });
  expect(await Promise.all(pings)).toEqual(others.map((address) => [address, 0]));
}

describe('an agent that is killed after any step', () => {
  it(
    'comes back to what should be: nothing twice, nothing lost, nothing left',
    async () => {
      const deaths: string[] = [];
      for (;;) {
        const died = await live(deaths.length + 1);
        if (died === undefined) break;
        deaths.push(died);
        expect(deaths.length).toBeLessThan(MAX_STEPS);
      }
      expect(deaths.length).toBeGreaterThan(10);
      expect(new Set(deaths)).toEqual(new Set(['start', ...STORY.map(({ title }) => title)]));
      // The agent that came to the end would die of one step more.
      await lab.host('h1').agent.stop();
      await lab.host('h1').agent.start();
      await lab.weft('h1', ['sandbox', 'rm', near.name]);
      await lab.weft('h2', ['sandbox', 'rm', far.name]);
      await lab.weft('h1', ['network', 'rm', 'one', 'two']);
      expect(await lab.leftovers()).toEqual([]);
    },
    15 * 60_000,
  );
});
