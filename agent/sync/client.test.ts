/** The stream's client against a real gRPC server that says what each test wants it to. */
import { Server, ServerCredentials, credentials, type ServerDuplexStream } from '@grpc/grpc-js';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestsOf } from '../../core/digest.js';
import { WeftError } from '../../core/errors.js';
import { newEndpointId } from '../../core/ids.js';
import { CHANNEL_OPTIONS } from '../../proto/channel.js';
import { encodeEndpoint, encodeNetwork, encodePeer } from '../../proto/codec.js';
import { encodeFrame } from '../../proto/frame.js';
import {
  AgentSyncServiceClient,
  AgentSyncServiceService,
  SyncResponse,
  type SyncRequest,
} from '../../proto/gen/weft/v1/agent_sync.js';
import { encodeStatus } from '../../proto/status.js';
import type { Cidr } from '../../core/address.js';
import { NOTHING_FOLLOWED, type Followed } from '../state/followed.js';
import { Latest } from '../state/latest.js';
import { NOTHING_SETTLED } from '../state/settled.js';
import { hostId, networkId, testEndpoint, testNetwork, testPeer } from '../state/testing.js';
import { SyncClient } from './client.js';

type Stream = ServerDuplexStream<SyncRequest, SyncResponse>;

/** One stream as the controller sees it. */
class Side {
  readonly heard: NonNullable<SyncRequest['message']>[] = [];

  constructor(readonly stream: Stream) {
    stream.on('data', ({ message }: SyncRequest) => {
      if (message !== undefined) this.heard.push(message);
    });
    stream.on('error', () => undefined);
  }

  say(...messages: NonNullable<SyncResponse['message']>[]): void {
    for (const message of messages) this.stream.write({ message });
  }

  welcome(session: string, { epoch = 'e', declare = false, resumed = false } = {}): void {
    const value = {
      clusterId: 'c',
      epoch,
      session,
      hostNumber: 1,
      hostName: 'h1',
      declare,
      resumed,
      format: 1,
      incarnation: 1,
    };
    this.say({ $case: 'welcome', value });
  }

  frame(number: number, revision: bigint, ...endpoints: ReturnType<typeof testEndpoint>[]): void {
    const network = encodeNetwork(testNetwork(number));
    const value = {
      revision,
      network,
      endpoints: endpoints.map(encodeEndpoint),
      peers: [encodePeer(testPeer(2))],
      more: false,
    };
    this.say({ $case: 'frame', value });
  }

  inSync(revision: bigint): void {
    this.say({ $case: 'inSync', value: { revision } });
  }
}

const ENDPOINT = testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a' });
let server = new Server();
let sides: Side[] = [];
/** Which controllers it was to move on from. */
let left: string[] = [];
let onStream: (side: Side) => void = () => undefined;
let client = new AgentSyncServiceClient('127.0.0.1:1', credentials.createInsecure());
let followed: Followed = NOTHING_FOLLOWED;
const prefixes = new Latest<readonly Cidr[]>([]);
let sync = makeSync();
let stop = new AbortController();
let running: Promise<void> = Promise.resolve();

function makeSync(): SyncClient {
  const log = pino({ level: 'silent' });
  return new SyncClient({
    client,
    controller: 'the controller',
    way: { size: 1, moveOn: (peer) => left.push(peer) },
    welcomeMs: 1_000,
    hostId: hostId(1),
    vtep: testPeer(1).vtep,
    followed: () => followed,
    prefixes,
    log,
  });
}

beforeEach(async () => {
  sides = [];
  left = [];
  followed = NOTHING_FOLLOWED;
  prefixes.set([]);
  server = new Server();
  server.addService(AgentSyncServiceService, {
    sync: (stream: Stream) => {
      const side = new Side(stream);
      sides.push(side);
      onStream(side);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  client = new AgentSyncServiceClient(`127.0.0.1:${String(port)}`, credentials.createInsecure());
  sync = makeSync();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await running.catch(() => undefined);
  client.close();
  server.forceShutdown();
});

const side = (at: number): Promise<Side> =>
  expect
    .poll(() => sides[at], { timeout: 5000 })
    .toBeDefined()
    .then(() => {
      const found = sides[at];
      if (found === undefined) throw new Error('no stream');
      return found;
    });

describe('following the cluster', () => {
  it('says who it is, and knows everything at InSync, not before', async () => {
    onStream = (on) => {
      on.welcome('s1');
      on.frame(1, 5n, ENDPOINT);
    };
    running = sync.run(stop.signal);
    await sync.state.until(({ session }) => session, stop.signal);
    const first = await side(0);
    await expect
      .poll(() => first.heard[0])
      .toEqual({
        $case: 'hello',
        value: expect.objectContaining({ hostId: hostId(1), vtep: '192.0.2.1' }) as unknown,
      });
    expect(sync.state.value.known).toBeUndefined();
    first.inSync(5n);
    const known = await sync.state.until((state) => state.known, stop.signal);
    expect([known.revision, known.session, [...known.view.keys()]]).toEqual([5n, 's1', [networkId(1)]]);
  });

  it('keeps what it knew while a new stream tells everything anew, then swaps', async () => {
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`);
      if (sides.length === 1) {
        on.frame(1, 5n, ENDPOINT);
        on.inSync(5n);
      } else {
        on.frame(2, 6n);
      }
    };
    running = sync.run(stop.signal);
    await sync.state.until((state) => state.known, stop.signal);
    (await side(0)).stream.end();
    await sync.state.until(({ session }) => (session === 's2' ? session : undefined), stop.signal);
    expect([...(sync.state.value.known?.view.keys() ?? [])]).toEqual([networkId(1)]);
    (await side(1)).inSync(6n);
    const known = await sync.state.until(
      (state) => (state.known?.session === 's2' ? state.known : undefined),
      stop.signal,
    );
    expect([...known.view.keys()]).toEqual([networkId(2)]);
    expect(left).toEqual([client.getChannel().getTarget().replace('dns:', '')]);
  });

  /** What the hello of a stream says that there is already. */
  const offered = async (at: number) => {
    const { heard } = await side(at);
    await expect.poll(() => heard[0]).toBeDefined();
    const [hello] = heard;
    if (hello?.$case !== 'hello') throw new Error('no hello');
    return hello.value.resume;
  };

  it('says in digests what it has of the epoch, and goes on from there where the controller does', async () => {
    followed = { ...NOTHING_FOLLOWED, clusterId: 'c', epoch: 'e' };
    const ready = { ...ENDPOINT, state: 'ready' as const, revision: 6n };
    const there = testEndpoint({ network: 2, endpoint: 1, host: 2, sandbox: 'b' });
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`, { resumed: sides.length > 1 });
      if (sides.length > 1) return;
      on.frame(1, 5n, ENDPOINT);
      on.frame(2, 5n, there);
      on.inSync(5n);
    };
    running = sync.run(stop.signal);
    const before = await sync.state.until((state) => state.known, stop.signal);
    (await side(0)).stream.end();
    const second = await side(1);
    const things = { endpoints: new Map([[ENDPOINT.id, ENDPOINT]]), peers: new Map([[hostId(2), testPeer(2)]]) };
    expect(await offered(0)).toBeUndefined();
    expect(await offered(1)).toMatchObject({
      format: 1,
      networks: [
        { networkId: networkId(1), revision: 1n, digests: Buffer.from(digestsOf(things, 1)) },
        { networkId: networkId(2) },
      ],
    });
    const replaced = {
      bucketCount: 1,
      buckets: [0],
      endpoints: [encodeEndpoint(ready)],
      peers: [],
      network: undefined,
    };
    second.say({ $case: 'replacement', value: { revision: 6n, networkId: networkId(1), ...replaced } });
    await sync.state.until(({ session }) => (session === 's2' ? session : undefined), stop.signal);
    expect(sync.state.value.known).toBe(before);
    second.inSync(6n);
    const known = await sync.state.until((state) => (state.known === before ? undefined : state.known), stop.signal);
    expect(known).toMatchObject({ revision: 6n, session: 's2' });
    expect([...(known.view.get(networkId(1))?.endpoints.values() ?? [])]).toEqual([ready]);
    expect(known.view.get(networkId(1))?.peers.size).toBe(0);
    expect(known.view.get(networkId(2))).toBe(before.view.get(networkId(2)));
  });

  it('begins with nothing where the controller does not go on from what it has', async () => {
    followed = { ...NOTHING_FOLLOWED, clusterId: 'c', epoch: 'e' };
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`);
      if (sides.length === 1) on.frame(1, 5n, ENDPOINT);
      on.inSync(5n);
    };
    running = sync.run(stop.signal);
    await sync.state.until((state) => state.known, stop.signal);
    (await side(0)).stream.end();
    const known = await sync.state.until(
      (state) => (state.known?.session === 's2' ? state.known : undefined),
      stop.signal,
    );
    expect((await offered(1))?.networks).toHaveLength(1);
    expect(known.view.size).toBe(0);
  });

  it.each<[string, (on: Side) => void, Partial<Followed>]>([
    ['of another epoch than it follows', (on) => on.stream.end(), { clusterId: 'c', epoch: 'before' }],
    ['of another cluster', (on) => on.stream.end(), { clusterId: 'other', epoch: 'e' }],
    [
      'when it could make no sense of what it was told',
      (on) => {
        on.say({ $case: 'drop', value: { revision: 6n, networkId: 'none' } });
      },
      { clusterId: 'c', epoch: 'e' },
    ],
    [
      'when the controller could make none of its hello',
      (on) => {
        const status = encodeStatus(new WeftError({ reason: 'ARGUMENT_INVALID', message: 'hello.resume: no' }));
        on.stream.emit('error', Object.assign(new Error('refused'), status));
      },
      { clusterId: 'c', epoch: 'e' },
    ],
  ])('offers nothing %s', async (_, end, follows) => {
    followed = { ...NOTHING_FOLLOWED, ...follows };
    onStream = (on) => {
      if (sides.length > 1) return;
      on.welcome('s1');
      on.frame(1, 5n, ENDPOINT);
      on.inSync(5n);
    };
    running = sync.run(stop.signal);
    await sync.state.until((state) => state.known, stop.signal);
    end(await side(0));
    await side(1);
    expect(await offered(1)).toBeUndefined();
  });

  it('is not resumed from what it never offered', async () => {
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`, { resumed: sides.length === 1 });
      on.inSync(5n);
    };
    running = sync.run(stop.signal);
    const known = await sync.state.until((state) => state.known, stop.signal);
    expect(known.session).toBe('s2');
  });

  it('leaves a controller that does not welcome it', async () => {
    onStream = (on) => {
      if (sides.length > 1) on.welcome('s2');
    };
    running = sync.run(stop.signal);
    await sync.state.until(({ session }) => session, AbortSignal.timeout(4_000));
    expect(left).toHaveLength(1);
    expect(sides).toHaveLength(2);
  });

  it('learns a network of more than a message may carry, and nothing of it when the stream ends amid it', async () => {
    const labels = Object.fromEntries(Array.from({ length: 15 }, (_, at) => [`l${String(at)}`, 'x'.repeat(1_000)]));
    const endpoints = Array.from({ length: 4_600 }, () => ({ ...ENDPOINT, id: newEndpointId(), labels }));
    const parts = encodeFrame({ revision: 5n, network: testNetwork(1), endpoints, peers: [testPeer(2)] });
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeGreaterThan(CHANNEL_OPTIONS['grpc.max_receive_message_length'] ?? Infinity);
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`);
      const sent = sides.length === 1 ? parts.slice(0, 30) : parts;
      for (const part of sent)
        on.say(SyncResponse.decode(part).message ?? { $case: 'inSync', value: { revision: 0n } });
      if (sides.length === 1) on.stream.end();
      else on.inSync(5n);
    };
    running = sync.run(stop.signal);
    const known = await sync.state.until((state) => state.known, stop.signal);
    expect([known.session, known.view.get(networkId(1))?.endpoints.size]).toEqual(['s2', 4_600]);
  }, 20_000);

  it('says where the host’s own routes lead, at first and when that changes', async () => {
    prefixes.set(['192.0.2.0/24' as Cidr]);
    onStream = (on) => {
      on.welcome('s1');
    };
    running = sync.run(stop.signal);
    await sync.state.until(({ session }) => session, stop.signal);
    prefixes.set(['192.0.2.0/24' as Cidr, '203.0.113.0/24' as Cidr]);
    const only = await side(0);
    await expect.poll(() => only.heard).toHaveLength(2);
    expect(only.heard).toEqual([
      {
        $case: 'hello',
        value: expect.objectContaining({ epoch: '', prefixes: { cidrs: ['192.0.2.0/24'] } }) as unknown,
      },
      { $case: 'prefixes', value: { cidrs: ['192.0.2.0/24', '203.0.113.0/24'] } },
    ]);
  });

  it('says what it runs where it is asked, before anything else, under the epoch that asks', async () => {
    followed = { clusterId: 'c1', epoch: 'e1', networks: [testNetwork(1)], endpoints: [ENDPOINT] };
    onStream = (on) => {
      on.welcome('s1', { epoch: 'e2', declare: true });
    };
    running = sync.run(stop.signal);
    const only = await side(0);
    await expect.poll(() => only.heard).toHaveLength(2);
    expect(only.heard).toMatchObject([
      { $case: 'hello', value: { clusterId: 'c1', epoch: 'e1' } },
      { $case: 'declaration', value: { epoch: 'e2', networks: [{ name: 'net1' }], endpoints: [{ id: ENDPOINT.id }] } },
    ]);
  });

  it('keeps other hosts’ endpoints at a new epoch until they have had time to declare themselves', async () => {
    const there = testEndpoint({ network: 1, endpoint: 2, host: 2, sandbox: 'b' });
    const gone = testEndpoint({ network: 1, endpoint: 3, host: 1, sandbox: 'c' });
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`, { epoch: `e${String(sides.length)}` });
      on.frame(1, 50n, ENDPOINT, ...(sides.length === 1 ? [there, gone] : []));
      on.inSync(sides.length === 1 ? 50n : 3n);
    };
    running = sync.run(stop.signal);
    await sync.state.until((state) => state.known, stop.signal);
    (await side(0)).stream.end();
    const idsAt = async (revision: bigint): Promise<string[]> => {
      const known = await sync.state.until(
        (state) => (state.known?.epoch === 'e2' && state.known.revision === revision ? state.known : undefined),
        stop.signal,
      );
      return [...(known.view.get(networkId(1))?.endpoints.keys() ?? [])];
    };
    expect(await idsAt(3n)).toEqual([ENDPOINT.id, there.id]);
    // Its host has declared it, and then it is removed: nobody holds it any more.
    const second = await side(1);
    const change = { networkId: networkId(1), network: undefined, putPeers: [], dropPeerHostIds: [] };
    const put = { ...change, revision: 4n, putEndpoints: [encodeEndpoint(there)], dropEndpointIds: [] };
    second.say({ $case: 'change', value: put });
    second.inSync(4n);
    expect(await idsAt(4n)).toEqual([ENDPOINT.id, there.id]);
    const drop = { ...change, revision: 5n, putEndpoints: [], dropEndpointIds: [there.id] };
    second.say({ $case: 'change', value: drop });
    second.inSync(5n);
    expect(await idsAt(5n)).toEqual([ENDPOINT.id]);
  });

  it('begins anew when it is told of a change in a network it never heard of', async () => {
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`);
      if (sides.length > 1) return;
      on.say({ $case: 'drop', value: { revision: 4n, networkId: networkId(9) } });
      const nothing = { putEndpoints: [], dropEndpointIds: [], putPeers: [], dropPeerHostIds: [] };
      on.say({ $case: 'change', value: { revision: 5n, networkId: networkId(1), network: undefined, ...nothing } });
      on.inSync(5n);
    };
    running = sync.run(stop.signal);
    await sync.state.until(({ session }) => (session === 's2' ? session : undefined), stop.signal);
    expect(sync.state.value.known).toBeUndefined();
  });

  it('acks, nacks and reports once the kernel has it, and only what this stream told', async () => {
    onStream = (on) => {
      on.welcome('s1');
      on.frame(1, 5n, ENDPOINT);
      on.inSync(5n);
    };
    running = sync.run(stop.signal);
    const known = await sync.state.until((state) => state.known, stop.signal);
    const problems = [{ object: 'h1 network net1', message: 'no' }];
    sync.tell({ ...NOTHING_SETTLED, known: { ...known, session: 'another' } });
    sync.tell({ ...NOTHING_SETTLED, known, problems });
    sync.tell({ ...NOTHING_SETTLED, known, attached: new Set([ENDPOINT.id]) });
    sync.tell({ ...NOTHING_SETTLED, known, attached: new Set([ENDPOINT.id]), notices: problems });
    const report = {
      $case: 'report',
      value: { readyEndpointIds: [ENDPOINT.id], removedEndpointIds: [], leakedEndpointIds: [] },
    };
    const only = await side(0);
    await expect
      .poll(() => only.heard.slice(1))
      .toEqual([
        { $case: 'nack', value: { revision: 5n, problems } },
        report,
        { $case: 'ack', value: { revision: 5n, notices: [] } },
        report,
        { $case: 'ack', value: { revision: 5n, notices: problems } },
      ]);
  });

  it('does not race with another agent that has this host’s id', async () => {
    onStream = (on) => {
      on.welcome(`s${String(sides.length)}`);
      on.inSync(5n);
      const status = encodeStatus(new WeftError({ reason: 'SESSION_STALE', message: 'there is a newer stream' }));
      on.stream.emit('error', Object.assign(new Error('refused'), status));
    };
    running = sync.run(stop.signal);
    await side(3);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // Pauses of 100 ms and doubling: some six streams in this time, where hundreds were.
    expect(sides.length).toBeLessThan(9);
  });

  it.each<[string, Partial<Followed>, readonly string[]]>([
    ['goes on asking where it is another cluster than what runs here', { endpoints: [ENDPOINT] }, ['c1 e1', 'c1 e1']],
    ['comes as new where nothing runs here', {}, ['c1 e1', ' ']],
  ])('%s', async (_, runs, says) => {
    followed = { ...NOTHING_FOLLOWED, clusterId: 'c1', epoch: 'e1', ...runs };
    onStream = (on) => {
      const status = encodeStatus(new WeftError({ reason: 'CLUSTER_DIFFERS', message: 'this is c2' }));
      on.stream.once('data', () => on.stream.emit('error', Object.assign(new Error('refused'), status)));
    };
    running = sync.run(stop.signal);
    await side(2);
    const hellos = sides.slice(0, 2).flatMap(({ heard }) => heard);
    expect(hellos.map(({ value }) => value)).toMatchObject(
      says.map((each) => ({ clusterId: each.split(' ')[0], epoch: each.split(' ')[1] })),
    );
    expect(sync.state.value).toMatchObject({ identity: undefined, known: undefined });
  });

  it('gives up at once when it is refused for good', async () => {
    onStream = (on) => {
      const status = encodeStatus(new WeftError({ reason: 'VTEP_TAKEN', message: '192.0.2.1 is the VTEP of h9' }));
      on.stream.emit('error', Object.assign(new Error('refused'), status));
    };
    running = sync.run(stop.signal);
    await expect(running).rejects.toMatchObject({ reason: 'VTEP_TAKEN', message: '192.0.2.1 is the VTEP of h9' });
  });
});
