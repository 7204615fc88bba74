/**
 * Changes at a steady rate, whatever becomes of those before: each deletes an endpoint drawn uniformly and, once it is
 * gone, makes one in its place. What was committed when is heard from a watcher of etcd that is no part of Weft.
 */
import { newEndpointId, type EndpointId, type HostId, type NetworkId } from '../../core/ids.js';
import { pause } from '../../core/lifetime.js';
import { readObject } from '../../controller/cache/objects.js';
import { OBJECTS, parseObjectKey } from '../../controller/store/keys.js';
import type { Store, StoreEvent } from '../../controller/store/store.js';
import { monotonicMs } from '../../e2e/simulated/agent.js';
import type { Changer } from './changers.js';
import type { LoadedEndpoint } from './cluster.js';
import type { Committed, Step } from './convergence.js';

/** Changes under way at once; past that the rate is not kept, and the figures say so. */
const UNDERWAY = 2_000;

/** Milliseconds between two looks at how many changes are due. */
const TICK_MS = 5;

export interface ChurnOptions {
  readonly store: Store;
  readonly changer: Changer;
  readonly endpoints: readonly LoadedEndpoint[];
  readonly random: () => number;
}

export interface ChurnResult {
  /** Changes that were begun, and that the whole way was gone of. */
  readonly begun: number;
  readonly done: number;
  /** Changes that could not be made, and one of the reasons. */
  readonly failed: number;
  readonly problem: string | undefined;
  /** Since the first was begun until the last was. */
  readonly elapsedMs: number;
}

export class Churn implements AsyncDisposable {
  readonly #options: ChurnOptions;
  readonly #stop = new AbortController();
  readonly #known = new Map<EndpointId, LoadedEndpoint>();
  /** Of each network, how many endpoints each host has. */
  readonly #counts = new Map<NetworkId, Map<HostId, number>>();
  /** Endpoints that nobody is changing. */
  readonly #settled: LoadedEndpoint[];
  readonly #awaited = new Map<string, () => void>();
  readonly committed: Committed[] = [];
  #watching: Promise<void> = Promise.resolve();

  constructor(options: ChurnOptions) {
    this.#options = options;
    this.#settled = [...options.endpoints];
    for (const endpoint of options.endpoints) {
      this.#known.set(endpoint.id, endpoint);
      this.#count(endpoint, 1);
    }
  }

  /** The endpoints that there are now. */
  get endpoints(): readonly LoadedEndpoint[] {
    return [...this.#known.values()];
  }

  /** Begins to watch; returns when nothing can be missed any more. */
  async watch(): Promise<void> {
    const { store } = this.#options;
    const { revision } = await store.get(OBJECTS, this.#stop.signal);
    this.#watching = this.#follow(revision + 1n);
  }

  /** Changes for so long, then waits for what is under way, at most `patienceMs`. */
  async run(options: {
    readonly perSecond: number;
    readonly seconds: number;
    readonly patienceMs: number;
    readonly isDrawn?: (endpoint: LoadedEndpoint) => boolean;
  }): Promise<ChurnResult> {
    const { perSecond, seconds, patienceMs, isDrawn = () => true } = options;
    const pool = this.#settled.filter(isDrawn);
    const underway = new Set<Promise<void>>();
    let [begun, done, failed] = [0, 0, 0];
    let problem: string | undefined;
    const began = monotonicMs();
    const end = began + seconds * 1_000;
    for (let now = began; now < end; now = monotonicMs()) {
      const due = Math.floor(((now - began) * perSecond) / 1_000);
      while (begun < due && underway.size < UNDERWAY && pool.length > 0) {
        begun += 1;
        const change = this.#change(draw(pool, this.#options.random))
          .then(
            (made) => {
              done += 1;
              pool.push(made);
            },
            (error: unknown) => {
              failed += 1;
              problem = error instanceof Error ? error.message : String(error);
            },
          )
          .finally(() => underway.delete(change));
        underway.add(change);
      }
      await pause(TICK_MS, this.#stop.signal);
    }
    const elapsedMs = monotonicMs() - began;
    await Promise.race([Promise.all(underway), pause(patienceMs, this.#stop.signal)]);
    this.#settled.splice(0, this.#settled.length, ...this.#known.values());
    return { begun, done, failed, problem, elapsedMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #change(endpoint: LoadedEndpoint): Promise<LoadedEndpoint> {
    const { changer } = this.#options;
    const gone = this.#heard(endpoint.id, 'gone');
    await changer.remove(endpoint);
    await gone;
    const next: LoadedEndpoint = { ...endpoint, id: newEndpointId() };
    this.#known.set(next.id, next);
    const ready = this.#heard(next.id, 'ready');
    await changer.make(next);
    await ready;
    return next;
  }

  /** Resolves when the watcher has heard of it. */
  #heard(id: EndpointId, step: Step): Promise<void> {
    return new Promise((resolve) => this.#awaited.set(`${id} ${step}`, resolve));
  }

  async #follow(from: bigint): Promise<void> {
    const { store } = this.#options;
    const { signal } = this.#stop;
    for await (const { revision, events } of store.watch({ prefix: OBJECTS, from, signal })) {
      const atMs = monotonicMs();
      for (const event of events) this.#hear(event, Number(revision), atMs);
    }
  }

  #hear(event: StoreEvent, revision: number, atMs: number): void {
    const ref = parseObjectKey(event.kind === 'put' ? event.entry.key : event.key);
    const endpoint = ref?.kind === 'endpoint' ? this.#known.get(ref.id) : undefined;
    if (endpoint === undefined) return;
    const step = stepOf(event);
    if (step === undefined) return;
    const { id, network } = endpoint;
    if (step === 'pending') this.#count(endpoint, 1);
    const hosts = [...(this.#counts.get(network.id)?.keys() ?? [])];
    if (step === 'gone') {
      this.#count(endpoint, -1);
      this.#known.delete(id);
    }
    this.committed.push({ revision, atMs, kind: network.kind, step, hosts });
    this.#awaited.get(`${id} ${step}`)?.();
    this.#awaited.delete(`${id} ${step}`);
  }

  #count({ network, hostId }: LoadedEndpoint, by: number): void {
    const counts = this.#counts.get(network.id) ?? new Map<HostId, number>();
    this.#counts.set(network.id, counts);
    const count = (counts.get(hostId) ?? 0) + by;
    if (count > 0) counts.set(hostId, count);
    else counts.delete(hostId);
  }
}

function stepOf(event: StoreEvent): Step | undefined {
  if (event.kind === 'delete') return 'gone';
  const object = readObject(event.entry);
  return object?.kind === 'endpoint' ? object.value.state : undefined;
}

/** Takes one out of the pool. */
function draw(pool: LoadedEndpoint[], random: () => number): LoadedEndpoint {
  const at = Math.floor(random() * pool.length);
  const drawn = pool[at];
  const last = pool.pop();
  if (drawn === undefined || last === undefined) throw new RangeError('nothing to draw from');
  if (at < pool.length) pool[at] = last;
  return drawn;
}
