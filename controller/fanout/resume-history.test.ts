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
const ENDPOINTS = Array.from({ length: 40 }, newEndpointId);
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
  | { readonly kind: 'settle' };

const some = fc.uniqueArray(fc.nat(ENDPOINTS.length - 1), { minLength: 1, maxLength: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), endpoints: some, on: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('drop' as const), endpoints: some }) },
  fc.record({ kind: fc.constant('settings' as const), network: fc.nat(2), label: fc.constantFrom('a', 'b') }),
  fc.record({ kind: fc.constant('move' as const), host: fc.nat(2), vtep: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ kind: fc.constant('remove' as const), network: fc.nat(2) }),
  { weight: 3, arbitrary: fc.constant<Step>({ kind: 'lose' }) },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: 'restart' }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('return' as const), hears: fc.constantFrom(1, 2, 3, 4, 6, Infinity) }),
  },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: 'settle' }) },
);

/** What one life of a controller has in memory. */
class Life implements AsyncDisposable {
  readonly cache: Cache;
  readonly fanout: Fanout;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  private constructor(store: MemoryStore) {
    this.cache = new Cache({ store, log: SILENT });
    this.#running = this.cache.run(this.#stop.signal);
    this.fanout = new Fanout({
      ...{ cache: this.cache, clusterId: 'c', epoch: 'e' },
      observer: { encoded: () => undefined, sent: () => undefined },
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

  constructor(readonly host: Host) {}

  get isThere(): boolean {
    return this.#session !== undefined;
  }

  comeTo({ fanout }: Life, hears = Infinity): void {
    // A stream that was lost before its first InSync has told nothing that could be relied on.
    const before = this.follower.revision === 0n ? undefined : this.follower.view;
    const revision = this.follower.revision;
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
          ...ENDPOINTS.slice(0, 20).map((_, at) => putEndpoint(endpoint(at, at % 3))),
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
        } finally {
          await life[Symbol.asyncDispose]();
        }
      }),
      { numRuns: 60, endOnFailure: true },
    );
    expect(returns).toBeGreaterThan(30);
  }, 60_000);
});
