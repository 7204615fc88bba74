import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { decode, encode } from 'dns-packet';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../../core/daemon/log.js';
import { deleteNetns } from '../kernel/namespace.js';
import { ip, listIn, runIn, TestNamespaces } from '../kernel/testing.js';
import { frame, FrameReader } from './frames.js';
import { DnsServers, type DnsPlace } from './server.js';
import { networkId, viewOf, type TestNetwork } from './view.testing.js';

const run = promisify(execFile);
const GATEWAYS = [ip('10.1.0.1'), ip('fd00:1::1')];
const backend: TestNetwork = {
  name: 'backend',
  subnets: ['10.1.0.0/24 10.1.0.1', 'fd00:1::/64 fd00:1::1'],
  endpoints: [
    { sandbox: 'app', addresses: ['10.1.0.2', 'fd00:1::2'] },
    { sandbox: 'db', addresses: ['10.1.0.7', 'fd00:1::7'] },
    ...Array.from({ length: 100 }, (_, index) => ({
      sandbox: 'many',
      addresses: [`10.1.0.${String(100 + index)}`],
      host: 2 + index,
    })),
  ],
};
const view = viewOf(backend);

let namespaces: TestNamespaces;
let registry: Registry;
let servers: DnsServers;
let network: string;
let sandbox: string;
beforeEach(() => {
  namespaces = new TestNamespaces();
  registry = new Registry();
  servers = new DnsServers({ log: createLogger({ daemon: 'test', level: 'error' }), registry });
  network = namespaces.make('n');
  sandbox = namespaces.make('s');
  furnish();
});
afterEach(() => {
  servers[Symbol.dispose]();
  namespaces[Symbol.dispose]();
});

/** A bridge with the gateway's addresses, and a sandbox on it. */
function furnish(): void {
  const commands = (netns: string, lines: readonly string[]): string =>
    runIn(netns, ['ip', '-batch', '-'], lines.join('\n'));
  commands(network, [
    'link add weft0 type bridge',
    'link set weft0 up',
    'address add 10.1.0.1/24 dev weft0',
    'address add fd00:1::1/64 dev weft0 nodad',
    `link add p-1 type veth peer name eth0 netns ${sandbox}`,
    'link set p-1 master weft0 up',
  ]);
  commands(sandbox, [
    'link set lo up',
    'link set eth0 up',
    'address add 10.1.0.2/24 dev eth0',
    'address add fd00:1::2/64 dev eth0 nodad',
  ]);
}

const places = (netns: string): ReadonlyMap<ReturnType<typeof networkId>, DnsPlace> =>
  new Map([[networkId(1), { netns, addresses: GATEWAYS }]]);

/** Asynchronous, because the server that answers lives in this process. */
async function inSandbox(...argv: readonly string[]): Promise<string> {
  const { stdout } = await run('nsenter', [`--net=${sandbox}`, ...argv], { timeout: 15_000 });
  return stdout.trim();
}

const dig = (...args: readonly string[]): Promise<string> => inSandbox('dig', '+tries=1', '+timeout=3', ...args);

describe('DnsServers', () => {
  it('answers dig over UDP and TCP, at the IPv4 and the IPv6 gateway', async () => {
    expect(servers.update(places(network), view)).toEqual([]);
    for (const gateway of GATEWAYS) {
      for (const transport of ['+notcp', '+tcp']) {
        expect(await dig('+short', transport, `@${gateway}`, 'db')).toBe('10.1.0.7');
        expect(await dig('+short', transport, `@${gateway}`, 'db.backend', 'AAAA')).toBe('fd00:1::7');
      }
      expect(await dig('+short', `@${gateway}`, '-x', '10.1.0.7')).toBe('db.backend.');
      expect(await dig('+short', `@${gateway}`, '-x', 'fd00:1::7')).toBe('db.backend.');
    }
    const absent = await dig('+norecurse', '@10.1.0.1', 'nobody');
    expect(absent).toContain('status: NXDOMAIN');
    expect(absent).toContain('flags: qr aa;');
    expect(absent).not.toMatch(/warning|malformed/i);
    expect(await registry.metrics()).toContain('weft_dns_replies_total{rcode="NXDOMAIN"} 1');
  });

  it('lets dig turn to TCP for what UDP cannot carry', async () => {
    servers.update(places(network), view);
    expect((await dig('+short', '@10.1.0.1', 'many')).split('\n')).toHaveLength(100);
    expect(await dig('+ignore', '@10.1.0.1', 'many')).toContain('flags: qr aa tc rd;');
  });

  it('serves the C library, both families at once', async () => {
    servers.update(places(network), view);
    await using mounts = await privateMounts();
    const ask = async (...query: readonly string[]): Promise<string> => {
      const { stdout } = await mounts.run('nsenter', `--net=${sandbox}`, 'getent', '-s', 'hosts:dns', ...query);
      return stdout.trim();
    };
    const resolv = join(namespaces.directory, 'resolv.conf');
    writeFileSync(resolv, 'nameserver 10.1.0.1\nnameserver fd00:1::1\noptions ndots:0 timeout:2 attempts:1\n');
    await mounts.run('mount', '--bind', resolv, '/etc/resolv.conf');
    rmSync(resolv);
    expect(await ask('ahostsv4', 'db')).toMatch(/^10\.1\.0\.7\s+STREAM db$/m);
    expect(await ask('ahosts', 'db.backend')).toMatch(/^fd00:1::7\s+STREAM/m);
    expect(await ask('hosts', '10.1.0.7')).toMatch(/^10\.1\.0\.7\s+db\.backend$/);
    await expect(ask('ahosts', 'nobody')).rejects.toMatchObject({ code: 2 });
  });

  it('answers from the newest view', async () => {
    servers.update(places(network), view);
    const moved = { ...backend, endpoints: [{ sandbox: 'db', addresses: ['10.1.0.8'] }] };
    servers.update(places(network), viewOf(moved));
    expect(await dig('+short', '@10.1.0.1', 'db')).toBe('10.1.0.8');
  });

  it('listens again in a namespace that was made anew under the same path', async () => {
    servers.update(places(network), view);
    deleteNetns(network);
    network = namespaces.make('n');
    runIn(sandbox, ['ip', 'link', 'delete', 'eth0']);
    furnish();
    expect(servers.update(places(network), view)).toEqual([]);
    expect(await dig('+short', '@10.1.0.1', 'db')).toBe('10.1.0.7');
    expect(await dig('+short', '+tcp', '@fd00:1::1', 'db')).toBe('10.1.0.7');
  });

  it('reports a place it cannot serve, serves the others, and tries again', async () => {
    const later = join(namespaces.directory, 'later');
    const both = new Map([...places(network), [networkId(2), { netns: later, addresses: [ip('10.2.0.1')] }] as const]);
    const problems = servers.update(both, view);
    expect(problems).toMatchObject([{ object: 'dns 10.2.0.1', message: expect.stringContaining('ENOENT') as string }]);
    expect(await dig('+short', '@10.1.0.1', 'db')).toBe('10.1.0.7');
    namespaces.make('later');
    expect(servers.update(both, view)).toEqual([]);
    expect(servers.listening).toHaveLength(3);
  });

  it('lets go of a namespace when its network is no longer desired, and when it is disposed', async () => {
    for (const end of [() => servers.update(new Map(), view), () => servers[Symbol.dispose]()]) {
      servers.update(places(network), view);
      const question = frame(encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'db' }] }));
      await using connection = connect(1, question);
      await expect.poll(connection.received, { timeout: 5000 }).not.toHaveLength(0);
      expect(await dig('+short', '@10.1.0.1', 'db')).toBe('10.1.0.7');
      // An asker that is cut off cannot take leave of a connection.
      runIn(sandbox, ['ip', 'link', 'set', 'eth0', 'down']);
      deleteNetns(network);
      end();
      expect(servers.listening).toEqual([]);
      // The sandbox's veth goes when the namespace of its peer does.
      await expect.poll(() => listIn(sandbox, ['ip', '-j', 'link']).length, { timeout: 5000 }).toBe(1);
      network = namespaces.make('n');
      furnish();
    }
  });

  it('answers several questions on one connection, and closes what one asker has beyond its share', async () => {
    servers.update(places(network), view);
    const question = frame(encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'db' }] }));
    await using connections = connect(20, Buffer.concat([question, question]));
    const answers = () => new FrameReader().push(connections.received()).flatMap((bytes) => decode(bytes).answers);
    await expect.poll(answers, { timeout: 5000 }).toMatchObject([{ data: '10.1.0.7' }, { data: '10.1.0.7' }]);
    await expect.poll(connections.closed).toBe(4);
    await delay(100);
    expect(connections.closed()).toBe(4);
  });
});

/** What runs in the sandbox: opens a connection and then the others, sends something over the first, and tells what happens. */
const CLIENT = `
  const net = require('node:net');
  const [count, hex] = process.argv.slice(1);
  const open = (connected) => {
    const socket = net.connect(53, '10.1.0.1', connected);
    socket.on('data', (data) => console.log('data ' + data.toString('hex')));
    socket.on('error', () => {});
    socket.on('close', () => console.log('closed'));
    return socket;
  };
  const first = open(() => {
    first.write(Buffer.from(hex, 'hex'));
    for (let index = 1; index < Number(count); index++) open(() => {});
  });
`;

/** Connections from the sandbox to the gateway; the first sends `bytes`. */
function connect(count: number, bytes: Buffer) {
  const argv = [`--net=${sandbox}`, process.execPath, '-e', CLIENT, String(count), bytes.toString('hex')];
  const client = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(client, 'exit');
  let output = '';
  client.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const lines = (start: string): string[] => output.split('\n').filter((line) => line.startsWith(start));
  return {
    received: () => Buffer.concat(lines('data ').map((line) => Buffer.from(line.slice(5), 'hex'))),
    closed: () => lines('closed').length,
    [Symbol.asyncDispose]: async () => {
      client.kill('SIGKILL');
      await ended;
    },
  };
}

/** A mount namespace of its own, for bind mounts that nothing else shall see. Ends with its holder. */
async function privateMounts() {
  const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sleep', '60'], { stdio: 'ignore' });
  const own = readlinkSync('/proc/self/ns/mnt');
  const path = `/proc/${String(holder.pid)}/ns/mnt`;
  await expect.poll(() => readlinkSync(path), { timeout: 5000 }).not.toBe(own);
  return {
    run: (...argv: readonly string[]) => run('nsenter', [`--mount=${path}`, ...argv], { timeout: 15_000 }),
    [Symbol.asyncDispose]: async () => {
      const ended = once(holder, 'exit');
      holder.kill('SIGKILL');
      await ended;
    },
  };
}
