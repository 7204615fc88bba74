import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import { ipFromNumber, ipToNumber, parseIp } from '../../core/address.js';
import { randomMac } from '../../core/mac.js';
import { pause } from '../../core/lifetime.js';
import { PRESENT, type Endpoint, type Network } from '../../core/model.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { StoreUnavailable, type Put, type WatchBatch } from '../store/store.js';
import { SILENT } from '../testing.js';
import { Cache } from './cache.js';
import { putEndpoint, putHost, putNetwork } from './objects.js';
import { ClusterView, type ChangeSet } from './view.js';

const signal = new AbortController().signal;
const network = (fields: Partial<Network> = {}): Network => ({
  ...{ id: newNetworkId(), name: 'web', driver: 'overlay', vni: 4096, subnets: [], internal: false, mtu: undefined },
  ...{ labels: {}, options: {}, revision: 0n, requestId: 'r', createTimeMs: 0 },
  ...fields,
});
const endpoint = (of: Network, fields: Partial<Endpoint> = {}): Endpoint => ({
  ...{ id: newEndpointId(), networkId: of.id, hostId: newHostId(), sandbox: 'a', name: 'a', aliases: [] },
  ...{ addresses: [address('10.1.0.2')], mac: randomMac(), labels: {}, state: 'pending', revision: 0n, requestId: '' },
  ...{ createRevision: 0n, createTimeMs: 0 },
  ...fields,
});
const address = (text: string) => {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(text);
  return ip;
};

/** A store whose watch can be made to break, and to skip: what a compacted history looks like. */
class BreakingStore extends MemoryStore {
  lists = 0;
  away = false;
  override async list(prefix: string, until: AbortSignal) {
    this.lists += 1;
    if (this.away) throw new StoreUnavailable('away');
    return super.list(prefix, until);
  }
  /** Milliseconds that each batch takes to arrive. */
  lagMs = 0;
  override async *watch(options: Parameters<MemoryStore['watch']>[0]): AsyncGenerator<WatchBatch> {
    for await (const batch of super.watch(options)) {
      if (this.lagMs > 0) await pause(this.lagMs, options.signal);
      yield batch;
    }
  }
}

let store: BreakingStore;
let cache: Cache;
let stop: AbortController;
let running: Promise<void>;
let seen: ChangeSet[];
let malformed: string[];

beforeEach(() => {
  store = new BreakingStore();
  malformed = [];
  seen = [];
  cache = new Cache({ store, log: SILENT, patienceMs: 50, onMalformed: (key) => malformed.push(key) });
  cache.subscribe((changes) => seen.push(changes));
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await running;
});

const start = async (): Promise<void> => {
  running = cache.run(stop.signal);
  await cache.listed;
};
const write = async (puts: readonly Put[], deletes: readonly string[] = []): Promise<bigint> =>
  (await store.commit({ compares: [], puts, deletes }, signal)).revision;

describe('the cache', () => {
  it('lists what is there, then follows, a change set for each revision in order', async () => {
    const web = network();
    await write([putNetwork(web)]);
    await start();
    expect(cache.view.networkNamed('WEB')).toEqual({ ...web, revision: 2n });
    const one = endpoint(web);
    const first = await write([putEndpoint(one)]);
    const second = await write([putEndpoint({ ...one, state: 'ready' })]);
    const third = await write([], [objectKey.endpoint(web.id, one.id)]);
    await cache.atLeast(third, signal);
    expect(seen.map(({ revision }) => revision)).toEqual([2n, first, second, third]);
    expect(seen[3]?.changes).toEqual([
      {
        kind: 'endpoint',
        before: { ...one, state: 'ready', revision: second, createRevision: first },
        after: undefined,
      },
    ]);
    expect(cache.view.endpoints.size).toBe(0);
    expect(cache.view.endpointsOf(web.id).size).toBe(0);
  });

  it('skips values that cannot be read, keeps what it knew, and counts them', async () => {
    const web = network();
    await start();
    await write([putNetwork(web)]);
    const stranger = putNetwork(network({ name: 'other' }));
    const revision = await write([
      { key: objectKey.network(web.id), value: Buffer.from('\u0007nonsense') },
      { key: objectKey.network(newNetworkId()), value: stranger.value },
      { key: objectKey.endpoint(web.id, newEndpointId()), value: new Uint8Array() },
      { key: `${objectKey.meta()}/of-a-newer-weft`, value: Buffer.from('?') },
    ]);
    await cache.atLeast(revision, signal);
    expect(malformed).toHaveLength(3);
    expect([...cache.view.networks.values()].map(({ name }) => name)).toEqual(['web']);
  });

  it('lists again when history is gone, and says what was missed', async () => {
    await start();
    const [gone, stays, comes] = [network(), network({ name: 'b', vni: 2 }), network({ name: 'c', vni: 3 })];
    await cache.atLeast(await write([putNetwork(gone), putNetwork(stays)]), signal);
    // The watch cannot resume: this store's watch ends when its history is compacted beyond it.
    const watch = vi.spyOn(store, 'watch');
    await write([], [objectKey.network(gone.id)]);
    const last = await write([putNetwork(comes)]);
    store.compact(last);
    await cache.atLeast(last, signal);
    expect([...cache.view.networks.keys()].toSorted()).toEqual([stays.id, comes.id].toSorted());
    const missed = seen
      .flatMap(({ changes }) => changes)
      .flatMap((change) => (change.kind === 'network' ? [[change.before?.id, change.after?.id]] : []));
    expect(missed).toContainEqual([gone.id, undefined]);
    expect(missed).toContainEqual([undefined, comes.id]);
    expect(missed.filter(([, id]) => id === stays.id)).toHaveLength(1);
    watch.mockRestore();
  });

  it('waits for a store that is away', async () => {
    store.away = true;
    running = cache.run(stop.signal);
    await vi.waitFor(() => {
      expect(store.lists).toBeGreaterThan(1);
    });
    const revision = await write([putNetwork(network())]);
    store.away = false;
    await cache.atLeast(revision, signal);
    expect(cache.view.networks.size).toBe(1);
  });

  it('comes to a revision that brought it no event, and to none the store has not', async () => {
    await start();
    const foreign = await write([{ key: '/of/somebody/else', value: Buffer.from('x') }]);
    await cache.atLeast(foreign, signal);
    expect(cache.view.revision).toBe(foreign);
    await expect(cache.atLeast(foreign + 1n, signal)).rejects.toMatchObject({ reason: 'REVISION_AHEAD' });
    const impatient = AbortSignal.timeout(10);
    await expect(cache.atLeast(foreign + 1n, impatient)).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});

describe('a watch that is behind', () => {
  it('is waited for while it comes, longer than patience lasts, without a listing', async () => {
    await start();
    const web = network();
    store.lagMs = 20;
    let last = 0n;
    // Each change takes less than the cache's patience of 50 ms, and all of them take much more.
    for (let change = 0; change < 12; change += 1) last = await write([putNetwork(web)]);
    await cache.atLeast(last, signal);
    expect(seen.filter(({ changes }) => changes.length > 0)).toHaveLength(12);
    expect(store.lists).toBe(1);
  });

  it('is not waited for when it brings nothing any more', async () => {
    await start();
    store.lagMs = 20;
    await write([putNetwork(network())]);
    const last = await write([putNetwork(network({ vni: 2 }))]);
    store.lagMs = 60_000;
    await write([putNetwork(network({ vni: 3 }))]);
    await cache.atLeast(last + 1n, signal);
    expect(store.lists).toBe(2);
  });
});

describe('the view', () => {
  it('knows what rests, until it rests no more, and takes the key alone for it', async () => {
    await start();
    const [web, other] = [network(), network({ name: 'other', vni: 2 })];
    const rest = (of: Network, text: string, value = Buffer.from('')) => ({
      ...{ key: objectKey.resting(of.id, address(text)), value },
    });
    const [garbled, fleeting] = [rest(web, '10.1.0.3', Buffer.from('\u0007nonsense')), rest(web, 'fd00::2')];
    const first = await write([rest(web, '10.1.0.2'), garbled, { ...fleeting, ttlMs: 100 }, rest(other, '10.1.0.2')]);
    await cache.atLeast(first, signal);
    const resting = () => [...cache.view.restingIn(web.id).keys()].toSorted();
    expect(resting()).toEqual(['10.1.0.2', '10.1.0.3', 'fd00::2']);
    expect(malformed).toEqual([]);
    await vi.waitFor(() => {
      expect(resting()).toEqual(['10.1.0.2', '10.1.0.3']);
    });
    // What the watch missed, a listing brings.
    store.away = true;
    await write([], [garbled.key]);
    store.compact((await store.get('x', signal)).revision);
    store.away = false;
    await vi.waitFor(() => {
      expect(resting()).toEqual(['10.1.0.2']);
    });
    expect([...cache.view.restingIn(other.id).keys()]).toEqual(['10.1.0.2']);
  });

  it('knows which addresses are taken: those that are held, and those that rest', () => {
    const view = new ClusterView();
    const web = network();
    const one = endpoint(web, { addresses: [address('10.1.0.2'), address('fd00::2')] });
    const rests = (text: string) => ({ networkId: web.id, address: address(text), revision: 1n });
    const free = (family: 4 | 6, text: string) => {
      const from = ipToNumber(address(text));
      const found = view.takenIn(web.id, family).nextFree(from, from + 10n);
      return found === undefined ? undefined : ipFromNumber(family, found);
    };
    view.apply(1n, [
      { kind: 'put', object: { kind: 'endpoint', value: one } },
      { kind: 'put', object: { kind: 'resting', value: rests('10.1.0.3') } },
      { kind: 'put', object: { kind: 'resting', value: rests('10.1.0.2') } },
    ]);
    expect([free(4, '10.1.0.2'), free(6, 'fd00::2')]).toEqual(['10.1.0.4', 'fd00::3']);
    const unheld = (text: string) => {
      const number = ipToNumber(address(text));
      return view.unheldIn(web.id, 4).countIn(number, number);
    };
    // What is held and rests is held.
    expect([unheld('10.1.0.2'), unheld('10.1.0.3')]).toEqual([0, 1]);
    view.apply(2n, [{ kind: 'drop', of: 'endpoint', networkId: web.id, id: one.id }]);
    expect([free(4, '10.1.0.2'), free(6, 'fd00::2')]).toEqual(['10.1.0.4', 'fd00::2']);
    expect(unheld('10.1.0.2')).toBe(1);
    view.apply(3n, [{ kind: 'drop', of: 'resting', networkId: web.id, address: address('10.1.0.2') }]);
    expect(unheld('10.1.0.2')).toBe(0);
    expect(free(4, '10.1.0.2')).toBe('10.1.0.2');
  });

  it('keeps every index right when things change places within one change set', () => {
    const view = new ClusterView();
    const host = (name: string, vtep: string, number: number) => ({
      ...{
        id: newHostId(),
        name,
        vtep: address(vtep),
        number,
        version: '',
        prefixes: [],
        declaredEpoch: '',
        ...PRESENT,
        revision: 1n,
      },
    });
    const [h1, h2] = [host('h1', '192.0.2.1', 1), host('h2', '192.0.2.2', 2)];
    const put = (value: typeof h1) => ({ kind: 'put' as const, object: { kind: 'host' as const, value } });
    view.apply(1n, [put(h1), put(h2)]);
    view.apply(2n, [put({ ...h1, vtep: h2.vtep, name: 'h2' }), put({ ...h2, vtep: h1.vtep, name: 'h1' })]);
    expect(view.holderOfVtep(h2.vtep)).toBe(h1.id);
    expect(view.holderOfVtep(h1.vtep)).toBe(h2.id);
    expect([view.hostNamed('h1')?.id, view.hostNamed('H2')?.id]).toEqual([h2.id, h1.id]);
    expect(putHost(h1).key).toBe(objectKey.host(h1.id));
  });

  it('lets a stray double of an endpoint’s id not take the true one away', () => {
    const view = new ClusterView();
    const [web, other] = [network(), network({ name: 'other' })];
    const one = endpoint(web);
    view.apply(1n, [{ kind: 'put', object: { kind: 'endpoint', value: one } }]);
    const { changes } = view.apply(2n, [{ kind: 'drop', of: 'endpoint', networkId: other.id, id: one.id }]);
    expect(changes).toEqual([]);
    expect(view.endpointsIn(one.hostId, 'A')).toContain(one);
    expect(view.holderOfAddress(web.id, address('10.1.0.2'))).toBe(one);
    expect(view.holderOfMac(web.id, one.mac)).toBe(one);
  });
});
