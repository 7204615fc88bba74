import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseIp } from '../../core/address.js';
import { DIGEST_FORMAT } from '../../core/digest.js';
import { WeftError } from '../../core/errors.js';
import { fold, type HostView } from '../../core/fold.js';
import {
  newControllerId,
  newEndpointId,
  newHostId,
  newNetworkId,
  type HostId,
  type NetworkId,
} from '../../core/ids.js';
import { deferred } from '../../core/lifetime.js';
import { randomMac } from '../../core/mac.js';
import { PRESENT, type Endpoint, type Host, type Network } from '../../core/model.js';
import { decodeChange, decodeDrop } from '../../proto/codec.js';
import { FrameReader } from '../../proto/frame.js';
import { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { Cache } from '../cache/cache.js';
import { putEndpoint, putHost, putNetwork, putResting } from '../cache/objects.js';
import { objectKey } from '../store/keys.js';
import { MAX_OPERATIONS } from '../store/transaction.js';
import { MemoryStore } from '../store/memory.js';
import type { Put, WatchBatch } from '../store/store.js';
import { SILENT } from '../testing.js';
import { Convergence } from './convergence.js';
import { Fanout } from './fanout.js';
import type { Session, SessionStream } from './session.js';

const never = new AbortController().signal;

/** A stream that takes as much as the test lets it, and folds what it got as an agent does. */
class FakeStream implements SessionStream {
  readonly bytes: Uint8Array[] = [];
  readonly batches: { revision: bigint; kinds: string[] }[] = [];
  view: HostView = new Map();
  ended: WeftError | undefined;
  /** While true, the stream is full after every write. */
  full = false;
  #kinds: string[] = [];
  #pending: Parameters<typeof fold>[1][number][] = [];
  #drained: (() => void)[] = [];
  readonly #frames = new FrameReader();

  write(bytes: Uint8Array): boolean {
    const { message } = SyncResponse.decode(bytes);
    if (message === undefined) throw new Error('an empty message');
    // Of hosts that nobody hears from, which these are: see liveness.test.ts.
    if (message.$case === 'liveness') return true;
    this.bytes.push(bytes);
    if (message.$case === 'inSync') {
      this.view = fold(this.view, this.#pending.splice(0));
      this.batches.push({ revision: message.value.revision, kinds: this.#kinds.splice(0) });
    } else {
      this.#kinds.push(message.$case);
      const framed = message.$case === 'frame' ? this.#frames.read(message.value) : undefined;
      if (framed !== undefined) this.#pending.push(framed);
      if (message.$case === 'change') this.#pending.push(decodeChange(message.value));
      if (message.$case === 'drop') this.#pending.push(decodeDrop(message.value));
    }
    return !this.full;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  release(): void {
    this.full = false;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  end(reason: WeftError): void {
    this.ended = reason;
  }
}

/** A store whose watch can be held up. */
class LaggingStore extends MemoryStore {
  held: Promise<undefined> | undefined;

  override async *watch(options: Parameters<MemoryStore['watch']>[0]): AsyncGenerator<WatchBatch> {
    for await (const batch of super.watch(options)) {
      await this.held;
      yield batch;
    }
  }
}

let store: LaggingStore;
let cache: Cache;
let fanout: Fanout;
let convergence: Convergence;
let stop: AbortController;
let running: Promise<void>;
let encoded: string[];

beforeEach(async () => {
  store = new LaggingStore();
  stop = new AbortController();
  cache = new Cache({ store, log: SILENT });
  running = cache.run(stop.signal);
  await cache.listed;
  encoded = [];
  fanout = new Fanout({
    ...{ cache, clusterId: 'c', epoch: 'e' },
    observer: { encoded: (kind) => encoded.push(kind), sent: () => undefined },
  });
  const peers = { ask: () => Promise.reject(new Error('there are no others')) };
  convergence = new Convergence({ fanout, cache, self: newControllerId(), peers });
});
afterEach(async () => {
  convergence[Symbol.dispose]();
  fanout[Symbol.dispose]();
  stop.abort();
  await running;
});

const host = (number: number): Host => {
  const vtep = parseIp(`192.0.2.${String(number)}`);
  if (vtep === undefined) throw new Error('no address');
  return {
    id: newHostId(),
    name: `h${String(number)}`,
    vtep,
    number,
    version: '',
    prefixes: [],
    declaredEpoch: '',
    ...PRESENT,
    revision: 0n,
  };
};
const network = (vni: number): Network => ({
  ...{ id: newNetworkId(), name: `n${String(vni)}`, driver: 'overlay', vni, subnets: [], internal: false },
  ...{ mtu: undefined, labels: {}, options: {}, revision: 0n, requestId: '', createTimeMs: 0 },
});
const endpoint = (of: NetworkId, on: HostId, sandbox = 'a'): Endpoint => ({
  ...{ id: newEndpointId(), networkId: of, hostId: on, sandbox, name: sandbox, aliases: [], addresses: [] },
  ...{
    mac: randomMac(),
    labels: {},
    state: 'pending',
    revision: 0n,
    requestId: '',
    createRevision: 0n,
    createTimeMs: 0,
  },
});
const write = async (puts: readonly Put[], deletes: readonly string[] = []): Promise<bigint> => {
  const { revision } = await store.commit({ compares: [], puts, deletes }, never);
  await cache.atLeast(revision, never);
  return revision;
};
const open = (of: Host): { stream: FakeStream; session: Session } => {
  const stream = new FakeStream();
  const session = fanout.open({
    ...{ id: randomUUID(), host: of, stream },
    onBroken: (error) => {
      throw error;
    },
  });
  return { stream, session };
};
const until = (look: () => void) => vi.waitFor(look, { timeout: 2_000, interval: 2 });
const inSync = (stream: FakeStream, revision: bigint) =>
  until(() => {
    expect(stream.batches.at(-1)?.revision).toBeGreaterThanOrEqual(revision);
  });

/** What a host should know, straight from the cache. */
const expected = (of: HostId): string[] => {
  const ids = new Set([...cache.view.endpointsOn(of).values()].map(({ networkId }) => networkId));
  return [...ids].toSorted().map((id) => {
    const endpoints = [...cache.view.endpointsOf(id).values()];
    const peers = new Set(endpoints.map(({ hostId }) => hostId));
    return JSON.stringify([id, endpoints.map((each) => [each.id, each.state]).toSorted(), [...peers].toSorted()]);
  });
};
const known = ({ view }: FakeStream): string[] =>
  [...view.keys()].toSorted().map((id) => {
    const each = view.get(id);
    const endpoints = [...(each?.endpoints.values() ?? [])];
    return JSON.stringify([
      id,
      endpoints.map((one) => [one.id, one.state]).toSorted(),
      [...(each?.peers.keys() ?? [])].toSorted(),
    ]);
  });

describe('a stream', () => {
  it('begins with a welcome, the networks of the span in full, and InSync', async () => {
    const [h1, h2] = [host(1), host(2)];
    const [mine, theirs] = [network(1), network(2)];
    const revision = await write([
      ...[h1, h2].map(putHost),
      ...[mine, theirs].map(putNetwork),
      ...[endpoint(mine.id, h1.id), endpoint(mine.id, h2.id), endpoint(theirs.id, h2.id)].map(putEndpoint),
    ]);
    const { stream, session } = open(h1);
    await inSync(stream, revision);
    expect(stream.batches).toEqual([{ revision, kinds: ['welcome', 'frame'] }]);
    const [first] = stream.bytes;
    expect(SyncResponse.decode(first ?? new Uint8Array()).message).toEqual({
      $case: 'welcome',
      value: {
        ...{ clusterId: 'c', epoch: 'e', session: session.id, hostNumber: 1, hostName: 'h1', declare: false },
        ...{ resumed: false, format: DIGEST_FORMAT, incarnation: 1 },
      },
    });
    expect(known(stream)).toEqual(expected(h1.id));
  });

  it('brings networks when the span grows, changes while it has them, drops when it shrinks, and nothing of the rest', async () => {
    const [h1, h2, h3] = [host(1), host(2), host(3)];
    const web = network(1);
    await write([...[h1, h2, h3].map(putHost), putNetwork(web)]);
    const [one, two, three] = [h1, h2, h3].map((each) => open(each).stream);
    if (one === undefined || two === undefined || three === undefined) throw new Error('three streams');
    const first = endpoint(web.id, h1.id);
    const second = endpoint(web.id, h2.id);
    await inSync(one, await write([putEndpoint(first)]));
    const revision = await write([putEndpoint(second)]);
    await Promise.all([inSync(one, revision), inSync(two, revision)]);
    expect(one.batches.map(({ kinds }) => kinds)).toEqual([['welcome'], ['frame'], ['change']]);
    expect(two.batches.map(({ kinds }) => kinds)).toEqual([['welcome'], ['frame']]);
    const last = await write([], [objectKey.endpoint(web.id, second.id)]);
    await Promise.all([inSync(one, last), inSync(two, last)]);
    expect(two.batches.at(-1)?.kinds).toEqual(['drop']);
    expect(one.view.get(web.id)?.peers.size).toBe(1);
    expect(two.view.size).toBe(0);
    expect(three.batches).toHaveLength(1);
  });

  it('tells peers of a host where it is, and nothing else that changes about it', async () => {
    const [h1, h2] = [host(1), host(2)];
    const web = network(1);
    const both = [h1, h2].map(({ id }) => putEndpoint(endpoint(web.id, id)));
    await write([...[h1, h2].map(putHost), putNetwork(web), ...both]);
    const { stream } = open(h1);
    await inSync(stream, 1n);
    await write([putHost({ ...h2, version: 'new', availability: 'drained' })]);
    await write([putHost({ ...h2, absence: 'lost' })]);
    const vtep = parseIp('192.0.2.200');
    if (vtep === undefined) throw new Error('no address');
    const revision = await write([putHost({ ...h2, vtep })]);
    await inSync(stream, revision);
    expect(stream.batches.slice(1)).toEqual([{ revision, kinds: ['change'] }]);
    expect(stream.view.get(web.id)?.peers.get(h2.id)?.vtep).toBe(vtep);
  });

  it('tells nobody which addresses rest', async () => {
    const h1 = host(1);
    const web = network(1);
    const one = endpoint(web.id, h1.id);
    await write([putHost(h1), putNetwork(web), putEndpoint(one)]);
    const { stream } = open(h1);
    await inSync(stream, 1n);
    const address = parseIp('10.1.0.2');
    if (address === undefined) throw new Error('no address');
    const resting = putResting({ networkId: web.id, address, endpointId: newEndpointId() }, 60_000);
    await write([resting]);
    await write([], [resting.key]);
    const revision = await write([putEndpoint({ ...one, state: 'ready' }), resting]);
    await inSync(stream, revision);
    expect(stream.batches.slice(1)).toEqual([{ revision, kinds: ['change'] }]);
  });

  it('shares one encoding between all that need it', async () => {
    const hosts = Array.from({ length: 8 }, (_, index) => host(index + 1));
    const web = network(1);
    await write([...hosts.map(putHost), putNetwork(web), ...hosts.map(({ id }) => putEndpoint(endpoint(web.id, id)))]);
    const streams = hosts.map((each) => open(each).stream);
    const revision = await write([putEndpoint(endpoint(web.id, hosts[0]?.id ?? newHostId(), 'b'))]);
    await Promise.all(streams.map((stream) => inSync(stream, revision)));
    expect(encoded).toEqual(['frame', 'change']);
    const frames = streams.map(({ bytes }) => bytes[1]);
    expect(frames.every((frame) => frame === frames[0])).toBe(true);
    const changes = streams.map(({ bytes }) => bytes[3]);
    expect(changes.every((change) => change !== undefined && change === changes[0])).toBe(true);
  });

  it('never splits a revision, however many networks it touches', async () => {
    const h1 = host(1);
    const networks = Array.from({ length: 20 }, (_, index) => network(index + 1));
    await write([putHost(h1), ...networks.map(putNetwork)]);
    const { stream } = open(h1);
    await inSync(stream, 1n);
    stream.full = true;
    const endpoints = networks.map(({ id }, index) => endpoint(id, h1.id, `s${String(index)}`));
    const revision = await write(endpoints.map(putEndpoint));
    await until(() => {
      expect(stream.bytes.length).toBe(3);
    });
    const later = await write([
      putEndpoint({ ...endpoint(networks[0]?.id ?? newNetworkId(), h1.id), sandbox: 'late' }),
    ]);
    stream.release();
    await inSync(stream, later);
    expect(stream.batches.slice(1)).toEqual([
      { revision, kinds: networks.map(() => 'frame') },
      { revision: later, kinds: ['change'] },
    ]);
    expect(known(stream)).toEqual(expected(h1.id));
  });

  it('keeps bounded memory for a host that does not read, and then brings it right', async () => {
    const h1 = host(1);
    const web = network(1);
    const away = network(2);
    await write([putHost(h1), ...[web, away].map(putNetwork)]);
    const leaving = endpoint(away.id, h1.id, 'leaving');
    await write([putEndpoint(endpoint(web.id, h1.id)), putEndpoint(leaving)]);
    const stream = new FakeStream();
    const session = fanout.open({ host: h1, stream, id: randomUUID(), onBroken: () => undefined });
    await inSync(stream, 1n);
    stream.full = true;
    const labels = { filler: 'x'.repeat(1_000) };
    let most = 0;
    for (let round = 0; round < 60; round += 1) {
      const puts = Array.from({ length: 100 }, (_, index) =>
        putEndpoint({ ...endpoint(web.id, h1.id, `s${String(round)}-${String(index)}`), labels }),
      );
      await write(puts);
      most = Math.max(most, session.queuedBytes);
    }
    const last = await write([], [objectKey.endpoint(away.id, leaving.id)]);
    expect(most).toBeGreaterThan(1_000_000);
    expect(most).toBeLessThanOrEqual(4 * 1024 * 1024);
    stream.release();
    await inSync(stream, last);
    expect(known(stream)).toEqual(expected(h1.id));
    expect([...new Set(stream.batches.at(-1)?.kinds)].toSorted()).toEqual(['drop', 'frame']);
    expect(session.queuedBytes).toBe(0);
  });

  /** A host on a network of more than a message may carry, and how many endpoints that has. */
  async function large(): Promise<{ h1: Host; web: Network; count: number }> {
    const [h1, web, count] = [host(1), network(1), 600];
    await write([putHost(h1), putNetwork(web)]);
    const labels = { filler: 'x'.repeat(8_000) };
    for (let at = 0; at < count; at += 100) {
      const some = Array.from({ length: 100 }, (_, each) => endpoint(web.id, h1.id, `s${String(at + each)}`));
      await write(some.map((each) => putEndpoint({ ...each, labels })));
    }
    return { h1, web, count };
  }

  it('tells a large network in parts of a mebibyte, the same bytes to all, one at a time to who is slow', async () => {
    const { h1, web, count } = await large();
    const h2 = host(2);
    const last = await write([putHost(h2), putEndpoint(endpoint(web.id, h2.id))]);
    const slow = new FakeStream();
    slow.full = true;
    fanout.open({ host: h1, stream: slow, id: randomUUID(), onBroken: () => undefined });
    const { stream } = open(h2);
    await inSync(stream, last);
    const parts = stream.batches[0]?.kinds.length ?? 0;
    expect(stream.batches[0]?.kinds).toEqual(['welcome', ...Array.from({ length: parts - 1 }, () => 'frame')]);
    expect(parts).toBeGreaterThan(4);
    for (const { length } of stream.bytes) expect(length).toBeLessThan(1024 * 1024 + 100);
    expect(stream.view.get(web.id)?.endpoints.size).toBe(count + 1);
    for (let at = 1; at < parts; at += 1) {
      expect(slow.bytes).toHaveLength(at);
      slow.release();
      slow.full = true;
      await until(() => {
        expect(slow.bytes).toHaveLength(at + 1);
      });
      // Nothing of the network is known before all of it is.
      expect([slow.bytes[at] === stream.bytes[at], slow.view.size]).toEqual([true, 0]);
    }
    slow.release();
    await inSync(slow, last);
    expect(encoded).toEqual(['frame']);
    expect(known(slow)).toEqual(expected(h1.id));
  });

  it('changed in between parts of a frame, is told that afterwards', async () => {
    const { h1, web } = await large();
    const stream = new FakeStream();
    stream.full = true;
    fanout.open({ host: h1, stream, id: randomUUID(), onBroken: () => undefined });
    stream.release();
    stream.full = true;
    await until(() => {
      expect(stream.bytes).toHaveLength(2);
    });
    const [first] = cache.view.endpointsOf(web.id).values();
    if (first === undefined) throw new Error('no endpoint');
    const revision = await write(
      [putEndpoint(endpoint(web.id, h1.id, 'late'))],
      [objectKey.endpoint(web.id, first.id)],
    );
    stream.release();
    await inSync(stream, revision);
    expect(stream.batches.at(-1)).toEqual({ revision, kinds: ['change'] });
    expect(known(stream)).toEqual(expected(h1.id));
  });

  it('is told a network in full where more changed at once than any transaction changes', async () => {
    const [h1, web] = [host(1), network(1)];
    await write([putHost(h1), putNetwork(web), putEndpoint(endpoint(web.id, h1.id))]);
    const { stream } = open(h1);
    await inSync(stream, 1n);
    const puts = (count: number, name: string) =>
      Array.from({ length: count }, (_, at) => putEndpoint(endpoint(web.id, h1.id, `${name}${String(at)}`)));
    // As much as a transaction can.
    await inSync(stream, await write(puts(MAX_OPERATIONS, 'a')));
    expect(stream.batches.at(-1)?.kinds).toEqual(['change']);
    // What a cache finds at one revision when history was compacted while its watch was away.
    const held = deferred<undefined>();
    store.held = held.promise;
    let revision = 0n;
    for (let round = 0; round < 12; round += 1) {
      const transaction = { compares: [], puts: puts(100, `b${String(round)}-`), deletes: [] };
      ({ revision } = await store.commit(transaction, never));
    }
    store.compact(revision);
    held.resolve(undefined);
    await inSync(stream, revision);
    const last = stream.batches.filter(({ revision: at }) => at === revision);
    expect(last.flatMap(({ kinds }) => kinds)).toEqual(['frame']);
    expect(known(stream)).toEqual(expected(h1.id));
  });

  it('ends when a newer one of its host comes, and is told no more', async () => {
    const h1 = host(1);
    const web = network(1);
    await write([putHost(h1), putNetwork(web)]);
    const old = open(h1);
    await inSync(old.stream, 1n);
    const fresh = open(h1);
    expect(old.stream.ended).toMatchObject({ reason: 'SESSION_STALE' });
    fanout.close(old.session);
    expect(fanout.sessionOf(h1.id)).toBe(fresh.session);
    await inSync(fresh.stream, await write([putEndpoint(endpoint(web.id, h1.id))]));
    expect(old.stream.batches).toHaveLength(1);
  });
});

describe('convergence', () => {
  it('is proven by acks, and only by those for what was sent', async () => {
    const [h1, h2] = [host(1), host(2)];
    const web = network(1);
    const start = await write([...[h1, h2].map(putHost), putNetwork(web)]);
    const [one, two] = [open(h1), open(h2)];
    await Promise.all([inSync(one.stream, start), inSync(two.stream, start)]);
    expect(one.session.acknowledge(start)).toBe(true);
    two.session.acknowledge(start);
    const revision = await write([putEndpoint(endpoint(web.id, h1.id))]);
    expect(one.session.acknowledge(revision)).toBe(false);
    await inSync(one.stream, revision);
    let done = false;
    const waiting = convergence.wait(revision, never).then((unreachable) => {
      done = true;
      return unreachable;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(done).toBe(false);
    // Silence costs nothing: what concerned nobody else is not waited for.
    expect(two.session.openRevision).toBeUndefined();
    one.session.acknowledge(revision);
    fanout.progressed();
    expect(await waiting).toEqual([]);
  });

  it('keeps what a host does otherwise than asked, which holds nobody up', async () => {
    const h1 = host(1);
    const web = network(1);
    const revision = await write([putHost(h1), putNetwork(web), putEndpoint(endpoint(web.id, h1.id))]);
    const { session, stream } = open(h1);
    await inSync(stream, revision);
    session.refuse([{ object: 'h1 network web', message: 'no such\u0007device' }]);
    expect(session.problems).toEqual([{ object: 'h1 network web', message: 'no such device' }]);
    const notice = { object: 'h1 network web, mtu', message: '9000 bytes do not fit' };
    session.acknowledge(revision, [notice]);
    expect(session.problems).toEqual([notice]);
    expect(await convergence.wait(revision, never)).toEqual([]);
  });

  it('is not claimed by a controller that is stopping', async () => {
    const h1 = host(1);
    const web = network(1);
    const revision = await write([putHost(h1), putNetwork(web), putEndpoint(endpoint(web.id, h1.id))]);
    const { stream } = open(h1);
    const waiting = convergence.wait(revision, never).catch((error: unknown) => error);
    fanout[Symbol.dispose]();
    expect(await waiting).toMatchObject({ reason: 'CONTROLLER_UNAVAILABLE' });
    expect(stream.ended).toMatchObject({ reason: 'CONTROLLER_UNAVAILABLE' });
    expect(() => open(h1)).toThrow(WeftError);
  });
});
