import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listenInNetns } from './listen-in-netns.js';
import { ip, runIn, TestNamespaces } from './testing.js';

let namespaces: TestNamespaces;
let netns: string;
beforeEach(() => {
  namespaces = new TestNamespaces();
  netns = namespaces.make('a');
});
afterEach(() => {
  namespaces[Symbol.dispose]();
});

/** Listening sockets in the namespace, as `ss` shows them: `udp 10.9.0.1:53`. */
const listening = () =>
  runIn(netns, ['ss', '-Hlntu'])
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/))
    .map((columns) => `${columns[0] ?? ''} ${columns[4] ?? ''}`)
    .sort();

describe('listenInNetns', () => {
  it('binds before the address is there, both families and protocols side by side', () => {
    const held = (['udp', 'tcp'] as const).flatMap((protocol) =>
      [ip('10.9.0.1'), ip('fd00:9::1'), ip('0.0.0.0'), ip('::')].map((address, index) =>
        listenInNetns({ netns, protocol, ip: address, port: index < 2 ? 53 : 5353 }),
      ),
    );
    expect(listening()).toEqual(
      ['tcp', 'udp'].flatMap((protocol) =>
        ['0.0.0.0:5353', '10.9.0.1:53', '[::]:5353', '[fd00:9::1]:53'].map((address) => `${protocol} ${address}`),
      ),
    );
    for (const descriptor of held) descriptor[Symbol.dispose]();
    expect(listening()).toEqual([]);
  });

  it('says which address is taken, and leaks nothing', () => {
    using first = listenInNetns({ netns, protocol: 'udp', ip: ip('10.9.0.1'), port: 53 });
    expect(first.fd).toBeGreaterThan(2);
    expect(() => listenInNetns({ netns, protocol: 'udp', ip: ip('10.9.0.1'), port: 53 })).toThrow(
      expect.objectContaining({
        code: 'EADDRINUSE',
        message: expect.stringContaining(`listen on udp 10.9.0.1:53 in ${netns}`) as unknown,
      }),
    );
  });

  it('gives Node a UDP server that answers inside', async () => {
    runIn(netns, ['ip', 'link', 'set', 'lo', 'up']);
    const server = createSocket('udp4');
    server.on('message', (message, { port, address }) => server.send(`got ${message.toString()}`, port, address));
    server.bind({ fd: listenInNetns({ netns, protocol: 'udp', ip: ip('127.0.0.1'), port: 5300 }).release() });
    // The client is a socket of the same namespace, sent from here: a blocking program would keep the server from answering.
    const client = createSocket('udp4');
    client.bind({ fd: listenInNetns({ netns, protocol: 'udp', ip: ip('127.0.0.1'), port: 5301 }).release() });
    client.send('ping', 5300, '127.0.0.1');
    const [answer] = (await once(client, 'message')) as [Buffer];
    expect(answer.toString()).toBe('got ping');
    server.close();
    client.close();
  });

  it('gives Node a TCP server', async () => {
    const server = createServer();
    server.listen({ fd: listenInNetns({ netns, protocol: 'tcp', ip: ip('::1'), port: 5300 }).release() });
    await once(server, 'listening');
    expect(listening()).toEqual(['tcp [::1]:5300']);
    server.close();
    await once(server, 'close');
    expect(listening()).toEqual([]);
  });
});
