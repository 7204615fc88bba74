/** What changes of a network while it is in use, against the real kernel: two hosts, traffic between them all the while. */
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { Network, Subnet } from '../../core/model.js';
import { addressDel, addressPut } from '../kernel/netlink/address.js';
import { NetlinkHandle } from '../kernel/netlink/handle.js';
import { routePut } from '../kernel/netlink/route.js';
import { cidr, ip, listIn, runIn } from '../kernel/testing.js';
import { testEndpoint, testNetwork } from '../state/testing.js';
import { WEFT_PROTOCOL } from '../tables/rows.js';
import { TestLab, type TestHost } from './lab.testing.js';

const A = testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a' });
const B = testEndpoint({ network: 1, endpoint: 2, host: 2, sandbox: 'b' });
const C = testEndpoint({ network: 1, endpoint: 3, host: 1, sandbox: 'c' });
const NETWORK = testNetwork(1);
const IN_NETWORK = 'weft-n-000000010002';
/** Packets and the milliseconds between them: all of an update falls within. */
const PINGS = { count: 500, gapMs: 2 };

function subnet(text: string, gateway: string): Subnet {
  return { cidr: cidr(text), gateway: ip(gateway), ipRange: undefined, auxAddresses: {} };
}

function withSubnets(...subnets: readonly Subnet[]): Network {
  return { ...NETWORK, subnets };
}

const SMALL = withSubnets(subnet('10.1.0.0/24', '10.1.0.1'), subnet('fd00:1::/64', 'fd00:1::1'));
const GROWN = withSubnets(subnet('10.1.0.0/23', '10.1.0.1'), subnet('fd00:1::/60', 'fd00:1::1'));

/** What came back of a stream of pings; resolves when it is over. */
function pings(netns: string, address: string): Promise<string> {
  const { count, gapMs } = PINGS;
  const argv = [
    `--net=${netns}`,
    'ping',
    '-q',
    '-n',
    '-c',
    String(count),
    '-i',
    String(gapMs / 1000),
    '-W',
    '1',
    address,
  ];
  return output('nsenter', argv).then((text) => /(\d+ packets transmitted, \d+ received)/.exec(text)?.[1] ?? text);
}

/** One connection that carries numbered lines all the while: how many arrived, and whether it was the same connection. */
function stream(from: string, to: string, address: string): Promise<string> {
  const server = `
    const server = require('net').createServer((socket) => {
      let text = '';
      socket.on('data', (data) => { text += data; });
      socket.on('end', () => {
        const lines = text.split('\\n').slice(0, -1);
        const whole = lines.every((line, at) => line === String(at));
        console.log(whole && lines.length > 100 ? 'whole' : 'broken after ' + lines.length);
        process.exit(0);
      });
      socket.on('error', (error) => { console.log(error.code); process.exit(0); });
    }).listen(7000, ${JSON.stringify(address)}, () => process.stderr.write('up'));`;
  const client = `
    const socket = require('net').connect(7000, ${JSON.stringify(address)});
    let line = 0;
    const timer = setInterval(() => { for (let n = 0; n < 20; n++) socket.write(line++ + '\\n'); }, 2);
    setTimeout(() => { clearInterval(timer); socket.end(); }, ${String(PINGS.count * PINGS.gapMs)});
    socket.on('error', (error) => { console.log(error.code); process.exit(1); });`;
  return output('nsenter', [`--net=${to}`, process.execPath, '-e', server], () => {
    output('nsenter', [`--net=${from}`, process.execPath, '-e', client]).catch(() => undefined);
  }).then((text) => text.trim());
}

/** Standard output of a program; `onReady` is called when it first writes to standard error. */
function output(command: string, argv: readonly string[], onReady: () => void = () => undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 15_000 });
    let text = '';
    child.stdout.on('data', (data: Buffer) => (text += data.toString()));
    child.stderr.once('data', onReady);
    child.on('error', reject);
    child.on('close', () => {
      resolve(text);
    });
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function problems(lab: TestLab): unknown[] {
  return [...lab.hosts.values()].flatMap((host) => host.reconciler.settled.value.problems);
}

function ping(netns: string, address: string): string {
  return runIn(netns, ['ping', '-c', '1', '-W', '1', '-q', address]);
}

const inNetwork = (host: TestHost): string => `${host.directory}/${IN_NETWORK}`;

/** `10.1.0.1/24`, as the link has them, Weft's and others'. */
function addressesOf(netns: string, dev: string): string[] {
  const [link] = listIn(netns, ['ip', '-j', 'address', 'show', 'dev', dev]);
  const infos = (link?.['addr_info'] ?? []) as { local: string; prefixlen: number; scope: string }[];
  return infos.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => `${local}/${String(prefixlen)}`);
}

function routesOf(netns: string): string[] {
  const families = ['-4', '-6'].flatMap((family) => listIn(netns, ['ip', '-j', family, 'route']));
  return families
    .map(({ dst, gateway }) => (typeof gateway === 'string' ? `${String(dst)} via ${gateway}` : String(dst)))
    .filter((route) => !route.startsWith('fe80:'))
    .sort();
}

describe('a subnet that grows, and shrinks again', () => {
  it('costs no packet and no connection, by IPv4 and IPv6, across hosts and within one', async () => {
    using lab = new TestLab(2);
    lab.settle([SMALL], [A, B, C]);
    const a = lab.host(1).sandbox('a');
    const b = lab.host(2).sandbox('b');
    const traffic = Promise.all([
      pings(a, '10.1.0.12'),
      pings(b, 'fd00:1::11'),
      pings(lab.host(1).sandbox('c'), '10.1.0.11'),
      stream(a, b, '10.1.0.12'),
    ]);
    await pause(200);
    lab.settle([GROWN], [A, B, C]);
    expect(problems(lab)).toEqual([]);
    expect(addressesOf(a, 'eth0')).toEqual(['10.1.0.11/23', 'fd00:1::11/60']);
    expect(addressesOf(inNetwork(lab.host(1)), 'weft0')).toEqual(['10.1.0.1/23', 'fd00:1::1/60']);
    expect(routesOf(a)).toEqual(['10.1.0.0/23', 'default via 10.1.0.1', 'default via fd00:1::1', 'fd00:1::/60']);
    for (const host of lab.hosts.values()) {
      expect(host.reconciler.pass()).toBe(0);
      host.reconciler.audit();
      expect(host.reconciler.pass()).toBe(0);
    }
    // One whose address is in the new half, beside those that were there.
    const d = { ...testEndpoint({ network: 1, endpoint: 4, host: 2, sandbox: 'd' }), addresses: [ip('10.1.1.7')] };
    lab.settle([GROWN], [A, B, C, d]);
    ping(a, '10.1.1.7');
    lab.settle([SMALL], [A, B, C]);
    expect(problems(lab)).toEqual([]);
    expect(addressesOf(a, 'eth0')).toEqual(['10.1.0.11/24', 'fd00:1::11/64']);
    expect(routesOf(a)).toEqual(['10.1.0.0/24', 'default via 10.1.0.1', 'default via fd00:1::1', 'fd00:1::/64']);
    const all = `${String(PINGS.count)} packets transmitted, ${String(PINGS.count)} received`;
    expect(await traffic).toEqual([all, all, all, 'whole']);
  });

  it('leaves alone what somebody else put into the sandbox', () => {
    using lab = new TestLab(1);
    lab.settle([SMALL], [A]);
    const a = lab.host(1).sandbox('a');
    runIn(a, ['ip', 'address', 'add', '10.1.0.200/24', 'dev', 'eth0']);
    runIn(a, ['ip', 'route', 'add', '203.0.113.0/24', 'via', '10.1.0.5']);
    lab.settle([GROWN], [A]);
    expect(addressesOf(a, 'eth0').sort()).toEqual(['10.1.0.11/23', '10.1.0.200/24', 'fd00:1::11/60']);
    expect(routesOf(a)).toContain('203.0.113.0/24 via 10.1.0.5');
  });

  it('is finished after an interruption at the worst moment', () => {
    using lab = new TestLab(1);
    lab.settle([SMALL], [A]);
    const host = lab.host(1);
    // As an agent leaves it that dies between the new address and the old one's end.
    const a = host.sandbox('a');
    using handle = NetlinkHandle.open({ netns: a });
    const index = handle.link('eth0')?.index ?? 0;
    const protocol = WEFT_PROTOCOL;
    handle.do(addressPut({ index, ip: ip('10.1.0.11'), prefixLength: 23, protocol }));
    handle.do(addressPut({ index: handle.link('lo')?.index ?? 0, ip: ip('fd00:1::11'), prefixLength: 128, protocol }));
    handle.do(routePut({ dst: cidr('fd00:1::/60'), oif: index, metric: 1, protocol }));
    handle.do(addressDel({ index, ip: ip('fd00:1::11'), prefixLength: 64 }));
    host.restart();
    lab.settle([GROWN], [A]);
    expect(problems(lab)).toEqual([]);
    expect(addressesOf(a, 'eth0')).toEqual(['10.1.0.11/23', 'fd00:1::11/60']);
    expect(addressesOf(a, 'lo')).toEqual([]);
    expect(runIn(a, ['ip', '-6', 'route', 'show', 'proto', '87']).trim().split('\n')).toHaveLength(1);
  });
});

describe('a subnet that is added', () => {
  const BIGGER = withSubnets(
    ...SMALL.subnets,
    subnet('10.77.0.0/24', '10.77.0.1'),
    subnet('fd00:77::/64', 'fd00:77::1'),
  );
  const NEW = { ...B, addresses: [ip('10.77.0.9'), ip('fd00:77::9')] };

  it('is had at the gateway; who was there keeps everything, and reaches it across hosts', async () => {
    using lab = new TestLab(2);
    lab.settle([SMALL], [A, B, C]);
    const a = lab.host(1).sandbox('a');
    const picture = () => [...addressesOf(a, 'eth0'), ...routesOf(a)];
    const before = picture();
    const traffic = pings(a, '10.1.0.12');
    await pause(200);
    lab.settle([BIGGER], [A, B, C]);
    expect(await traffic).toContain(`${String(PINGS.count)} received`);
    expect(picture()).toEqual(before);
    expect(addressesOf(inNetwork(lab.host(1)), 'weft0').sort()).toEqual(
      ['10.1.0.1/24', '10.77.0.1/24', 'fd00:1::1/64', 'fd00:77::1/64'].sort(),
    );
    lab.settle([BIGGER], [A, C, NEW]);
    for (const target of NEW.addresses) ping(a, target);
    for (const target of A.addresses) ping(lab.host(2).sandbox('b'), target);
    lab.settle([SMALL], [A, B, C]);
    expect(addressesOf(inNetwork(lab.host(1)), 'weft0')).toEqual(['10.1.0.1/24', 'fd00:1::1/64']);
    expect(runIn(inNetwork(lab.host(1)), ['bridge', 'fdb', 'show'])).not.toContain('02:57:46:00:00:02');
  });

  it('is reached in an internal network, which has no default route', () => {
    using lab = new TestLab(2);
    lab.settle([{ ...SMALL, internal: true }], [A, B]);
    lab.settle([{ ...BIGGER, internal: true }], [A, NEW]);
    const a = lab.host(1).sandbox('a');
    expect(routesOf(a)).toEqual([
      '10.1.0.0/24',
      '10.77.0.0/24 via 10.1.0.1',
      'fd00:1::/64',
      'fd00:77::/64 via fd00:1::1',
    ]);
    for (const target of NEW.addresses) ping(a, target);
    for (const target of A.addresses) ping(lab.host(2).sandbox('b'), target);
    lab.settle([{ ...SMALL, internal: true }], [A, B]);
    expect(routesOf(a)).toEqual(['10.1.0.0/24', 'fd00:1::/64']);
  });
});

describe('an MTU that changes', () => {
  const mtusOf = (host: TestHost, sandbox: string): unknown[] => [
    ...listIn(inNetwork(host), ['ip', '-j', 'link'])
      .filter(({ ifname }) => ifname !== 'lo')
      .map(({ mtu }) => mtu),
    ...listIn(host.sandbox(sandbox), ['ip', '-j', 'link', 'show', 'dev', 'eth0']).map(({ mtu }) => mtu),
  ];
  const fits = (netns: string, mtu: number): void => {
    runIn(netns, ['ping', '-c1', '-W1', '-M', 'do', '-s', String(mtu - 28), '10.1.0.12']);
    expect(() => runIn(netns, ['ping', '-c1', '-W1', '-M', 'do', '-s', String(mtu - 27), '10.1.0.12'])).toThrow();
  };

  it('is that of bridge, tunnel, ports and sandboxes, up and down, and costs no small packet', async () => {
    using lab = new TestLab(2);
    lab.settle([NETWORK], [A, B]);
    const a = lab.host(1).sandbox('a');
    const b = lab.host(2).sandbox('b');
    const traffic = Promise.all([pings(a, '10.1.0.12'), stream(a, b, '10.1.0.12')]);
    await pause(200);
    for (const mtu of [1300, 1400, 1280]) {
      lab.settle([{ ...NETWORK, mtu }], [A, B]);
      expect(problems(lab)).toEqual([]);
      expect([...mtusOf(lab.host(1), 'a'), ...mtusOf(lab.host(2), 'b')]).toEqual(Array.from({ length: 8 }, () => mtu));
      fits(a, mtu);
      expect(addressesOf(a, 'eth0')).toEqual(['10.1.0.11/24', 'fd00:1::11/64']);
      expect(lab.host(1).reconciler.pass()).toBe(0);
    }
    lab.settle([NETWORK], [A, B]);
    fits(a, 1450);
    expect(await traffic).toEqual([expect.stringContaining(`${String(PINGS.count)} received`), 'whole']);
  });
});
