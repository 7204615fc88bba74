import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/lab.js';
import { Cluster, type Box } from './cluster.js';
import { kernelPicture } from './kernel-picture.js';

// One story, told in order: what was made after a backup runs on when the backup is restored.
const old1: Box = { host: 'h1', name: 'old1' };
const old2: Box = { host: 'h2', name: 'old2' };
/** Made, and gone, after the backup. */
const gone: Box = { host: 'h2', name: 'gone' };
/** Made after the backup, in a network of before it; the second where that network has grown to since. */
const new1: Box = { host: 'h1', name: 'new1' };
const new2: Box = { host: 'h2', name: 'new2' };
/** In a network of after it, and in one of before. */
const both1: Box = { host: 'h1', name: 'both1' };
const both2: Box = { host: 'h2', name: 'both2' };
const RUNNING = [old1, old2, new1, new2, both1, both2];

let dir: string;
let lab: Lab;
let cluster: Cluster;
let file = '';
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'backup-restore', hosts: 2, dir });
  cluster = new Cluster(lab);
  file = path.join(dir, 'weft.backup');
  await cluster.createNetwork('web', '--subnet', '10.50.0.0/24', '--subnet', 'fd00:50::/64');
  for (const box of [old1, old2, gone]) await cluster.createSandbox(box, ['web']);
  await lab.weft('c1', ['backup', file]);
  await lab.weft(gone.host, ['sandbox', 'rm', gone.name]);
  await cluster.createNetwork('after');
  await lab.weft('h1', ['network', 'update', '--grow', '10.50.0.0/23', '--wait', 'web']);
  await cluster.createSandbox(new1, ['web']);
  await cluster.createSandbox(new2, ['web'], '--ip', '10.50.1.9');
  for (const box of [both1, both2]) await cluster.createSandbox(box, ['after', 'web']);
});
afterAll(async () => {
  await Lab.down('backup-restore', { dir });
  rmSync(dir, { recursive: true });
});

async function epoch(): Promise<string> {
  return ((await lab.weft('c1', ['status'])) as { epoch: string }).epoch;
}

/** Every endpoint by sandbox and network: what may not change by a restore. */
async function holdings(): Promise<string[]> {
  const endpoints = await cluster.endpoints();
  return endpoints
    .map(({ id, networkId, sandbox, addresses, mac, state }) =>
      [sandbox, networkId, id, addresses.join(), mac, state].join(' '),
    )
    .sort();
}

const pictures = async (): Promise<readonly string[]> =>
  (await Promise.all(lab.hosts.map((host) => kernelPicture(host)))).flat();

type Ways = readonly (readonly [Box, string])[];

/** From whom and where to: across hosts, between old and new, in both networks. */
async function waysOfNow(): Promise<Ways> {
  return [
    [old1, await cluster.addressOf('old2', 'web')],
    [new1, await cluster.addressOf('new2', 'web')],
    [old2, await cluster.addressOf('new1', 'web', 6)],
    [both1, await cluster.addressOf('both2', 'after')],
  ];
}

/** Pings all the while; what came back. */
async function pinging(meanwhile: () => Promise<void>, given?: Ways): Promise<string[]> {
  const ways = given ?? (await waysOfNow());
  const count = 1500;
  const pings = ways.map(([from, to]) => cluster.ping(from, to, { count, gapMs: 10 }));
  const isPinging = (): boolean => lab.hosts.some((host) => host.programs().some(({ command }) => command === 'ping'));
  await expect.poll(isPinging).toBe(true);
  await meanwhile();
  expect(isPinging()).toBe(true);
  return (await Promise.all(pings)).map(({ sent, received }) => `${String(received)} of ${String(sent)}`);
}

const ALL = Array.from({ length: 4 }, () => '1500 of 1500');

describe('a restore', () => {
  it('keeps all that runs, also what was made after the backup, and costs no packet', async () => {
    const [before, kernel, first] = [await holdings(), await pictures(), await epoch()];
    expect(before).toHaveLength(8);
    const pings = await pinging(async () => {
      await lab.weft('c1', ['restore', '-f', '--wait', file]);
      await lab.waitForHosts();
    });
    expect(pings).toEqual(ALL);
    expect(await epoch()).not.toBe(first);
    await expect.poll(holdings, { timeout: 20_000 }).toEqual(before);
    expect(await pictures()).toEqual(kernel);
    expect((await cluster.network('web')).subnets.map(({ cidr }) => cidr)).toEqual(['10.50.0.0/23', 'fd00:50::/64']);
    for (const { host, name } of RUNNING) {
      const sandbox = (await lab.weft(host, ['sandbox', 'inspect', name])) as { state: string; problems?: string[] };
      expect([name, sandbox.state, sandbox.problems ?? []]).toEqual([name, 'SANDBOX_STATE_READY', []]);
    }
  });

  it('leaves a cluster in which everything goes on', async () => {
    const late: Box = { host: 'h2', name: 'late' };
    await cluster.createSandbox(late, ['web', 'after']);
    for (const network of ['web', 'after']) {
      expect((await cluster.ping(both1, await cluster.addressOf('late', network))).received).toBe(3);
    }
    expect(await cluster.resolve(old1, 'late')).toContain(await cluster.addressOf('late', 'web'));
    await lab.weft(late.host, ['sandbox', 'rm', late.name]);
    await lab.weft(new1.host, ['network', 'disconnect', 'web', new1.name]);
    await lab.weft(new1.host, ['network', 'connect', '--wait', 'web', new1.name]);
  });

  it('keeps it, too, where the agent was away meanwhile', async () => {
    const [before, ways] = [await holdings(), await waysOfNow()];
    await lab.host('h2').agent.kill();
    await lab.weft('c1', ['restore', '-f', file]);
    // Nobody knows what h2 runs: nothing is given away that it may hold.
    const refused = await lab.host('h1').exec(['weft', '--timeout', '3', 'network', 'create', 'too-early']);
    expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining('h2')]);
    const pings = await pinging(async () => {
      await lab.host('h2').agent.start();
      await lab.waitForHosts();
    }, ways);
    expect(pings).toEqual(ALL);
    await expect.poll(holdings, { timeout: 20_000 }).toEqual(before);
  });

  it('works in a new cluster: an empty etcd, and the same authority', async () => {
    const before = await holdings();
    const pings = await pinging(async () => {
      await lab.controller.stop();
      rmSync(path.join(lab.c1.subdirectory('data'), 'etcd'), { recursive: true });
      await lab.controller.start();
      await lab.weft('c1', ['restore', '-f', '--wait', file], { timeoutMs: 60_000 });
      await lab.waitForHosts();
    });
    expect(pings).toEqual(ALL);
    await expect.poll(holdings, { timeout: 20_000 }).toEqual(before);
  });

  it('that has no place for a connection takes it from the kernel, and says so', async () => {
    // Not all of what a host runs can have been there before: an address is somebody else's in the backup.
    const second = path.join(dir, 'second.backup');
    const address = await cluster.addressOf('old2', 'web');
    await lab.weft('c1', ['backup', second]);
    await lab.weft(old2.host, ['sandbox', 'rm', old2.name]);
    await cluster.createSandbox({ host: 'h1', name: 'heir' }, ['web'], '--ip', address);
    await lab.host('h2').agent.stop();
    await lab.weft('c1', ['restore', '-f', second]);
    // h2 did have old2 when it was backed up, and has it no more: first comes who declares first.
    await expect
      .poll(async () => JSON.stringify(await lab.weft('h1', ['sandbox', 'inspect', 'heir'])), { timeout: 20_000 })
      .toContain('restored');
    expect(await lab.host('h1').must(['nsenter', '--net=/run/netns/weft-s-heir', 'ip', 'link'])).not.toContain('eth0');
    await lab.host('h2').agent.start();
    await lab.waitForHosts();
    // Once h2 has said that it does not run old2, the address is free, and is had again as it was asked for.
    await expect
      .poll(async () => ((await lab.weft('h1', ['sandbox', 'inspect', 'heir'])) as { state: string }).state, {
        timeout: 60_000,
      })
      .toBe('SANDBOX_STATE_READY');
    expect(await cluster.addressOf('heir', 'web')).toBe(address);
  });
});
