/** Hosts whose streams are lost anywhere, and that go on with a controller which has never heard of them. */
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { parseIp } from '../../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import type { Mac } from '../../core/mac.js';
import { PRESENT, type Endpoint, type Host, type Network } from '../../core/model.js';
import { Cache } from '../cache/cache.js';
import { putEndpoint, putHost, putNetwork } from '../cache/objects.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import type { Put } from '../store/store.js';
import { SILENT } from '../testing.js';
import { Fanout } from './fanout.js';
import { Follower, plain, resumeOf } from './follower.testing.js';
import type { Session } from './session.js';

const never = new AbortController().signal;
const HOSTS = Array.from({ length: 3 }, newHostId);
const NETWORKS = Array.from({ length: 3 }, newNetworkId);
const ENDPOINTS = Array.from({ length: 150 }, newEndpointId);
const pick = <T>(from: readonly T[], at: number): T => {
  const found = from[at % from.length];
  if (found === undefined) throw new Error('nothing to pick');
  return found;
};

const host = (at: number, vtep: number): Host => {
  const address = parseIp(`192.0.2.${String(vtep)}`);
  if (address === undefined) throw new Error('no address');
  return {
    ...{ id: pick(HOSTS, at), name: `h${String(at)}`, vtep: address, number: at + 1, version: '', prefixes: [] },
    ...{ declaredEpoch: '', ...PRESENT, revision: 0n },
  };
};
const network = (at: number, label: string): Network => ({
  ...{ id: pick(NETWORKS, at), name: `n${String(at)}`, driver: 'overlay', vni: at + 1, subnets: [], internal: false },
  ...{ mtu: undefined, labels: { label }, options: {}, revision: 0n, requestId: '', createTimeMs: 0 },
});
/** Each endpoint belongs to one network for good, and may come back on another host. */
const endpoint = (at: number, on: number): Endpoint => ({
  ...{ id: pick(ENDPOINTS, at), networkId: pick(NETWORKS, at), hostId: pick(HOSTS, on), sandbox: `s${String(at)}` },
  ...{ name: `s${String(at)}`, aliases: [], addresses: [], mac: '02:00:00:00:00:01' as Mac, labels: {} },
  ...{ state: 'ready', revision: 0n, requestId: '', createRevision: 0n, createTimeMs: 0 },
});

type Step =
  | { readonly kind: 'put'; readonly endpoints: readonly number[]; readonly on: number }
  | { readonly kind: 'drop'; readonly endpoints: readonly number[] }
  | { readonly kind: 'settings'; readonly network: number; readonly label: string }
  | { readonly kind: 'move'; readonly host: number; readonly vtep: number }
  | { readonly kind: 'remove'; readonly network: number }
  /** The stream ends, whatever was under way. */
  | { readonly kind: 'lose' }
  /** Another controller, with a cache of its own. */
  | { readonly kind: 'restart' }
  /** What is sent after so many messages is lost. */
  | { readonly kind: 'return'; readonly hears: number }
  /** Is lost, misses a little, and comes back. */
  | { readonly kind: 'miss'; readonly endpoints: readonly number[]; readonly hears: number }
  | { readonly kind: 'settle' };

const some = fc.uniqueArray(fc.nat(ENDPOINTS.length - 1), { minLength: 1, maxLength: 6 });
const hears = fc.constantFrom(1, 2, 3, 4, 6, Infinity, Infinity, Infinity);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), endpoints: some, on: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('drop' as const), endpoints: some }) },
  fc.record({ kind: fc.constant('settings' as const), network: fc.nat(2), label: fc.constantFrom('a', 'b') }),
  fc.record({ kind: fc.constant('move' as const), host: fc.nat(2), vtep: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ kind: fc.constant('remove' as const), network: fc.nat(2) }),
  { weight: 3, arbitrary: fc.constant<Step>({ kind: 'lose' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'restart' }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('return' as const), hears }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('miss' as const),
      endpoints: fc.uniqueArray(fc.nat(ENDPOINTS.length - 1), { minLength: 1, maxLength: 3 }),
      hears,
    }),
  },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: 'settle' }) },
);

/** What one life of a controller has in memory. */
class Life implements AsyncDisposable {
  readonly cache: Cache;
  readonly fanout: Fanout;
  readonly encoded: string[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  private constructor(store: MemoryStore) {
    this.cache = new Cache({ store, log: SILENT });
    this.#running = this.cache.run(this.#stop.signal);
    this.fanout = new Fanout({
      ...{ cache: this.cache, clusterId: 'c', epoch: 'e' },
      observer: { encoded: (kind) => this.encoded.push(kind), sent: () => undefined },
    });
  }

  static async begin(store: MemoryStore): Promise<Life> {
    const life = new Life(store);
    await life.cache.listed;
    return life;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fanout[Symbol.dispose]();
    this.#stop.abort();
    await this.#running;
  }
}

/** A host with a stream, or without one for the moment. */
class Comer {
  follower = new Follower();
  #session: Session | undefined;
  returns = 0;
  #replacements = 0;

  constructor(readonly host: Host) {}

  get isThere(): boolean {
    return this.#session !== undefined;
  }

  /** In how many messages it was told what differs. */
  get replacements(): number {
    return this.#replacements + replacementsIn(this.follower);
  }

  comeTo({ fanout }: Life, hears = Infinity): void {
    // A stream that was lost before its first InSync has told nothing that could be relied on.
    const before = this.follower.revision === 0n ? undefined : this.follower.view;
    const revision = this.follower.revision;
    this.#replacements = this.replacements;
    this.follower = new Follower(before, hears);
    this.follower.revision = revision;
    if (before !== undefined) this.returns += 1;
    this.#session = fanout.open({
      ...{ id: randomUUID(), host: this.host, stream: this.follower },
      ...(before === undefined ? {} : { resume: resumeOf(before) }),
      onBroken: (error) => {
        throw error;
      },
    });
  }

  lose({ fanout }: Life): void {
    if (this.#session !== undefined) fanout.close(this.#session);
    this.#session = undefined;
  }
}

const replacementsIn = ({ kinds }: Follower): number => kinds.filter((kind) => kind === 'replacement').length;

const untilAt = (follower: Follower, revision: bigint) =>
  vi.waitFor(
    () => {
      expect(follower.revision).toBeGreaterThanOrEqual(revision);
    },
    { timeout: 2_000, interval: 1 },
  );

describe('a host that comes back to whichever controller', () => {
  it('ends with what a host has that was told everything, wherever its streams were lost', async () => {
    let returns = 0;
    let replacements = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const store = new MemoryStore();
        let revision = 0n;
        const write = async (puts: readonly Put[], deletes: readonly string[] = []): Promise<void> => {
          ({ revision } = await store.commit({ compares: [], puts, deletes }, never));
        };
        await write([
          ...HOSTS.map((_, at) => putHost(host(at, at + 1))),
          ...NETWORKS.map((_, at) => putNetwork(network(at, ''))),
          ...ENDPOINTS.slice(0, 75).map((_, at) => putEndpoint(endpoint(at, at % 3))),
        ]);
        let life = await Life.begin(store);
        try {
          const comer = new Comer(host(0, 1));
          comer.comeTo(life);
          for (const each of steps) {
            if (each.kind === 'put') await write(each.endpoints.map((at) => putEndpoint(endpoint(at, each.on))));
            if (each.kind === 'drop') {
              await write(
                [],
                each.endpoints.map((at) => objectKey.endpoint(pick(NETWORKS, at), pick(ENDPOINTS, at))),
              );
            }
            if (each.kind === 'settings') await write([putNetwork(network(each.network, each.label))]);
            if (each.kind === 'move') await write([putHost(host(each.host, each.vtep))]);
            if (each.kind === 'remove') {
              const id = pick(NETWORKS, each.network);
              const held = ENDPOINTS.filter((_, at) => pick(NETWORKS, at) === id);
              await write([], [objectKey.network(id), ...held.map((one) => objectKey.endpoint(id, one))]);
            }
            if (each.kind === 'lose') comer.lose(life);
            if (each.kind === 'restart') {
              comer.lose(life);
              await life[Symbol.asyncDispose]();
              life = await Life.begin(store);
            }
            if (each.kind === 'return' && !comer.isThere) comer.comeTo(life, each.hears);
            if (each.kind === 'miss') {
              comer.lose(life);
              await write(each.endpoints.map((at) => putEndpoint(endpoint(at, 0))));
              await life.cache.atLeast(revision, never);
              comer.comeTo(life, each.hears);
            }
            if (each.kind === 'settle') {
              await life.cache.atLeast(revision, never);
              const { follower } = comer;
              if (comer.isThere) {
                await vi.waitFor(() => {
                  expect(follower.isDeaf || follower.inSyncs > 0).toBe(true);
                });
              }
            }
          }
          await life.cache.atLeast(revision, never);
          comer.lose(life);
          comer.comeTo(life);
          // A change of its own span tells it that it has come to the end.
          await write([putEndpoint(endpoint(0, 0)), putNetwork(network(0, 'last'))]);
          await life.cache.atLeast(revision, never);
          await untilAt(comer.follower, revision);
          const fresh = new Comer(host(0, 1));
          fresh.comeTo(life);
          await untilAt(fresh.follower, 1n);
          expect(plain(comer.follower.view)).toEqual(plain(fresh.follower.view));
          returns += comer.returns;
          replacements += comer.replacements;
        } finally {
          await life[Symbol.asyncDispose]();
        }
      }),
      { numRuns: 60, endOnFailure: true },
    );
    expect(returns).toBeGreaterThan(30);
    expect(replacements).toBeGreaterThan(10);
  }, 60_000);

  it('is compared with what there is when it begins to be told, by one that was held until then', async () => {
    const store = new MemoryStore();
    const write = (puts: readonly Put[]) => store.commit({ compares: [], puts, deletes: [] }, never);
    const all = ENDPOINTS.flatMap((_, at) => (at % 3 === 0 ? [putEndpoint(endpoint(at, 0))] : []));
    await write([putHost(host(0, 1)), putNetwork(network(0, '')), ...all]);
    await using life = await Life.begin(store);
    const comer = new Comer(host(0, 1));
    comer.comeTo(life);
    await untilAt(comer.follower, 1n);
    const before = comer.follower.view;
    comer.lose(life);
    const held = new Follower(before);
    const session = life.fanout.open({
      ...{ id: randomUUID(), host: host(0, 1), stream: held, resume: resumeOf(before), held: true },
      onBroken: () => undefined,
    });
    const { revision } = await write([putEndpoint(endpoint(3, 0))]);
    await life.cache.atLeast(revision, never);
    session.begin();
    await untilAt(held, revision);
    expect(held.kinds).toEqual(['replacement']);
    expect(held.view.get(pick(NETWORKS, 0))?.endpoints.get(pick(ENDPOINTS, 3))?.revision).toBe(revision);
    expect(life.encoded).toEqual(['frame', 'change', 'replacement']);
    // From then on it is told changes, and everything where it falls behind: what it had is not compared again.
    const next = await write([putEndpoint(endpoint(6, 0))]);
    await untilAt(held, next.revision);
    expect(held.kinds).toEqual(['replacement', 'change']);
  });

  it('shares the bytes with all hosts that have the same', async () => {
    const store = new MemoryStore();
    const write = (puts: readonly Put[]) => store.commit({ compares: [], puts, deletes: [] }, never);
    const all = ENDPOINTS.flatMap((_, at) => (at % 3 === 0 ? [putEndpoint(endpoint(at, at / 3))] : []));
    await write([...HOSTS.map((_, at) => putHost(host(at, at + 1))), putNetwork(network(0, '')), ...all]);
    const before = await (async () => {
      await using life = await Life.begin(store);
      const comers = HOSTS.map((_, at) => new Comer(host(at, at + 1)));
      for (const comer of comers) comer.comeTo(life);
      for (const { follower } of comers) await untilAt(follower, 1n);
      return comers;
    })();
    const { revision } = await write([putEndpoint(endpoint(3, 1))]);
    await using life = await Life.begin(store);
    for (const comer of before) comer.comeTo(life);
    for (const { follower } of before) await untilAt(follower, revision);
    expect(life.encoded).toEqual(['replacement']);
    const [one, two, three] = before.map(({ follower: { messages, kinds } }) => messages[kinds.indexOf('replacement')]);
    expect(one).toBeDefined();
    expect([two === one, three === one]).toEqual([true, true]);
  });
});
