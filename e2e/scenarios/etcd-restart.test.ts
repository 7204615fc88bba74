import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Outcome } from '../lab/process.js';
import { Lab } from '../lab/lab.js';
import { identify, sendSignal } from '../lab/procfs.js';
import { Cluster, type Box } from './cluster.js';
import { ControllerClient } from './lab-clients.js';

const PATIENCE_MS = 30_000;

/** Present throughout, so that there is always somebody to talk from and to. */
const first: Box = { host: 'h1', name: 'first' };
const second: Box = { host: 'h2', name: 'second' };

let dir: string;
let lab: Lab;
let cluster: Cluster;
let controller: ControllerClient;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'etcd-restart', hosts: 2, dir });
  cluster = new Cluster(lab);
  controller = await ControllerClient.open(lab);
  await cluster.createNetwork('net', '--ipv6');
  for (const box of [first, second]) await cluster.createSandbox(box, ['net']);
});
afterAll(async () => {
  await Lab.down('etcd-restart', { dir });
  rmSync(dir, { recursive: true });
});

const etcdPid = (): number => lab.c1.etcd()?.pid ?? 0;

/** A command may be late, or say in one plain sentence that it was too late; it does nothing else. */
function expectPlain({ code, stderr }: Outcome): void {
  expect([0, 5]).toContain(code);
  if (code === 0) expect(stderr).toBe('');
  else expect(stderr).toMatch(/^weft: [^\n]{10,300}\n$/);
  expect(stderr).not.toMatch(/\bat \S+:\d+|Error:|undefined/);
}

/** What became of one sandbox, by the exit statuses of its commands. */
interface Fate {
  readonly box: Box;
  readonly created: number;
  /** Undefined: it was to stay. */
  readonly removed: number | undefined;
}

/** Makes sandboxes on a host one after the other, and removes most of them again, until the signal aborts. */
async function work(host: string, worker: number, signal: AbortSignal, fates: Fate[]): Promise<void> {
  for (let round = 0; !signal.aborted; round += 1) {
    const box = { host, name: `${host}-${String(worker)}-${String(round)}` };
    const create = await lab.host(host).exec(['weft', 'sandbox', 'create', '--network', 'net', box.name]);
    expectPlain(create);
    const stays = round % 4 === 0;
    const remove = stays ? undefined : await lab.host(host).exec(['weft', 'sandbox', 'rm', '-f', box.name]);
    if (remove !== undefined) expectPlain(remove);
    fates.push({ box, created: create.code, removed: remove?.code });
  }
}

/** Sandboxes as the agents, the kernels and the store have them; the same in all three, or the difference shows. */
async function sandboxes(): Promise<{ agents: string[]; kernels: string[]; store: string[] }> {
  const endpoints = await cluster.endpoints();
  const held = endpoints.flatMap(({ addresses, mac }) => [...addresses, mac]);
  expect(new Set(held).size).toBe(held.length);
  const agents = await Promise.all(
    lab.hosts.map(async ({ name }) => {
      const found = (await lab.weft(name, ['sandbox', 'ls'])) as { sandboxes: { name: string; state: string }[] };
      return found.sandboxes.map((each) => (each.state === 'SANDBOX_STATE_READY' ? each.name : JSON.stringify(each)));
    }),
  );
  const kernels = lab.hosts.flatMap((host) => host.namespaces().filter((name) => name.startsWith('weft-s-')));
  return {
    agents: agents.flat().sort(),
    kernels: kernels.map((name) => name.slice('weft-s-'.length)).sort(),
    store: endpoints
      .map(({ sandbox, state }) => (state === 'ENDPOINT_STATE_READY' ? sandbox : `${sandbox} ${state}`))
      .sort(),
  };
}

/** Waits until agents, kernels and store agree and every host has everything; the sandboxes there are then. */
async function settle(): Promise<readonly string[]> {
  const disagreement = async () => {
    const { agents, kernels, store } = await sandboxes();
    return { kernels: differ(agents, kernels), store: differ(agents, store) };
  };
  await expect.poll(disagreement, { timeout: PATIENCE_MS, interval: 50 }).toEqual({ kernels: [], store: [] });
  await controller.converged();
  return (await sandboxes()).agents;
}

const differ = (some: readonly string[], others: readonly string[]): string[] => [
  ...some.filter((each) => !others.includes(each)),
  ...others.filter((each) => !some.includes(each)),
];

describe('etcd that is killed under load', () => {
  const fates: Fate[] = [];

  it('comes back by itself, and commands are late at most', async () => {
    const over = new AbortController();
    const workers = ['h1', 'h2'].flatMap((host) => [0, 1].map((each) => work(host, each, over.signal, fates)));
    const working = Promise.all(workers);
    working.catch(() => undefined);
    try {
      for (let kill = 0; kill < 4; kill += 1) {
        const [pid, done] = [etcdPid(), fates.length];
        // In the middle of the work, not before it has begun.
        await expect.poll(() => fates.length, { timeout: PATIENCE_MS }).toBeGreaterThan(done + 3);
        await lab.c1.killEtcd();
        await expect.poll(() => lab.c1.etcd() !== undefined && etcdPid() !== pid, { timeout: PATIENCE_MS }).toBe(true);
      }
      const done = fates.length;
      await expect.poll(() => fates.length, { timeout: PATIENCE_MS }).toBeGreaterThan(done + 3);
    } finally {
      over.abort();
      await working;
    }
  });

  it('leaves everything as the commands said: no duplicate, nothing half', async () => {
    const there = await settle();
    for (const { box, created, removed } of fates) {
      if (removed === 0) expect(there).not.toContain(box.name);
      if (removed === undefined && created === 0) expect(there).toContain(box.name);
    }
    expect(fates.filter(({ created, removed }) => created === 0 && removed === undefined).length).toBeGreaterThan(0);
  });

  it('carries packets between all that are there', async () => {
    const addresses = (await cluster.endpoints()).flatMap((endpoint) => endpoint.addresses);
    for (const from of [first, second]) {
      const pings = addresses.map(async (to) => ({ to, ...(await cluster.ping(from, to, { count: 1 })) }));
      expect(await Promise.all(pings)).toEqual(addresses.map((to) => ({ to, sent: 1, received: 1 })));
    }
  });
});

describe('etcd that hangs', () => {
  it('makes commands fail in time, in a plain sentence; what was asked happens whole or not at all', async () => {
    const etcd = identify(etcdPid());
    if (etcd === undefined) throw new Error('no etcd');
    const argvs = [
      ['network', 'create', '--ipv6', 'late'],
      ['sandbox', 'create', '--network', 'net', 'late'],
      ['network', 'rm', 'net'],
      ['status'],
    ];
    sendSignal(etcd, 'SIGSTOP');
    try {
      const hanging = argvs.map((argv) => lab.host('h1').exec(['weft', '--timeout', '2', ...argv]));
      const outcomes = await Promise.all(hanging);
      for (const outcome of outcomes) if (outcome.code !== 4) expectPlain(outcome);
      expect(outcomes.slice(0, 2).map(({ code }) => code)).toEqual([5, 5]);
      // What is known without etcd is still said.
      expect(outcomes[2]?.code).toBe(4);
    } finally {
      sendSignal(etcd, 'SIGCONT');
    }
    const there = await settle();
    if (there.includes('late')) await lab.weft('h1', ['sandbox', 'rm', 'late']);
    await lab.weft('h1', ['network', 'rm', '-f', 'late']);
    await lab.weft('h1', ['network', 'create', '--ipv6', 'late']);
    await lab.weft('h1', ['sandbox', 'create', '--network', 'late', 'late']);
    await lab.weft('h1', ['sandbox', 'rm', 'late']);
    await lab.weft('h1', ['network', 'rm', 'late']);
  });
});

describe('a ping across hosts', () => {
  it('loses no packet while controller and etcd are killed and started again', async () => {
    const target = await cluster.addressOf(second.name, 'net', 6);
    const isPinging = (): boolean =>
      lab
        .host('h1')
        .programs()
        .some(({ command }) => command === 'ping');
    const pinging = cluster.ping(first, target, { count: 1_000, gapMs: 10 });
    await expect.poll(isPinging).toBe(true);
    await lab.controller.kill();
    await lab.controller.start();
    await lab.waitForHosts();
    await lab.c1.killEtcd();
    await lab.waitForHosts();
    // A ping that was over before would have shown nothing.
    expect(isPinging()).toBe(true);
    expect(await pinging).toEqual({ sent: 1_000, received: 1_000 });
  });
});

describe('removing everything', () => {
  it('leaves nothing behind', async () => {
    for (const host of lab.hosts) {
      const { sandboxes } = (await lab.weft(host.name, ['sandbox', 'ls'])) as { sandboxes: { name: string }[] };
      await lab.weft(host.name, ['sandbox', 'rm', ...sandboxes.map(({ name }) => name)]);
    }
    await lab.weft('h1', ['network', 'rm', 'net']);
    await expect.poll(() => lab.leftovers(), { timeout: PATIENCE_MS }).toEqual([]);
  });
});
