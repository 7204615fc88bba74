import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { Lab } from '../lab/lab.js';
import { Cluster, type Box } from './cluster.js';

// One story, told in order: each test stands on the ones before it.
const NEVER = new AbortController().signal;

/** A lease ends some 10 to 22 s after the last sign of life. */
const UNREACHABLE_MS = 40_000;

const listener: Box = { host: 'h1', name: 'listener' };
const heir: Box = { host: 'h2', name: 'heir' };
const old: Box = { host: 'h3', name: 'old' };

interface HostJson {
  readonly state: string;
  readonly absence: string;
  readonly incarnation: number;
}

let dir: string;
let lab: Lab;
let cluster: Cluster;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'host-lost', hosts: 3, dir });
  cluster = new Cluster(lab);
  await cluster.createNetwork('net', '--subnet', '10.30.0.0/24');
  for (const box of [listener, old]) await cluster.createSandbox(box, ['net']);
});
afterAll(async () => {
  await Lab.down('host-lost', { dir });
  rmSync(dir, { recursive: true });
});

const until = (look: () => Promise<void>, timeout = UNREACHABLE_MS) => vi.waitFor(look, { timeout, interval: 250 });
const hostOf = async (name: string) => (await lab.weft('h1', ['host', 'inspect', name])) as HostJson;
const netnsOf = async ({ host, name }: Box) =>
  ((await lab.weft(host, ['sandbox', 'inspect', name])) as { netns: string }).netns;

/** What a sandbox receives from a MAC for so many seconds, a line for each frame. */
async function framesFrom(mac: string, to: Box, seconds: number): Promise<readonly string[]> {
  const inside = ['nsenter', `--net=${await netnsOf(to)}`, '--', 'timeout', String(seconds)];
  const argv = [...inside, 'tcpdump', '-i', 'eth0', '-n', '-e', '-l', 'ether', 'src', mac];
  const { stdout, stderr } = await lab.host(to.host).exec(argv, { timeoutMs: (seconds + 20) * 1_000 });
  if (!stderr.includes('listening on eth0')) throw new Error(`tcpdump in ${to.name}: ${stderr}`);
  return stdout.split('\n').filter((line) => line !== '');
}

describe('a host whose agent died', () => {
  it('leaves the answers of DNS on the others, and forwarding stays', async () => {
    const address = await cluster.addressOf('old', 'net');
    expect(await cluster.resolve(listener, 'old')).toEqual([address]);
    await lab.faults.kill('h3');
    await until(async () => {
      expect(await cluster.resolve(listener, 'old')).toEqual([]);
    });
    expect(await hostOf('h3')).toMatchObject({ state: 'HOST_STATE_UNREACHABLE' });
    expect(await cluster.ping(listener, address)).toEqual({ sent: 3, received: 3 });
  });

  it('is back with all that it had when its agent is', async () => {
    const address = await cluster.addressOf('old', 'net');
    await lab.faults.restart('h3');
    await until(async () => {
      expect(await cluster.resolve(listener, 'old')).toEqual([address]);
    });
    expect(await hostOf('h3')).toMatchObject({
      ...{ state: 'HOST_STATE_READY', absence: 'HOST_ABSENCE_NONE', incarnation: 1 },
    });
  });
});

describe('a host that was cut off for too long, and goes on sending', () => {
  it('is heard by nobody once its address is another’s, and is taken back', { timeout: 240_000 }, async () => {
    await lab.controller.stop();
    await lab.controller.start({ args: ['--host-grace', '2', '--quarantine', '1'] });
    await until(async () => {
      expect(await hostOf('h3')).toMatchObject({ state: 'HOST_STATE_READY' });
    });
    const [before] = (await cluster.endpoints('--network', 'net')).filter(({ sandbox }) => sandbox === 'old');
    const [address = ''] = before?.addresses ?? [];
    const mac = before?.mac ?? '';
    const target = await cluster.addressOf('listener', 'net');
    const oldNetns = await netnsOf(old);

    // It sends all the time, whatever the cluster thinks of it.
    const sending = lab
      .host('h3')
      .exec(['nsenter', `--net=${oldNetns}`, '--', 'timeout', '150', 'ping', '-n', '-q', '-i', '0.1', target], {
        timeoutMs: 180_000,
      });
    expect((await framesFrom(mac, listener, 3)).length).toBeGreaterThan(5);

    await lab.faults.partition('h3', 'c1');
    await until(async () => {
      expect((await cluster.endpoints('--network', 'net')).map(({ sandbox }) => sandbox)).not.toContain('old');
    }, 90_000);
    expect(await hostOf('h3')).toMatchObject({ absence: 'HOST_ABSENCE_FENCED', incarnation: 2 });
    const capturing = framesFrom(mac, listener, 60);
    await pause(3_000, NEVER);
    await cluster.createSandbox(heir, ['net'], '--ip', address);
    // For as long as the listener's own kernel takes to ask again for the MAC of an address that it has just talked to.
    await until(async () => {
      expect(await cluster.ping(listener, address)).toEqual({ sent: 3, received: 3 });
    });

    await lab.faults.healAll();
    await until(async () => {
      expect(await hostOf('h3')).toMatchObject({
        ...{ state: 'HOST_STATE_READY', absence: 'HOST_ABSENCE_NONE', incarnation: 2 },
      });
    }, 60_000);
    // Its sandbox is there still, and was given another address.
    await until(async () => {
      const now = (await cluster.addressesOf('net')).get('old') ?? [];
      expect(now).toHaveLength(1);
      expect(now).not.toContain(address);
      expect(await cluster.ping(listener, now[0] ?? '')).toEqual({ sent: 3, received: 3 });
      expect(await cluster.resolve(listener, 'old')).toEqual(now);
    });
    expect(await cluster.ping(listener, address)).toEqual({ sent: 3, received: 3 });
    expect(await capturing).toEqual([]);
    await lab.host('h3').exec(['pkill', '-x', 'ping']);
    await sending;
  });
});
