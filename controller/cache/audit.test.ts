import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseIp } from '../../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import { pause } from '../../core/lifetime.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint, Network } from '../../core/model.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { StoreUnavailable, type Put, type WatchBatch } from '../store/store.js';
import { SILENT } from '../testing.js';
import { CacheAudit, type AuditObserver } from './audit.js';
import { Cache } from './cache.js';
import { putEndpoint, putNetwork, putResting } from './objects.js';
import type { ChangeSet } from './view.js';

const signal = new AbortController().signal;
const ADDRESS = parseIp('10.1.0.2') ?? expect.fail('no address');
const network = (fields: Partial<Network> = {}): Network => ({
  ...{ id: newNetworkId(), name: 'web', driver: 'overlay', vni: 4096, subnets: [], internal: false, mtu: undefined },
  ...{ labels: {}, options: {}, revision: 0n, requestId: 'r', createTimeMs: 0 },
  ...fields,
});
const endpoint = (of: Network, fields: Partial<Endpoint> = {}): Endpoint => ({
  ...{ id: newEndpointId(), networkId: of.id, hostId: newHostId(), sandbox: 'a', name: 'a', aliases: [] },
  ...{ addresses: [ADDRESS], mac: randomMac(), labels: {}, state: 'pending', revision: 0n, requestId: '' },
  ...{ createRevision: 0n, createTimeMs: 0 },
  ...fields,
});

/** A store whose watch can be told to lose events, and to stand still. */
class FaultyStore extends MemoryStore {
  lists = 0;
  /** Whether the watch loses what it is about to tell. */
  lose: (batch: WatchBatch) => boolean = () => false;
  /** What the watch waits for before it tells anything. */
  stopped: Promise<void> | undefined;
  away = false;

  override async list(prefix: string, until: AbortSignal) {
    this.lists += 1;
    return super.list(prefix, until);
  }
  override async *watch(options: Parameters<MemoryStore['watch']>[0]) {
    const over = new Promise<void>((resolve) => options.signal.addEventListener('abort', () => resolve()));
    for await (const batch of super.watch(options)) {
      await Promise.race([this.stopped, over]);
      if (options.signal.aborted) return;
      if (!this.lose(batch)) yield batch;
    }
  }
  override async *revisions(options: Parameters<MemoryStore['revisions']>[0]) {
    if (this.away) throw new StoreUnavailable('away');
    yield* super.revisions(options);
  }
}

let store: FaultyStore;
let cache: Cache;
let audit: CacheAudit;
/** One that does not wait long for a watch. */
let impatient: CacheAudit;
let stop: AbortController;
let running: Promise<void>;
let seen: ChangeSet[];
let outcomes: string[];
let counted: number;
const observer: AuditObserver = {
  audited: (outcome) => outcomes.push(outcome),
  differences: (count) => {
    counted += count;
  },
};

beforeEach(async () => {
  store = new FaultyStore();
  [seen, outcomes, counted] = [[], [], 0];
  cache = new Cache({ store, log: SILENT });
  audit = new CacheAudit({ cache, store, log: SILENT, observer });
  impatient = new CacheAudit({ cache, store, log: SILENT, observer, patienceMs: 50 });
  stop = new AbortController();
  running = cache.run(stop.signal);
  await cache.listed;
  cache.subscribe((changes) => seen.push(changes));
});
afterEach(async () => {
  stop.abort();
  await running;
});

const write = async (puts: readonly Put[], deletes: readonly string[] = []): Promise<bigint> =>
  (await store.commit({ compares: [], puts, deletes }, signal)).revision;
const [web, one, two] = [network(), endpoint(network()), endpoint(network())];
const own = [one, two].map((each) => ({ ...each, networkId: web.id }));
const [first = one, second = two] = own;
const resting = (ttlMs: number) => putResting({ networkId: web.id, address: ADDRESS, endpointId: first.id }, ttlMs);

describe('the audit of the cache', () => {
  it('finds nothing where there is nothing, and lists nothing', async () => {
    await cache.atLeast(await write([putNetwork(web), ...own.map(putEndpoint), resting(60_000)]), signal);
    expect(await audit.once(signal)).toEqual([]);
    expect(outcomes).toEqual(['equal']);
    expect(store.lists).toBe(1);
  });

  it('finds a change, a delete and a create whose events were lost, and has them told', async () => {
    const [renamed, gone, come] = [putNetwork({ ...web, name: 'renamed' }), second, endpoint(web)];
    const before = await write([putNetwork(web), ...own.map(putEndpoint)]);
    await cache.atLeast(before, signal);
    store.lose = ({ revision }) => revision === before + 1n;
    await write([renamed, putEndpoint(come)], [objectKey.endpoint(web.id, gone.id)]);
    const after = await write([putEndpoint({ ...first, state: 'ready' })]);
    await cache.atLeast(after, signal);
    expect(cache.view.networks.get(web.id)?.name).toBe('web');

    const found = await audit.once(signal);
    const byKey = (a: { readonly key: string }, b: { readonly key: string }): number => (a.key < b.key ? -1 : 1);
    expect(found.toSorted(byKey)).toEqual(
      [
        { key: objectKey.network(web.id), inView: before, inStore: before + 1n },
        { key: objectKey.endpoint(web.id, come.id), inView: undefined, inStore: before + 1n },
        { key: objectKey.endpoint(web.id, gone.id), inView: before, inStore: undefined },
      ].toSorted(byKey),
    );
    expect([outcomes, counted]).toEqual([['different'], 3]);
    await vi.waitFor(() => {
      expect(cache.view.networks.get(web.id)?.name).toBe('renamed');
    });
    expect([...cache.view.endpoints.keys()].toSorted()).toEqual([first.id, come.id].toSorted());
    const told = seen.at(-1)?.changes.map(({ kind, after: now }) => [kind, now === undefined]);
    expect(told).toHaveLength(3);
    expect(told).toEqual(
      expect.arrayContaining([
        ['network', false],
        ['endpoint', true],
        ['endpoint', false],
      ]),
    );
    expect(await audit.once(signal)).toEqual([]);
  });

  it('finds an address whose rest has ended unnoticed', async () => {
    await cache.atLeast(await write([putNetwork(web), resting(20)]), signal);
    store.lose = () => true;
    await pause(40, signal);
    expect(await store.count(objectKey.resting(web.id, ADDRESS), signal)).toBe(0);
    expect(cache.view.restingIn(web.id).size).toBe(1);
    expect(await impatient.once(signal)).toMatchObject([
      { key: objectKey.resting(web.id, ADDRESS), inStore: undefined },
    ]);
    await vi.waitFor(() => {
      expect(cache.view.restingIn(web.id).size).toBe(0);
    });
  });

  it('finds a watch that tells nothing any more', async () => {
    await cache.atLeast(await write([putNetwork(web)]), signal);
    store.stopped = new Promise(() => undefined);
    const last = await write([putEndpoint(first)]);
    expect(await impatient.once(signal)).toMatchObject([{ key: objectKey.endpoint(web.id, first.id), inStore: last }]);
    await vi.waitFor(() => {
      expect(cache.view.endpoints.size).toBe(1);
    });
  });

  it('takes a view for equal that is behind by what is none of ours', async () => {
    await cache.atLeast(await write([putNetwork(web)]), signal);
    await write([{ key: '/of/somebody/else', value: Buffer.from('x') }]);
    expect(await audit.once(signal)).toEqual([]);
    expect([outcomes, store.lists]).toEqual([['equal'], 1]);
  });

  it('raises no false alarm, however much changes meanwhile and however late the watch is', async () => {
    let written = 0n;
    const writing = (async () => {
      const endpoints = Array.from({ length: 50 }, () => endpoint(web));
      for (let count = 0; count < 2_000; count += 1) {
        const each = endpoints[count % endpoints.length] ?? first;
        const gone = count % 3 === 0;
        written = await write(gone ? [] : [putEndpoint(each)], gone ? [objectKey.endpoint(web.id, each.id)] : []);
        // Now and then the watch stands still, for less or longer than the audit waits for it.
        if (count % 100 === 0) store.stopped = delay(count % 200 === 0 ? 30 : 700);
        if (count % 4 === 0) await pause(1, signal);
      }
    })();
    let audits = 0;
    const over = (): boolean => cache.view.revision >= written && written > 2_000n;
    for (; !over() && audits < 500; audits += 1) {
      expect(await audit.once(signal)).toEqual([]);
      await pause(5, signal);
    }
    await writing;
    expect(counted).toBe(0);
    expect(outcomes.filter((outcome) => outcome === 'equal').length).toBeGreaterThan(2);
    expect(outcomes).not.toContain('different');
  }, 30_000);

  it('takes a value that nobody can read for what it is', async () => {
    const key = objectKey.network(web.id);
    await cache.atLeast(await write([putNetwork(web)]), signal);
    const revision = await write([
      { key, value: Buffer.from('\u0007nonsense') },
      { key: objectKey.endpoint(web.id, newEndpointId()), value: new Uint8Array() },
      { key: objectKey.meta(), value: Buffer.from('meta') },
      { key: `${objectKey.meta()}/of-a-newer-weft`, value: Buffer.from('?') },
    ]);
    await cache.atLeast(revision, signal);
    expect(await audit.once(signal)).toEqual([]);
    expect([outcomes, store.lists]).toEqual([['equal'], 1]);
  });

  it('leaves it for another time where the store does not answer, or has forgotten', async () => {
    await cache.atLeast(await write([putNetwork(web)]), signal);
    store.away = true;
    expect(await audit.once(signal)).toEqual([]);
    expect([outcomes, store.lists]).toEqual([['skipped'], 1]);
  });

  it('comes again and again until it is ended', async () => {
    const often = new CacheAudit({ cache, store, log: SILENT, observer, everyMs: 5 });
    const ending = new AbortController();
    const auditing = often.run(ending.signal);
    await vi.waitFor(() => {
      expect(outcomes.length).toBeGreaterThan(3);
    });
    ending.abort();
    await auditing;
    expect(new Set(outcomes)).toEqual(new Set(['equal']));
  });
});
