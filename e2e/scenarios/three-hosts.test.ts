import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/lab.js';
import { Cluster, ofFamily, type Box } from './cluster.js';

// One story, told in order: each test stands on the ones before it.
const HOSTS = ['h1', 'h2', 'h3'];
const fronts: readonly Box[] = HOSTS.map((host) => ({ host, name: `front-${host}` }));
const backs: readonly Box[] = HOSTS.map((host) => ({ host, name: `back-${host}` }));
const [front1, front2, front3] = fronts as [Box, Box, Box];
const [back1, back2] = backs as [Box, Box, Box];
/** On both networks, on a host where each network has another sandbox, too. */
const both: Box = { host: 'h2', name: 'both' };

let dir: string;
let lab: Lab;
let cluster: Cluster;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'three-hosts', hosts: 3, dir });
  cluster = new Cluster(lab);
});
afterAll(async () => {
  await Lab.down('three-hosts', { dir });
  rmSync(dir, { recursive: true });
});

describe('three hosts, two networks', () => {
  it('makes a network with subnets of both families, and one from the pool', async () => {
    const front = await cluster.createNetwork('front', '--subnet', '10.20.0.0/24', '--subnet', 'fd00:20::/64');
    const back = await cluster.createNetwork('back');
    expect(front.subnets.map(({ cidr, gateway }) => [cidr, gateway])).toEqual([
      ['10.20.0.0/24', '10.20.0.1'],
      ['fd00:20::/64', 'fd00:20::1'],
    ]);
    expect(back.subnets).toHaveLength(1);
    expect(back.vni).not.toBe(front.vni);
  });

  it('makes sandboxes on every host, ready when the command returns', async () => {
    for (const box of fronts) await cluster.createSandbox(box, ['front']);
    for (const box of backs) await cluster.createSandbox(box, ['back']);
    await cluster.createSandbox(both, ['front', 'back']);
    const endpoints = await cluster.endpoints();
    expect(endpoints).toHaveLength(8);
    expect(new Set(endpoints.map(({ state }) => state))).toEqual(new Set(['ENDPOINT_STATE_READY']));
    for (const key of ['mac', 'id'] as const) expect(new Set(endpoints.map((each) => each[key])).size).toBe(8);
    const addresses = endpoints.flatMap((each) => each.addresses.map((address) => `${each.networkId} ${address}`));
    expect(new Set(addresses).size).toBe(4 * 2 + 4);
  });

  it('carries packets between all of a network, on one host and across, by IPv4 and IPv6', async () => {
    for (const [boxes, network, families] of [
      [[...fronts, both], 'front', [4, 6]],
      [[...backs, both], 'back', [4]],
    ] as const) {
      const addresses = await cluster.addressesOf(network);
      for (const from of boxes) {
        for (const to of boxes.filter(({ name }) => name !== from.name)) {
          for (const family of families) {
            const target = ofFamily(addresses.get(to.name) ?? [], family) ?? '';
            const result = await cluster.ping(from, target);
            expect([from.name, to.name, target, result]).toEqual([
              from.name,
              to.name,
              target,
              { sent: 3, received: 3 },
            ]);
          }
        }
      }
    }
  });

  it('carries a whole packet of the network, and none that would have to be cut', async () => {
    const target = await cluster.addressOf('front-h3', 'front');
    const send = (bytes: number) =>
      cluster.exec(front1, [
        'ping',
        '-n',
        '-q',
        '-c',
        '2',
        '-i',
        '0.1',
        '-W',
        '1',
        '-M',
        'do',
        '-s',
        String(bytes),
        target,
      ]);
    // 1500 of the underlay, less VXLAN over IPv4 (50), less the IPv4 (20) and ICMP (8) headers inside.
    expect((await send(1422)).code).toBe(0);
    expect((await send(1423)).code).not.toBe(0);
  });

  it('answers names across hosts, bare and with their network behind them, for both families', async () => {
    for (const network of ['front', 'back'] as const) {
      const to = `${network}-h3`;
      const endpoint = (await cluster.endpoints('--network', network)).find(({ sandbox }) => sandbox === to);
      const from = network === 'front' ? front1 : back1;
      for (const name of [to, to.toUpperCase(), `${to}.${network}`]) {
        expect([name, await cluster.resolve(from, name)]).toEqual([name, [...(endpoint?.addresses ?? [])].sort()]);
      }
    }
    expect((await cluster.exec(front1, ['ping', '-n', '-q', '-c', '2', 'front-h2'])).code).toBe(0);
    expect(await cluster.resolve(front1, 'nobody')).toEqual([]);
  });

  it('shows a sandbox on two networks the names of both', async () => {
    expect(await cluster.resolve(both, 'back-h1')).toEqual([await cluster.addressOf('back-h1', 'back')]);
    expect((await cluster.resolve(both, 'front-h1')).length).toBe(2);
    expect(await cluster.resolve(both, 'both.back')).toEqual([await cluster.addressOf('both', 'back')]);
  });

  it('keeps the networks apart: no packet, no name', async () => {
    const target = await cluster.addressOf('back-h2', 'back');
    for (const from of [front1, front2]) {
      expect((await cluster.ping(from, target)).received).toBe(0);
      expect(await cluster.resolve(from, 'back-h2')).toEqual([]);
      expect(await cluster.resolve(from, 'back-h2.back')).toEqual([]);
    }
    const other = await cluster.addressOf('front-h2', 'front');
    expect((await cluster.ping(back2, other)).received).toBe(0);
  });

  it('loses no packet while agents are stopped, killed and started', async () => {
    const target = await cluster.addressOf('front-h3', 'front');
    const pinging = cluster.ping(front1, target, { count: 800, gapMs: 10 });
    const isPinging = (): boolean =>
      lab
        .host('h1')
        .programs()
        .some(({ command }) => command === 'ping');
    await expect.poll(isPinging).toBe(true);
    for (const [name, end] of [
      ['h1', 'stop'],
      ['h3', 'kill'],
    ] as const) {
      await lab.host(name).agent[end]();
      await lab.host(name).agent.start();
    }
    await lab.waitForHosts();
    // A ping that was over before would have shown nothing.
    expect(isPinging()).toBe(true);
    expect(await pinging).toEqual({ sent: 800, received: 800 });
    expect((await cluster.resolve(front1, 'front-h3')).length).toBe(2);
  });

  it('goes on while the controller is away, and catches up', async () => {
    const target = await cluster.addressOf('front-h2', 'front');
    await lab.controller.kill();
    expect((await cluster.ping(front1, target)).received).toBe(3);
    expect(await cluster.resolve(front1, 'front-h2')).toContain(target);
    await lab.controller.start();
    await lab.waitForHosts();
    const late: Box = { host: 'h3', name: 'late' };
    await cluster.createSandbox(late, ['front']);
    const [lateTarget = ''] = await cluster.resolve(front1, 'late');
    expect((await cluster.ping(front1, lateTarget)).received).toBe(3);
    await lab.weft(late.host, ['sandbox', 'rm', late.name]);
  });

  it('disconnects: the name and the way are gone, the other network stays', async () => {
    const address = await cluster.addressOf('both', 'front');
    await lab.weft(both.host, ['network', 'disconnect', 'front', both.name]);
    await expect.poll(() => cluster.resolve(front1, 'both'), { timeout: 10_000 }).toEqual([]);
    expect((await cluster.ping(front1, address)).received).toBe(0);
    expect((await cluster.ping(both, await cluster.addressOf('back-h1', 'back'))).received).toBe(3);
  });

  it('refuses to remove a network in use, naming who uses it', async () => {
    const { code, stderr } = await lab.host('h1').exec(['weft', 'network', 'rm', 'front']);
    expect(code).toBe(4);
    expect(stderr).toContain('front-h1');
  });

  it('leaves nothing behind when everything is removed', async () => {
    for (const { host, name } of [...fronts, ...backs, both]) await lab.weft(host, ['sandbox', 'rm', name]);
    await lab.weft('h1', ['network', 'rm', 'front', 'back']);
    expect(await lab.leftovers()).toEqual([]);
    expect(front3.host).toBe('h3');
  });
});
