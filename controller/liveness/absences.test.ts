import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { parseIp } from '../../core/address.js';
import {
  newControllerId,
  newEndpointId,
  newHostId,
  newNetworkId,
  type EndpointId,
  type HostId,
} from '../../core/ids.js';
import { anySignal, pause } from '../../core/lifetime.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint, Network } from '../../core/model.js';
import { putEndpoint, putNetwork } from '../cache/objects.js';
import type { Context, Decision } from '../domain/decision.js';
import { createEndpoint } from '../domain/endpoint.js';
import { readmitHost } from '../domain/host-absence.js';
import { comeAlive } from '../domain/host-liveness.js';
import { registerHost } from '../domain/host.js';
import { campaign, type Leadership } from '../store/election.js';
import { LEADER, guardKey, objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import type { Lease } from '../store/store.js';
import { SILENT, openBrain, type Brain } from '../testing.js';
import { Absences } from './absences.js';

const NEVER = new AbortController().signal;
const GRACE_MS = 30;
const until = (look: () => void | Promise<void>) => vi.waitFor(look, { timeout: 4_000, interval: 2 });

/** What hosts and a leader do, on a store in memory. */
class Cluster implements AsyncDisposable {
  readonly networkId = newNetworkId();
  readonly hosts = new Map<HostId, Lease>();
  /** Up to where each host that is there has what concerned it. */
  readonly acked = new Map<HostId, bigint>();
  readonly problems: string[] = [];
  /** Since when each is there, or was when it was there last, whatever streams it had. */
  readonly #since = new Map<HostId | undefined, bigint>();
  #leader:
    { readonly leadership: Leadership; readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  #waiting = new Set<() => void>();
  readonly #controllerId = newControllerId();
  readonly #watching: Disposable;

  private constructor(
    readonly store: MemoryStore,
    readonly brain: Brain,
  ) {
    this.#watching = brain.cache.subscribe(({ changes, revision }) => {
      for (const change of changes) {
        if (change.kind === 'endpoint' && change.after === undefined) this.#judgeCollected(change.before);
        if (change.kind === 'alive' && change.before === undefined) this.#since.set(change.after?.hostId, revision);
        if (change.kind !== 'host' || change.after?.absence !== 'fenced' || change.before?.absence === 'fenced')
          continue;
        const { view } = this.brain.cache;
        const { id, incarnation } = change.after;
        if (view.alive.has(id)) this.problems.push(`revision ${String(revision)}: fenced while alive`);
        if (view.graces.has(id)) this.problems.push(`revision ${String(revision)}: fenced while it had time`);
        if (incarnation !== (change.before?.incarnation ?? 0) + 1) this.problems.push('fenced in the same life');
      }
    });
  }

  static async open(): Promise<Cluster> {
    const store = new MemoryStore();
    const cluster = new Cluster(store, await openBrain(store));
    const network: Network = {
      ...{ id: cluster.networkId, name: 'web', driver: 'overlay', vni: 4096, internal: false, mtu: undefined },
      ...{ subnets: [], labels: {}, options: {}, revision: 0n, requestId: '', createTimeMs: 0 },
    };
    await store.commit({ compares: [], puts: [putNetwork(network)], deletes: [] }, NEVER);
    return cluster;
  }

  get view() {
    return this.brain.cache.view;
  }

  async newHost(): Promise<HostId> {
    const id = newHostId();
    const number = this.hosts.size + 1;
    const vtep = parseIp(`192.0.2.${String(number)}`);
    if (vtep === undefined) throw new RangeError('no address');
    await this.#run((context) => registerHost(context, { id, name: `h${String(number)}`, vtep, version: '' }));
    await this.comes(id);
    return id;
  }

  async newEndpoint(hostId: HostId, sandbox = newEndpointId() as string): Promise<EndpointId> {
    const id = newEndpointId();
    const endpoint: Endpoint = {
      ...{
        id,
        networkId: this.networkId,
        hostId,
        sandbox,
        name: sandbox,
        aliases: [],
        addresses: [],
        mac: randomMac(),
      },
      ...{ labels: {}, state: 'ready', revision: 0n, requestId: '', createRevision: 0n, createTimeMs: 0 },
    };
    const guards = [
      guardKey.endpoint(id),
      guardKey.sandbox(hostId, sandbox),
      guardKey.mac(this.networkId, endpoint.mac),
    ];
    const puts = [putEndpoint(endpoint), ...guards.map((key) => ({ key, value: Buffer.from(id) }))];
    const { revision } = await this.store.commit({ compares: [], puts, deletes: [] }, NEVER);
    await this.brain.cache.atLeast(revision, NEVER);
    return id;
  }

  /** Its stream begins: as a controller does it. */
  async comes(hostId: HostId): Promise<void> {
    const lease = await this.store.grantLease({ ttlMs: 60_000 }, NEVER);
    const command = {
      hostId,
      session: newEndpointId() as string,
      controllerId: this.#controllerId,
      lease,
      again: false,
    };
    const became = await this.#run((context) => comeAlive(context, command));
    if (became === 'fenced') {
      // Held until nothing is left.
      if (this.view.endpointsOn(hostId).size > 0) return;
      await this.#run((context) => readmitHost(context, command)).catch(() => undefined);
    }
    if (this.view.alive.get(hostId)?.session !== command.session) return;
    await this.hosts.get(hostId)?.[Symbol.asyncDispose]();
    this.hosts.set(hostId, lease);
    this.ack(hostId);
  }

  /** Its lease ends. */
  async goes(hostId: HostId): Promise<void> {
    await this.hosts.get(hostId)?.[Symbol.asyncDispose]();
    await until(() => {
      expect(this.view.alive.has(hostId)).toBe(false);
    });
  }

  /** It has everything in its kernel. */
  ack(hostId: HostId): void {
    this.acked.set(hostId, this.view.revision);
    for (const look of this.#waiting) look();
  }

  async lead(): Promise<void> {
    const stop = new AbortController();
    const lease = await this.store.grantLease({ ttlMs: 60_000 }, NEVER);
    const leadership = await campaign({ store: this.store, name: LEADER, value: new Uint8Array(), lease }, NEVER);
    const absences = new Absences({
      ...{ cache: this.brain.cache, committer: this.brain.committer, graceMs: GRACE_MS, log: SILENT },
      ...{ fence: () => leadership.fence(), isAwaited: () => false },
      untilConverged: (revision, signal) => this.#converged(revision, signal),
    });
    this.#leader = { leadership, stop, done: absences.run(anySignal(stop.signal, leadership.lost)) };
  }

  /** The leader dies; what it has under way may still arrive. */
  async depose(): Promise<void> {
    const leader = this.#leader;
    this.#leader = undefined;
    await leader?.leadership[Symbol.asyncDispose]();
    leader?.stop.abort();
    await leader?.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.depose();
    this.#watching[Symbol.dispose]();
    await this.brain[Symbol.asyncDispose]();
  }

  #isConverged(revision: bigint): boolean {
    return [...this.view.alive.keys()].every((host) => (this.acked.get(host) ?? 0n) >= revision);
  }

  #converged(revision: bigint, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.#isConverged(revision)) finish(resolve);
      };
      const finish = (then: () => void): void => {
        this.#waiting.delete(look);
        subscription[Symbol.dispose]();
        then();
      };
      const subscription = this.brain.cache.subscribe(look);
      this.#waiting.add(look);
      signal.addEventListener('abort', () => finish(() => reject(new Error('given up'))), { once: true });
      look();
    });
  }

  /** No address is free before everybody who is there has stopped to listen to who held it. */
  #judgeCollected(endpoint: Endpoint | undefined): void {
    const host = endpoint === undefined ? undefined : this.view.hosts.get(endpoint.hostId);
    if (host === undefined) return;
    if (host.absence !== 'fenced') this.problems.push(`collected from a host that is ${host.absence}`);
    if (this.view.alive.has(host.id)) this.problems.push('collected from a host that is alive');
    // Who was not there when the fence came is told all anew, and was waited for by nobody.
    const witnesses = [...this.view.alive.keys()].filter((id) => (this.#since.get(id) ?? 0n) < host.revision);
    if (witnesses.some((id) => (this.acked.get(id) ?? 0n) < host.revision))
      this.problems.push('collected before the fence was acknowledged');
  }

  async #run<Result>(rule: (context: Context) => Decision<Result>): Promise<Result> {
    return (await this.brain.committer.run(rule, { requestId: 'test', signal: NEVER })).result;
  }
}

describe('a host that is gone', () => {
  it('is missed, fenced after its grace, and collected when all others have acknowledged that; then readmitted', async () => {
    await using cluster = await Cluster.open();
    const [gone, other] = [await cluster.newHost(), await cluster.newHost()];
    const endpoint = await cluster.newEndpoint(gone);
    await cluster.newEndpoint(other);
    await cluster.lead();
    await cluster.goes(gone);
    await until(() => {
      expect(cluster.view.hosts.get(gone)).toMatchObject({ absence: 'fenced', incarnation: 2 });
    });
    await pause(50, NEVER);
    expect(cluster.view.endpoints.has(endpoint)).toBe(true);
    await cluster.comes(gone);
    expect(cluster.view.alive.has(gone)).toBe(false);
    cluster.ack(other);
    await until(() => {
      expect(cluster.view.endpoints.has(endpoint)).toBe(false);
    });
    expect((await cluster.store.list(guardKey.endpoint(endpoint), NEVER)).entries).toEqual([]);
    await cluster.comes(gone);
    expect(cluster.view.hosts.get(gone)).toMatchObject({ absence: 'none', incarnation: 2 });
    expect(cluster.view.alive.has(gone)).toBe(true);
    expect(cluster.problems).toEqual([]);
  });

  it('that is back before the fence has all that it had', async () => {
    await using cluster = await Cluster.open();
    const gone = await cluster.newHost();
    const endpoint = await cluster.newEndpoint(gone);
    await cluster.lead();
    await cluster.goes(gone);
    await until(() => {
      expect(cluster.view.hosts.get(gone)?.absence).toBe('lost');
    });
    await cluster.comes(gone);
    await pause(3 * GRACE_MS, NEVER);
    expect(cluster.view.hosts.get(gone)).toMatchObject({ absence: 'none', incarnation: 1 });
    expect(cluster.view.graces.has(gone)).toBe(false);
    expect(cluster.view.endpoints.has(endpoint)).toBe(true);
  });

  it('is left alone by a leader that was deposed', async () => {
    await using cluster = await Cluster.open();
    const gone = await cluster.newHost();
    await cluster.goes(gone);
    const lease = await cluster.store.grantLease({ ttlMs: 60_000 }, NEVER);
    const leadership = await campaign({ store: cluster.store, name: LEADER, value: new Uint8Array(), lease }, NEVER);
    const fence = leadership.fence();
    await leadership[Symbol.asyncDispose]();
    const absences = new Absences({
      ...{ cache: cluster.brain.cache, committer: cluster.brain.committer, graceMs: GRACE_MS, log: SILENT },
      ...{ fence: () => fence, isAwaited: () => false, untilConverged: async () => undefined },
    });
    const stop = new AbortController();
    const running = absences.run(stop.signal);
    await pause(200, NEVER);
    stop.abort();
    await running;
    expect(cluster.view.hosts.get(gone)?.absence).toBe('none');
    expect((await cluster.store.get(objectKey.grace(gone), NEVER)).entry).toBeUndefined();
  });

  type Step = { readonly kind: 'goes' | 'comes' | 'acks' | 'makes' | 'deposed' | 'waits'; readonly host: number };
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('goes', 'comes', 'acks', 'makes', 'deposed', 'waits'),
    host: fc.nat({ max: 2 }),
  });

  it(
    'leaves no address free before its fence was acknowledged, whatever happens when',
    { timeout: 60_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
          await using cluster = await Cluster.open();
          const hosts = [await cluster.newHost(), await cluster.newHost(), await cluster.newHost()];
          for (const host of hosts) await cluster.newEndpoint(host);
          await cluster.lead();
          for (const { kind, host } of steps) {
            const id = hosts[host];
            if (id === undefined) throw new RangeError('no host');
            if (kind === 'goes') await cluster.goes(id);
            if (kind === 'comes') await cluster.comes(id);
            if (kind === 'acks') cluster.ack(id);
            if (kind === 'makes' && cluster.view.hosts.get(id)?.absence !== 'fenced') await cluster.newEndpoint(id);
            if (kind === 'waits') await pause(GRACE_MS, NEVER);
            if (kind === 'deposed') {
              await cluster.depose();
              await cluster.lead();
            }
          }
          // In the end everybody comes, and has what it had or nothing.
          await until(async () => {
            for (const host of hosts) {
              await cluster.comes(host);
              cluster.ack(host);
            }
            for (const host of hosts) {
              expect(cluster.view.hosts.get(host)?.absence).toBe('none');
              expect(cluster.view.alive.has(host)).toBe(true);
            }
          });
          expect(cluster.problems).toEqual([]);
          const guards = (await cluster.store.list(guardKey.endpoint('x' as EndpointId).slice(0, -1), NEVER)).entries;
          expect(guards).toHaveLength(cluster.view.endpoints.size);
        }),
        { numRuns: 25 },
      );
    },
  );
});

// A wish for a host that is shut out would be shown to nobody.
describe('a host that is fenced', () => {
  it('takes no new endpoints', async () => {
    await using cluster = await Cluster.open();
    const gone = await cluster.newHost();
    await cluster.lead();
    await cluster.goes(gone);
    await until(() => {
      expect(cluster.view.hosts.get(gone)?.absence).toBe('fenced');
    });
    const wish = { id: newEndpointId(), networkId: cluster.networkId, hostId: gone, sandbox: 'a', aliases: [] };
    const made = cluster.brain.committer.run(
      (context) => createEndpoint(context, { ...wish, addresses: [], mac: undefined, labels: {} }),
      { requestId: 'test', signal: NEVER },
    );
    await expect(made).rejects.toMatchObject({ reason: 'HOST_FENCED' });
  });
});
