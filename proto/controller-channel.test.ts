/** Against real servers on loopback: each says which one it is. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server as SilentServer } from 'node:net';
import { Client, credentials, Server, ServerCredentials, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControllerChannel, shuffled } from './controller-channel.js';
import type { ControllerPlace } from './controller-list.js';

const same = (bytes: Buffer): Buffer => bytes;
const WHO = {
  path: '/test.Test/Who',
  ...{ requestStream: false, responseStream: false, requestSerialize: same, requestDeserialize: same },
  ...{ responseSerialize: same, responseDeserialize: same },
} as const;

interface Running {
  readonly place: ControllerPlace;
  readonly server: Server;
}

let running: Running[] = [];
let silent: SilentServer;
let channel: ControllerChannel | undefined;
let asked = 0;
/** No server answers before this is done. */
let held: Promise<void> = Promise.resolve();

async function serve(name: string, port = 0): Promise<Running> {
  const server = new Server();
  server.addService(
    { who: WHO },
    {
      who: (_: unknown, done: (error: null, answer: Buffer) => void) => {
        asked++;
        held.then(
          () => {
            done(null, Buffer.from(name));
          },
          () => undefined,
        );
      },
    },
  );
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${String(port)}`, ServerCredentials.createInsecure(), (error, at) => {
      if (error === null) resolve(at);
      else reject(error);
    });
  });
  const made = { place: { host: '127.0.0.1', port: bound }, server };
  running.push(made);
  return made;
}

/** Which server a call through the channel reached. */
function who(on: ControllerChannel, timeoutMs = 5_000): Promise<string> {
  const client = new Client('', credentials.createInsecure(), { channelOverride: on });
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + timeoutMs;
    client.makeUnaryRequest(
      WHO.path,
      same,
      same,
      Buffer.alloc(0),
      { deadline },
      (error: ServiceError | null, answer) => {
        if (error === null) resolve(String(answer));
        else reject(error);
      },
    );
  });
}

function open(...places: readonly ControllerPlace[]): ControllerChannel {
  channel = new ControllerChannel(places, credentials.createInsecure());
  return channel;
}

/** Accepts connections, as the kernel does for a process that is stopped, and never says anything. */
const mute = (): ControllerPlace => ({ host: '127.0.0.1', port: (silent.address() as AddressInfo).port });

beforeEach(async () => {
  running = [];
  silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
});
afterEach(() => {
  channel?.close();
  for (const { server } of running) server.forceShutdown();
  silent.close();
});

describe('a channel to one of several controllers', () => {
  it('goes to the first that answers, also by name, and keeps to it', async () => {
    const [one, two] = [await serve('one'), await serve('two')];
    const dead = await serve('dead');
    dead.server.forceShutdown();
    const on = open(dead.place, { host: 'localhost', port: one.place.port }, two.place);
    expect([await who(on), await who(on)]).toEqual(['one', 'one']);
    expect(on.size).toBe(3);
  });

  it('passes over a name that is not known, and one that is silent, within a second', async () => {
    const one = await serve('one');
    const on = open({ host: 'no-such-host.invalid', port: 1 }, mute(), one.place);
    const began = performance.now();
    expect(await who(on)).toBe('one');
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it('goes to another when the one it has dies, with the next call', async () => {
    const [one, two] = [await serve('one'), await serve('two')];
    const on = open(one.place, two.place);
    expect(await who(on)).toBe('one');
    one.server.forceShutdown();
    await expect.poll(() => who(on).catch(String)).toBe('two');
  });

  it('leaves one that answers when it is told to, and comes back to it last', async () => {
    const all = [await serve('one'), await serve('two'), await serve('three')];
    const on = open(...all.map(({ place }) => place));
    expect(await who(on)).toBe('one');
    const seen: string[] = [];
    for (const port of [0, 1, 2, 0].map((at) => all[at]?.place.port)) {
      on.moveOn(`127.0.0.1:${String(port)}`);
      seen.push(await who(on));
    }
    expect(seen).toEqual(['two', 'three', 'one', 'two']);
    on.moveOn();
    expect(await who(on)).toBe('three');
  });

  it('lets a call under way go on when it moves on', async () => {
    const [one, two] = [await serve('one'), await serve('two')];
    const on = open(one.place, two.place);
    const before = asked;
    let release: () => void = () => undefined;
    held = new Promise((resolve) => (release = resolve));
    const underWay = who(on);
    await expect.poll(() => asked).toBe(before + 1);
    on.moveOn(`127.0.0.1:${String(one.place.port)}`);
    release();
    expect(await underWay).toBe('one');
    expect(await who(on)).toBe('two');
  });

  it('tries at once after moving on, however often it failed before', async () => {
    const gone = await serve('gone');
    gone.server.forceShutdown();
    const on = open(gone.place);
    for (let turn = 0; turn < 8; turn++) {
      await expect(who(on), String(turn)).rejects.toThrow('ECONNREFUSED');
      on.moveOn();
    }
    await serve('back', gone.place.port);
    const began = performance.now();
    expect(await who(on)).toBe('back');
    expect(performance.now() - began).toBeLessThan(500);
  });

  it('says which names are not known when there is no other', async () => {
    const on = open({ host: 'no-such-host.invalid', port: 1 }, { host: 'nor-this.invalid', port: 1 });
    await expect(who(on)).rejects.toThrow(/no-such-host\.invalid: .*; nor-this\.invalid: /);
  });

  it('is not opened again once it is closed', async () => {
    const on = open((await serve('one')).place);
    on.close();
    on.moveOn();
    await expect(who(on, 500)).rejects.toThrow();
  });
});

describe('an order of its own', () => {
  it('has the same items, and begins with each equally often', () => {
    const items = ['a', 'b', 'c'];
    const firsts = new Map<string, number>();
    for (let turn = 0; turn < 3_000; turn++) {
      const order = shuffled(items);
      expect([...order].sort()).toEqual(items);
      firsts.set(order[0] ?? '', (firsts.get(order[0] ?? '') ?? 0) + 1);
    }
    for (const item of items) expect(firsts.get(item)).toBeGreaterThan(800);
  });
});
