import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/lab.js';
import { Cluster, type Box } from './cluster.js';

// One story, told in order: a network that is in use changes, and whoever uses it loses nothing.
const a: Box = { host: 'h1', name: 'a' };
const b: Box = { host: 'h2', name: 'b' };
/** On the host of `a`. */
const c: Box = { host: 'h1', name: 'c' };
const BOXES = [a, b, c];
const PORT = '7000';

let dir: string;
let lab: Lab;
let cluster: Cluster;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'network-update', hosts: 2, dir });
  cluster = new Cluster(lab);
  await cluster.createNetwork('web', '--subnet', '10.40.0.0/24', '--subnet', 'fd00:40::/64');
  for (const box of BOXES) await cluster.createSandbox(box, ['web']);
});
afterAll(async () => {
  await Lab.down('network-update', { dir });
  rmSync(dir, { recursive: true });
});

async function update(...options: readonly string[]): Promise<void> {
  await lab.weft('h1', ['network', 'update', ...options, '--wait', 'web']);
}

async function inside({ host, name }: Box, ...argv: readonly string[]): Promise<string> {
  return lab.host(host).must(['nsenter', `--net=/run/netns/weft-s-${name}`, '--', ...argv]);
}

/** In the network's own namespace on a host. */
async function inNetwork(host: string, ...argv: readonly string[]): Promise<string> {
  const name =
    lab
      .host(host)
      .namespaces()
      .find((each) => each.startsWith('weft-n-')) ?? 'none';
  return lab.host(host).must(['nsenter', `--net=/run/netns/${name}`, '--', ...argv]);
}

async function addressesIn(box: Box): Promise<string[]> {
  return globals(await inside(box, 'ip', '-o', 'address', 'show', 'dev', 'eth0', 'scope', 'global'));
}

function globals(text: string): string[] {
  return [...text.matchAll(/inet6? (\S+)/g)].map(([, address = '']) => address).sort();
}

async function routesIn(box: Box): Promise<string[]> {
  const texts = await Promise.all(['-4', '-6'].map((family) => inside(box, 'ip', family, 'route')));
  const routes = texts.flatMap((text) => [...text.matchAll(/^(\S+)(?: via (\S+))?/gm)]);
  return routes
    .map(([, to = '', by]) => (by === undefined ? to : `${to} via ${by}`))
    .filter((route) => !route.startsWith('fe80:'))
    .sort();
}

/** Lines over one connection from `a` to `b` for as long as `meanwhile` takes: `whole` when each arrived, in order, once. */
async function streaming(meanwhile: () => Promise<void>): Promise<string> {
  const address = await cluster.addressOf('b', 'web');
  const server = `
    const server = require('net').createServer((socket) => {
      let text = '';
      socket.on('data', (data) => { text += data; });
      socket.on('end', () => {
        const lines = text.split('\\n').slice(0, -1);
        console.log(lines.length > 100 && lines.every((line, at) => line === String(at)) ? 'whole' : 'broken at ' + lines.length);
        process.exit(0);
      });
      socket.on('error', (error) => { console.log(error.code); process.exit(0); });
    }).listen(${PORT}, '${address}');`;
  const client = `
    const socket = require('net').connect(${PORT}, '${address}');
    let line = 0;
    const timer = setInterval(() => { for (let n = 0; n < 50; n++) socket.write(line++ + '\\n'); }, 5);
    process.on('SIGTERM', () => { clearInterval(timer); socket.end(); });
    socket.on('error', (error) => { console.log(error.code); process.exit(1); });`;
  const enter = ({ name }: Box) => ['nsenter', `--net=/run/netns/weft-s-${name}`, '--', process.execPath, '-e'];
  const receiving = lab.host(b.host).exec([...enter(b), server], { timeoutMs: 60_000 });
  await expect.poll(() => inside(b, 'ss', '-Hltn', `sport = :${PORT}`)).not.toBe('');
  const sending = await lab.host(a.host).spawn([...enter(a), client], { log: 'stream' });
  await expect.poll(() => inside(b, 'ss', '-Htn', 'state', 'established', `sport = :${PORT}`)).not.toBe('');
  await meanwhile();
  await sending.stop();
  return (await receiving).stdout.trim();
}

/** What of the pings among the sandboxes came back while something happened. */
async function pinging(meanwhile: () => Promise<void>): Promise<string[]> {
  const ways = [
    [a, await cluster.addressOf('b', 'web', 4)],
    [b, await cluster.addressOf('a', 'web', 6)],
    [c, await cluster.addressOf('a', 'web', 4)],
  ] as const;
  const count = 600;
  const pings = ways.map(([from, to]) => cluster.ping(from, to, { count, gapMs: 10 }));
  const isPinging = (): boolean => lab.hosts.some((host) => host.programs().some(({ command }) => command === 'ping'));
  await expect.poll(isPinging).toBe(true);
  await meanwhile();
  // A ping that was over before would have shown nothing.
  expect(isPinging()).toBe(true);
  return (await Promise.all(pings)).map(({ sent, received }) => `${String(received)} of ${String(sent)}`);
}

const ALL = Array.from({ length: 3 }, () => '600 of 600');

describe('a network that is in use', () => {
  it('grows in place: lengths and routes follow on every host, and nothing is lost', async () => {
    let stream = '';
    const pings = await pinging(async () => {
      stream = await streaming(async () => {
        await update('--grow', '10.40.0.0/23');
        for (const box of BOXES) {
          expect(await addressesIn(box)).toEqual([
            expect.stringMatching(/^10\.40\.0\.\d+\/23$/),
            expect.stringMatching(/^fd00:40::.*\/64$/),
          ]);
        }
        await update('--grow', 'fd00:40::/60');
      });
    });
    expect([...pings, stream]).toEqual([...ALL, 'whole']);
    expect(await routesIn(a)).toEqual([
      '10.40.0.0/23',
      'default via 10.40.0.1',
      'default via fd00:40::1',
      'fd00:40::/60',
    ]);
    for (const host of ['h1', 'h2']) {
      const gateways = globals(await inNetwork(host, 'ip', '-o', 'address', 'show', 'dev', 'weft0'));
      expect(gateways).toEqual(['10.40.0.1/23', 'fd00:40::1/60']);
    }
    const late: Box = { host: 'h2', name: 'late' };
    await cluster.createSandbox(late, ['web'], '--ip', '10.40.1.200');
    expect((await cluster.ping(a, '10.40.1.200')).received).toBe(3);
    // An address would be lost: who holds it is told.
    const { code, stderr } = await lab
      .host('h1')
      .exec(['weft', 'network', 'update', '--shrink', '10.40.0.0/24', 'web']);
    expect([code, stderr]).toEqual([4, expect.stringContaining('late')]);
    await lab.weft(late.host, ['sandbox', 'rm', late.name]);
  });

  it('shrinks again once nobody is there', async () => {
    expect(
      await pinging(async () => {
        await update('--shrink', '10.40.0.0/24');
        expect(await routesIn(b)).toContain('10.40.0.0/24');
      }),
    ).toEqual(ALL);
  });

  it('gets a subnet more, which all others reach, and loses it', async () => {
    const before = [await addressesIn(a), await routesIn(a)];
    await update('--add-subnet', '10.41.0.0/24');
    expect([await addressesIn(a), await routesIn(a)]).toEqual(before);
    expect(globals(await inNetwork('h1', 'ip', '-o', 'address', 'show', 'dev', 'weft0'))).toContain('10.41.0.1/24');
    const d: Box = { host: 'h2', name: 'd' };
    await cluster.createSandbox(d, ['web'], '--ip', '10.41.0.7');
    for (const from of [a, b, c]) expect((await cluster.ping(from, '10.41.0.7')).received).toBe(3);
    expect((await cluster.ping(d, await cluster.addressOf('a', 'web'))).received).toBe(3);
    expect(await cluster.resolve(a, 'd')).toContain('10.41.0.7');
    await lab.weft(d.host, ['sandbox', 'rm', d.name]);
    await update('--rm-subnet', '10.41.0.0/24');
    expect(globals(await inNetwork('h1', 'ip', '-o', 'address', 'show', 'dev', 'weft0'))).not.toContain('10.41.0.1/24');
  });

  it('has another MTU on every host when --wait returns, up and down', async () => {
    const pings = await pinging(async () => {
      for (const mtu of ['1300', '1420']) {
        await update('-o', `mtu=${mtu}`);
        for (const box of BOXES)
          expect(await inside(box, 'ip', 'link', 'show', 'dev', 'eth0')).toContain(`mtu ${mtu} `);
        for (const host of ['h1', 'h2']) {
          const mtus = [...(await inNetwork(host, 'ip', '-o', 'link')).matchAll(/ (?!lo)\S+: .*mtu (\d+)/g)];
          expect(new Set(mtus.slice(1).map(([, each]) => each))).toEqual(new Set([mtu]));
        }
      }
    });
    expect(pings).toEqual(ALL);
    await update('--option-rm', 'mtu');
    expect(await inside(a, 'ip', 'link', 'show', 'dev', 'eth0')).toContain('mtu 1450 ');
  });

  it('says other search domains, resolver options and TTL to programs that run', async () => {
    const reads = (): Promise<string> => cluster.exec(a, ['cat', '/etc/resolv.conf']).then(({ stdout }) => stdout);
    expect(await reads()).toContain('search .\noptions ndots:0\n');
    // The very file that running programs have mounted in the place of theirs.
    const inode = () => lab.host('h1').must(['stat', '-c', '%i', '/run/weft/sandboxes/a/resolv.conf']);
    const before = await inode();
    await update('-o', 'dns-search=a.example,b.example', '-o', 'dns-option=ndots:1,timeout:2', '-o', 'dns-ttl=60');
    expect(await reads()).toContain('search a.example b.example\noptions ndots:1 timeout:2\n');
    expect(await inode()).toBe(before);
    expect(await ttlOf('b')).toBe(60);
    await update('--option-rm', 'dns-search', '--option-rm', 'dns-option', '--option-rm', 'dns-ttl');
    expect(await reads()).toContain('search .\noptions ndots:0\n');
    expect(await ttlOf('b')).toBe(5);
  });

  it('has other labels, and nothing in the kernel is touched', async () => {
    const look = () => inNetwork('h1', 'ip', '-o', 'address');
    const before = await look();
    await update('--label', 'tier=front');
    expect(await look()).toBe(before);
    expect(await cluster.network('web')).toMatchObject({ labels: { tier: 'front' } });
  });

  it('leaves nothing behind', async () => {
    for (const { host, name } of BOXES) await lab.weft(host, ['sandbox', 'rm', name]);
    await lab.weft('h1', ['network', 'rm', 'web']);
    expect(await lab.leftovers()).toEqual([]);
  });
});

/** Seconds for which an answer about the name may be kept, as its network's gateway says to `a`. */
async function ttlOf(name: string): Promise<number> {
  const script = `
    const { Resolver } = require('dns');
    const resolver = new Resolver();
    resolver.setServers(['10.40.0.1']);
    resolver.resolve4('${name}', { ttl: true }, (error, found) => console.log(error ? error.code : found[0].ttl));`;
  return Number(await inside(a, process.execPath, '-e', script));
}

describe('what a host has for itself', () => {
  it('is not given to networks', async () => {
    const host = lab.host('h2');
    await host.must(['ip', 'route', 'add', '10.128.0.0/24', 'via', '192.0.2.201']);
    await expect
      .poll(async () => ((await lab.weft('h1', ['host', 'inspect', 'h2'])) as { prefixes: string[] }).prefixes)
      .toContain('10.128.0.0/24');
    const { subnets } = await cluster.createNetwork('auto');
    const cidr = subnets[0]?.cidr ?? '';
    expect(cidr).not.toBe('10.128.0.0/24');
    // One that comes later, in the way of what is there already.
    await host.must(['ip', 'route', 'add', cidr, 'via', '192.0.2.201']);
    const problems = async (): Promise<string> =>
      JSON.stringify(((await lab.weft('h1', ['host', 'inspect', 'h2'])) as { problems?: unknown }).problems ?? []);
    await expect.poll(problems, { timeout: 10_000 }).toContain(cidr);
    await host.must(['ip', 'route', 'del', cidr]);
    await expect.poll(problems, { timeout: 10_000 }).not.toContain(cidr);
    await host.must(['ip', 'route', 'del', '10.128.0.0/24']);
    await lab.weft('h1', ['network', 'rm', 'auto']);
  });
});
