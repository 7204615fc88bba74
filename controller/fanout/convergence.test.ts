import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp } from '../../core/address.js';

import {
  newControllerId,
  newEndpointId,
  newHostId,
  newNetworkId,
  type ControllerId,
  type HostId,
} from '../../core/ids.js';
import { deferred, pause, unlessAborted, withDeadline, type Deferred } from '../../core/lifetime.js';
import { randomMac } from '../../core/mac.js';
import { PRESENT, type Endpoint, type Host } from '../../core/model.js';
import { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { Cache } from '../cache/cache.js';
import { putAlive, putController, putEndpoint, putHost, putNetwork } from '../cache/objects.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import type { Lease, Put, Store, WatchBatch, WatchOptions } from '../store/store.js';
import { SILENT } from '../testing.js';
import { Convergence } from './convergence.js';
import { Fanout } from './fanout.js';
import type { PeerAnswer } from './heard.js';
import type { PeerQuestion, Peers } from './peer-poll.js';
import type { Session } from './session.js';

const never = new AbortController().signal;

/** A controller without a server: what it knows may be held up, and others may be kept from asking it. */
class Controller implements AsyncDisposable {
  readonly id = newControllerId();
  readonly name: string;
  readonly cache: Cache;
  readonly fanout: Fanout;
  readonly convergence: Convergence;
  readonly streams = new Map<HostId, Session>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #held: Deferred<undefined> | undefined;
  #hung: Deferred<never> | undefined;
  asked = 0;

  constructor(name: string, store: MemoryStore, peers: Peers) {
    this.name = name;
    this.cache = new Cache({ store: this.#heldUp(store), log: SILENT });
    this.#running = this.cache.run(this.#stop.signal);
    this.fanout = new Fanout({
      ...{ cache: this.cache, clusterId: 'c', epoch: 'e' },
      observer: { encoded: () => undefined, sent: () => undefined },
    });
    this.convergence = new Convergence({ fanout: this.fanout, cache: this.cache, self: this.id, peers });
    // As the leases of hosts do.
    this.cache.subscribe(({ changes }) => {
      for (const { kind, after } of changes) {
        if (kind !== 'alive' || after === undefined) continue;
        const stream = this.streams.get(after.hostId);
        if (stream !== undefined && stream.id !== after.session) this.close(stream);
      }
    });
  }

  /** Aborts when it dies. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** What happens in the store is not heard of until `release`. */
  hold(): void {
    this.#held ??= deferred();
  }

  release(): void {
    this.#held?.resolve(undefined);
    this.#held = undefined;
  }

  /** Questions are not answered until `resume`. */
  hang(): void {
    this.#hung ??= deferred();
    this.#hung.promise.catch(() => undefined);
  }

  resume(): void {
    this.#hung?.reject(new Error('it hung'));
    this.#hung = undefined;
  }

  close(stream: Session): void {
    if (this.streams.get(stream.host.id) === stream) this.streams.delete(stream.host.id);
    this.fanout.close(stream);
  }

  async answer(question: PeerQuestion, signal: AbortSignal): Promise<PeerAnswer> {
    this.asked += 1;
    if (this.#hung !== undefined) await unlessAborted(this.#hung.promise, signal);
    const { revision, minRevision } = question;
    await this.cache.atLeast(revision > minRevision ? revision : minRevision, signal);
    return this.convergence.answer(question, signal);
  }

  /** Dies: nobody is told. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    this.convergence[Symbol.dispose]();
    this.fanout[Symbol.dispose]();
    this.release();
    this.#stop.abort();
    await this.#running;
  }

  #heldUp(store: MemoryStore): Store {
    const watch = (options: WatchOptions) => this.#delay(store.watch(options));
    return new Proxy<Store>(store, {
      get: (target, key) => {
        if (key === 'watch') return watch;
        const member: unknown = Reflect.get(target, key);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      },
    });
  }

  async *#delay(batches: AsyncIterable<WatchBatch>): AsyncGenerator<WatchBatch> {
    for await (const batch of batches) {
      await this.#held?.promise;
      yield batch;
    }
  }
}

/** A host, and what its kernel truly has. */
class Agent {
  readonly host: Host;
  readonly endpoint: Endpoint;
  /** The last revision it acknowledged, to whomever. */
  kernel = 0n;
  at: { readonly controller: Controller; readonly session: Session } | undefined;
  /** What it was told to be at and has not acknowledged yet. */
  told: bigint[] = [];
  /** Revisions from and until which the store did not have it alive. */
  readonly gone: { from: bigint; until: bigint | undefined }[] = [{ from: 0n, until: undefined }];

  constructor(number: number, networkId: Endpoint['networkId']) {
    const vtep = parseIp(`192.0.2.${String(number)}`);
    if (vtep === undefined) throw new Error('no address');
    this.host = {
      ...{ id: newHostId(), name: `h${String(number)}`, vtep, number, version: '', prefixes: [], declaredEpoch: '' },
      ...{ ...PRESENT, revision: 0n },
    };
    this.endpoint = {
      ...{ id: newEndpointId(), networkId, hostId: this.host.id, sandbox: 'a', name: 'a', aliases: [], addresses: [] },
      ...{ mac: randomMac(), labels: {}, state: 'ready', revision: 0n, requestId: '' },
      ...{ createRevision: 0n, createTimeMs: 0 },
    };
  }

  /** Acknowledges what it was told first, or all. */
  ack(all: boolean): void {
    const revision = all ? this.told.at(-1) : this.told[0];
    if (revision === undefined || this.at === undefined) return;
    this.told = this.told.filter((each) => each > revision);
    const { controller, session } = this.at;
    if (revision > this.kernel) this.kernel = revision;
    session.acknowledge(revision);
    controller.fanout.progressed();
  }
}

class World implements AsyncDisposable {
  readonly store = new MemoryStore();
  readonly controllers: Controller[] = [];
  readonly agents: Agent[];
  readonly #web = newNetworkId();
  #lease: Lease | undefined;
  /** Milliseconds that the last answer was on its way. */
  #lag = 1;
  /** The store's, and the last that concerned the hosts. */
  revision = 0n;
  changed = 0n;

  readonly peers: Peers = {
    ask: async (id: ControllerId, question, { signal, timeoutMs }) => {
      const there = this.controllers.find((each) => each.id === id);
      if (there === undefined) throw new Error('connection refused');
      const answer = await there.answer(question, withDeadline(timeoutMs, signal));
      // On its way, while other things happen.
      this.#lag = (this.#lag * 7 + 3) % 13;
      await pause(this.#lag, never);
      return answer;
    },
  };

  constructor(hosts: number) {
    this.agents = Array.from({ length: hosts }, (_, index) => new Agent(index + 1, this.#web));
  }

  static async of(hosts: number, controllers: number): Promise<World> {
    const world = new World(hosts);
    world.#lease = await world.store.grantLease({ ttlMs: 600_000 }, never);
    const web = {
      ...{ id: world.#web, name: 'web', driver: 'overlay' as const, vni: 1, subnets: [], internal: false },
      ...{ mtu: undefined, labels: {}, options: {}, revision: 0n, requestId: '', createTimeMs: 0 },
    };
    const each = world.agents.flatMap(({ host, endpoint }) => [putHost(host), putEndpoint(endpoint)]);
    world.changed = await world.commit([putNetwork(web), ...each]);
    for (let at = 1; at <= controllers; at += 1) await world.start(`c${String(at)}`);
    return world;
  }

  async start(name: string): Promise<Controller> {
    const controller = new Controller(name, this.store, this.peers);
    this.controllers.push(controller);
    const { id } = controller;
    const put = putController({ id, name, address: '192.0.2.1:7070', version: '', startTimeMs: 0 }, this.lease);
    await this.commit([put]);
    await controller.cache.listed;
    return controller;
  }

  /** kill -9. */
  async kill(controller: Controller): Promise<void> {
    this.controllers.splice(this.controllers.indexOf(controller), 1);
    for (const agent of this.agents) if (agent.at?.controller === controller) agent.at = undefined;
    await controller[Symbol.asyncDispose]();
    await this.commit([], [objectKey.controller(controller.id)]);
  }

  get lease(): Lease {
    if (this.#lease === undefined) throw new Error('no lease');
    return this.#lease;
  }

  async commit(puts: readonly Put[], deletes: readonly string[] = []): Promise<bigint> {
    const { revision } = await this.store.commit({ compares: [], puts, deletes }, never);
    this.revision = revision;
    return revision;
  }

  /** A change that concerns every host. */
  async write(agent: Agent): Promise<bigint> {
    this.changed = await this.commit([putEndpoint({ ...agent.endpoint, labels: { at: randomUUID() } })]);
    return this.changed;
  }

  /** Opens a stream, as the service does: first the store has to have it. `cleanly`: the one before is seen to end. */
  async connect(agent: Agent, controller: Controller, cleanly: boolean): Promise<void> {
    const before = agent.at;
    agent.at = undefined;
    agent.told = [];
    if (cleanly && before !== undefined) before.controller.close(before.session);
    const id = randomUUID();
    const { host } = agent;
    const revision = await this.commit([
      putAlive({ hostId: host.id, session: id, controllerId: controller.id }, this.lease),
    ]);
    const gone = agent.gone.at(-1);
    if (gone !== undefined) gone.until ??= revision;
    const isThere = await controller.cache.atLeast(revision, withDeadline(200, never)).then(
      () => controller.cache.view.alive.get(host.id)?.session === id && !controller.fanout.closed,
      () => false,
    );
    if (!isThere) return;
    const session = controller.fanout.open({
      ...{ id, host, onBroken: () => undefined },
      stream: {
        write: (bytes) => {
          const { message } = SyncResponse.decode(bytes);
          if (message?.$case === 'inSync' && agent.at?.session.id === id) agent.told.push(message.value.revision);
          return true;
        },
        drained: () => Promise.resolve(),
        end: () => undefined,
      },
    });
    agent.at = { controller, session };
    controller.streams.set(host.id, session);
  }

  /** The host falls silent, and its lease runs out. */
  async die(agent: Agent): Promise<void> {
    const { at } = agent;
    agent.at = undefined;
    agent.told = [];
    if (at !== undefined) at.controller.close(at.session);
    const revision = await this.commit([], [objectKey.alive(agent.host.id)]);
    if (agent.gone.at(-1)?.until !== undefined) agent.gone.push({ from: revision, until: undefined });
  }

  isAlive(agent: Agent): boolean {
    return agent.gone.at(-1)?.until !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const controller of this.controllers.splice(0)) await controller[Symbol.asyncDispose]();
  }
}

/** Everybody connected, and with everything there is. */
async function settled(world: World): Promise<void> {
  for (const [index, agent] of world.agents.entries()) {
    const controller = world.controllers[index % world.controllers.length];
    if (controller !== undefined) await world.connect(agent, controller, true);
  }
  await acked(world, ...world.agents);
}

/** These acknowledge until they have everything there is. */
async function acked(world: World, ...agents: readonly Agent[]): Promise<void> {
  const deadline = AbortSignal.timeout(5_000);
  while (agents.some(({ kernel }) => kernel < world.changed) && (await pause(2, deadline))) {
    for (const agent of agents) agent.ack(true);
  }
}

const nth = <T>(items: readonly T[], index: number): T => {
  const item = items[index];
  if (item === undefined) throw new RangeError(`there is no item ${String(index)}`);
  return item;
};

const wrong = (error: unknown): unknown => error;

describe('a wait', () => {
  it('asks every other controller once, however many hosts it has', async () => {
    await using world = await World.of(30, 3);
    await settled(world);
    const revision = await world.write(nth(world.agents, 0));
    const [c1, c2, c3] = world.controllers.map((each) => each);
    await c1?.cache.atLeast(revision, never);
    const before = [c2?.asked, c3?.asked];
    const waits = Array.from({ length: 10 }, () => c1?.convergence.wait(revision, withDeadline(5_000, never)));
    await turn();
    await acked(world, ...world.agents);
    for (const wait of waits) expect(await wait).toEqual([]);
    expect(before).toEqual([0, 0]);
    // A second one where it took the hosts longer than the first one waits.
    for (const each of [c2, c3]) expect(each?.asked).toBeLessThanOrEqual(2);
  });

  it('names at the deadline who is late at another controller, and why', async () => {
    await using world = await World.of(4, 2);
    await settled(world);
    const [c1] = world.controllers;
    const [h1, h2, h3, h4] = world.agents;
    if (c1 === undefined || h1 === undefined || h2 === undefined || h3 === undefined || h4 === undefined) return;
    const revision = await world.write(h1);
    await c1.cache.atLeast(revision, never);
    await acked(world, h1, h3);
    h2.at?.session.refuse([{ object: 'h2 network web', message: 'no such device' }]);
    const error = await c1.convergence.wait(revision, withDeadline(400, never)).catch(wrong);
    expect(error).toMatchObject({ reason: 'NOT_CONVERGED', metadata: { laggards: 'h2,h4' } });
    expect(String(error)).toMatch(/: host h2 is at \d+ \(h2 network web: no such device\); host h4 is at \d+$/);
  });

  it('names a controller that does not answer, and its hosts; and goes on when it does', async () => {
    await using world = await World.of(4, 2);
    await settled(world);
    const [c1, c2] = world.controllers;
    if (c1 === undefined || c2 === undefined) return;
    c2.hang();
    const revision = await world.write(nth(world.agents, 0));
    await c1.cache.atLeast(revision, never);
    await acked(world, ...world.agents);
    const error = await c1.convergence.wait(revision, withDeadline(300, never)).catch(wrong);
    expect(String(error)).toMatch(/: not heard from controller c2, which has hosts h2, h4$/);
    const waiting = c1.convergence.wait(revision, withDeadline(5_000, never));
    await turn();
    c2.resume();
    expect(await waiting).toEqual([]);
  });

  it('is not over while a host is between two controllers, nor before its new stream has acknowledged', async () => {
    await using world = await World.of(2, 2);
    await settled(world);
    const [c1, c2] = world.controllers;
    const [h1, h2] = world.agents;
    if (c1 === undefined || c2 === undefined || h1 === undefined || h2 === undefined) return;
    const revision = await world.write(h1);
    await acked(world, h1);
    await c1.cache.atLeast(revision, never);
    // Its stream ends; by the store it is alive at c2 still.
    c2.close(nth([...c2.streams.values()], 0));
    let done = false;
    const waiting = c1.convergence.wait(revision, withDeadline(5_000, never)).finally(() => (done = true));
    await pause(50, never);
    expect(done).toBe(false);
    await world.connect(h2, c1, true);
    await pause(50, never);
    expect([done, h2.told.length]).toEqual([false, 1]);
    await acked(world, h2);
    expect(await waiting).toEqual([]);
  });

  it('does not wait for a host whose lease has run out, nor for one that is fenced, and names them', async () => {
    await using world = await World.of(4, 2);
    await settled(world);
    const [c1] = world.controllers;
    const [h1, h2, h3, h4] = world.agents;
    if (c1 === undefined || h1 === undefined || h2 === undefined || h3 === undefined || h4 === undefined) return;
    await world.die(h2);
    await world.commit([putHost({ ...h3.host, absence: 'fenced', incarnation: 2 })]);
    const revision = await world.write(h1);
    await c1.cache.atLeast(revision, never);
    const waiting = c1.convergence.wait(revision, withDeadline(5_000, never));
    await acked(world, h1, h4);
    expect((await waiting).map(({ name }) => name)).toEqual(['h2', 'h3']);
  });

  it('for an early revision is not held up by one for a later', async () => {
    await using world = await World.of(2, 2);
    await settled(world);
    const [c1] = world.controllers;
    const [h1, h2] = world.agents;
    if (c1 === undefined || h1 === undefined || h2 === undefined) return;
    const early = await world.write(h1);
    await pause(10, never);
    const late = await world.write(h1);
    await c1.cache.atLeast(late, never);
    await acked(world, h1);
    const waitingLate = c1.convergence.wait(late, withDeadline(5_000, never));
    await pause(20, never);
    const waitingEarly = c1.convergence.wait(early, withDeadline(5_000, never));
    await pause(20, never);
    expect(h2.told).toEqual([early, late]);
    h2.ack(false);
    expect(await waitingEarly).toEqual([]);
    h2.ack(false);
    expect(await waitingLate).toEqual([]);
  });

  it('ends with a refusal when its controller does', async () => {
    await using world = await World.of(2, 2);
    await settled(world);
    const [c1] = world.controllers;
    if (c1 === undefined) return;
    const revision = await world.write(nth(world.agents, 0));
    await c1.cache.atLeast(revision, never);
    const waiting = c1.convergence.wait(revision, withDeadline(5_000, never)).catch(wrong);
    c1.fanout[Symbol.dispose]();
    expect(await waiting).toMatchObject({ reason: 'CONTROLLER_UNAVAILABLE' });
    c1.convergence[Symbol.dispose]();
    expect(await c1.convergence.wait(revision, never).catch(wrong)).toMatchObject({ reason: 'CONTROLLER_UNAVAILABLE' });
  });
});

describe('a survey', () => {
  it('tells of every host what is known of it, and which controllers do not answer', async () => {
    await using world = await World.of(4, 3);
    await settled(world);
    const [c1, c2, c3] = world.controllers;
    const [h1, h2, h3, h4] = world.agents;
    if (c1 === undefined || c2 === undefined || c3 === undefined) return;
    if (h1 === undefined || h2 === undefined || h3 === undefined || h4 === undefined) return;
    const before = h2.kernel;
    const revision = await world.write(h1);
    await acked(world, h1);
    await world.die(h4);
    await c1.cache.atLeast(world.revision, never);
    c3.hang();
    const limits = { signal: never, timeoutMs: 200 };
    const survey = await c1.convergence.survey(
      [h1, h2, h3, h4].map(({ host }) => host),
      limits,
    );
    expect(survey.standingOf(h1.host)).toMatchObject({ convergedRevision: world.revision, ackedRevision: revision });
    expect(survey.standingOf(h2.host)).toMatchObject({ convergedRevision: revision - 1n, ackedRevision: before });
    expect(survey.standingOf(h3.host)).toEqual({ controllerId: c3.id });
    expect(survey.standingOf(h4.host)).toBe('gone');
    expect([...survey.silences.keys()]).toEqual([c3.id]);
  });
});

type Op = readonly [kind: number, which: number, where: number];

/** Whatever happens in whatever order: see what each wait claims. */
async function play(ops: readonly Op[]): Promise<void> {
  await using world = await World.of(5, 3);
  await settled(world);
  const claims: Promise<void>[] = [];
  const wait = (controller: Controller): void => {
    const { revision, changed } = world;
    const claim = controller.cache
      .atLeast(revision, withDeadline(20_000, controller.stopped))
      .then(() => controller.convergence.wait(revision, withDeadline(20_000, controller.stopped)))
      .then(
        (unreachable) => {
          const named = new Set(unreachable.map(({ id }) => id));
          for (const { host, kernel, gone } of world.agents) {
            if (!named.has(host.id)) expect([host.name, kernel >= changed]).toEqual([host.name, true]);
            // Who is named was truly gone, at the revision or later.
            else expect(gone.some(({ until }) => until === undefined || until > revision)).toBe(true);
          }
        },
        (error: unknown) => {
          // The controller was killed.
          if (!(error instanceof Error) || world.controllers.includes(controller)) throw error;
        },
      );
    claim.catch(() => undefined);
    claims.push(claim);
  };
  for (const [kind, which, where] of ops) {
    const agent = nth(world.agents, which % world.agents.length);
    const controller = nth(world.controllers, where % world.controllers.length);
    if (kind < 3) await world.write(agent);
    if (kind < 5) wait(controller);
    else if (kind < 10) agent.ack(kind < 7);
    else if (kind < 12) await world.connect(agent, controller, kind === 11);
    else if (kind === 12) await world.die(agent);
    else if (kind === 13) controller.hang();
    else if (kind === 14) controller.resume();
    else if (kind === 15) controller.hold();
    else if (kind === 16) controller.release();
    else if (kind === 17 && world.controllers.length > 1) await world.kill(controller);
    else if (kind === 18) await world.start('another');
    else for (let turns = 0; turns < where; turns += 1) await turn();
  }
  // Faults end, and hosts that are alive find a controller: then every wait must come to its end.
  for (const each of world.controllers) {
    each.release();
    each.resume();
  }
  for (const agent of world.agents) {
    const { at } = agent;
    const isServed = at !== undefined && at.controller.streams.get(agent.host.id) === at.session;
    if (world.isAlive(agent) && !isServed) await world.connect(agent, nth(world.controllers, 0), true);
  }
  const over = new AbortController();
  const all = Promise.all(claims).finally(() => {
    over.abort();
  });
  all.catch(() => undefined);
  const deadline = withDeadline(15_000, over.signal);
  while (await pause(2, deadline)) for (const agent of world.agents) agent.ack(true);
  await all;
}

describe('waits, whatever happens', () => {
  it('never return before every living host has it, and do return', async () => {
    const op = fc.tuple(fc.integer({ min: 0, max: 22 }), fc.nat(4), fc.nat(7));
    await fc.assert(fc.asyncProperty(fc.array(op, { minLength: 10, maxLength: 60 }), play), {
      numRuns: 60,
      interruptAfterTimeLimit: 20_000,
      endOnFailure: true,
    });
  }, 90_000);
});
