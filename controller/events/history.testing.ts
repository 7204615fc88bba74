/** For tests: random changes to a cluster's objects, and what a client should be told of each. */
import type { Random } from './random.testing.js';
import { parseIp } from '../../core/address.js';
import {
  newControllerId,
  newEndpointId,
  newHostId,
  newNetworkId,
  type EndpointId,
  type HostId,
} from '../../core/ids.js';
import { parseMac } from '../../core/mac.js';
import { PRESENT, type Endpoint, type Host, type Labels, type Network } from '../../core/model.js';
import { StoredAlive } from '../../proto/gen/weft/v1/stored.js';
import { EventType, WatchResponse, type Event } from '../../proto/gen/weft/v1/watch.js';
import { putEndpoint, putHost, putNetwork } from '../cache/objects.js';
import { objectKey } from '../store/keys.js';
import type { Put, Store } from '../store/store.js';

const never = new AbortController().signal;

/** An event in a line: `45 updated endpoint <id> ready`. */
function lineOf({ revision, type, object }: Event): string {
  const word = EventType[type].slice('EVENT_TYPE_'.length).toLowerCase();
  const about = object?.$case ?? 'nothing';
  const state = object?.$case === 'network' ? object.value.requestId : String(object?.value.state);
  const told = object?.$case === 'endpoint' ? `${object.value.requestId} ${state}` : state;
  return `${String(revision)} ${word} ${about} ${object?.value.id ?? ''} ${told}`;
}

/** What was told, and how far: a client that keeps to the protocol. */
export class Client {
  readonly lines: string[] = [];
  #pending: string[] = [];
  bookmark: bigint | undefined;

  /** Throws where the order is not what was promised. */
  take(bytes: Uint8Array | WatchResponse): void {
    const { events, bookmark } = bytes instanceof Uint8Array ? WatchResponse.decode(bytes) : bytes;
    for (const event of events) {
      if (event.revision <= (this.bookmark ?? -1n)) throw new Error(`told after its bookmark: ${lineOf(event)}`);
      this.#pending.push(lineOf(event));
    }
    if (bookmark === 0n) return;
    if (this.bookmark !== undefined && bookmark < this.bookmark) throw new Error('a bookmark goes back');
    this.bookmark = bookmark;
    this.lines.push(...this.#pending.splice(0));
  }

  /** Its connection broke: what has no bookmark yet was never told. */
  broken(): void {
    this.#pending = [];
  }
}

/** Lines as they may stand in any order within a revision. */
export function sorted(lines: readonly string[]): string[] {
  return [...lines].sort((a, b) => {
    const [x, y] = [BigInt(a.split(' ', 1)[0] ?? ''), BigInt(b.split(' ', 1)[0] ?? '')];
    return x === y ? (a < b ? -1 : 1) : x < y ? -1 : 1;
  });
}

/** Writes one random change after the other into a store, and keeps what a client should be told of them. */
export class Writer {
  /** In the order of revisions; within one, in any. */
  readonly lines: string[] = [];
  readonly networks = new Map<string, Network>();
  readonly endpoints = new Map<EndpointId, Endpoint>();
  readonly hosts = new Map<HostId, Host>();
  readonly alive = new Set<HostId>();
  #count = 0;
  #labels: Labels = {};

  constructor(
    readonly store: Store,
    readonly random: Random,
  ) {}

  /** Commits one change of up to eight objects, the networks of which have these labels; its revision. */
  async write(labels: Labels = {}): Promise<bigint> {
    this.#labels = labels;
    const { random } = this;
    const puts = new Map<string, Put>();
    const deletes = new Set<string>();
    /** By key: the line without its revision. */
    const told = new Map<string, string>();
    const touched = new Set<string>();
    for (let left = 1 + random.below(8); left > 0; left -= 1) {
      const kind = random.below(10);
      if (kind < 2) this.#network({ puts, deletes, told, touched });
      else if (kind < 6) this.#endpoint({ puts, deletes, told, touched });
      else if (kind < 8) this.#host({ puts, deletes, told, touched });
      else if (kind < 9) this.#alive({ puts, deletes, told, touched });
      else {
        const key = objectKey.resting(newNetworkId(), '10.1.0.9');
        puts.set(key, { key, value: Buffer.from('x') });
      }
    }
    if (puts.size + deletes.size === 0) return this.write(labels);
    const before = { hosts: new Map(this.#before.hosts), alive: new Set(this.#before.alive) };
    const result = await this.store.commit({ compares: [], puts: [...puts.values()], deletes: [...deletes] }, never);
    for (const text of told.values()) this.lines.push(`${String(result.revision)} ${text}`);
    for (const id of new Set([...before.hosts.keys(), ...this.hosts.keys()])) {
      const text = this.#hostLine(id, before);
      if (text !== undefined) this.lines.push(`${String(result.revision)} ${text}`);
    }
    this.#before = { hosts: new Map(this.hosts), alive: new Set(this.alive) };
    return result.revision;
  }

  #before: { readonly hosts: ReadonlyMap<HostId, Host>; readonly alive: ReadonlySet<HostId> } = {
    hosts: new Map(),
    alive: new Set(),
  };

  #hostLine(id: HostId, before: { hosts: ReadonlyMap<HostId, Host>; alive: ReadonlySet<HostId> }): string | undefined {
    const was = before.hosts.get(id);
    const is = this.hosts.get(id);
    const [wasAlive, isAlive] = [before.alive.has(id), this.alive.has(id)];
    if (was === is && wasAlive === isAlive) return undefined;
    if (was === undefined) return `created host ${id} ${isAlive ? '1' : '2'}`;
    if (is === undefined) return `deleted host ${id} ${wasAlive ? '1' : '2'}`;
    return `updated host ${id} ${isAlive ? '1' : '2'}`;
  }

  #network({ puts, deletes, told, touched }: Change): void {
    const id = this.#pick([...this.networks.keys()]) ?? newNetworkId();
    const key = objectKey.network(id as Network['id']);
    if (touched.has(key)) return;
    touched.add(key);
    const was = this.networks.get(id);
    if (was !== undefined && this.random.below(3) === 0) {
      this.networks.delete(id);
      deletes.add(key);
      told.set(key, `deleted network ${id} ${was.requestId}`);
      return;
    }
    const network = this.#aNetwork(id as Network['id']);
    this.networks.set(id, network);
    puts.set(key, putNetwork(network));
    told.set(key, `${was === undefined ? 'created' : 'updated'} network ${id} ${network.requestId}`);
  }

  #endpoint({ puts, deletes, told, touched }: Change): void {
    const id = this.#pick([...this.endpoints.keys()]) ?? newEndpointId();
    const was = this.endpoints.get(id);
    const networkId = was?.networkId ?? NETWORKS[this.random.below(NETWORKS.length)] ?? newNetworkId();
    const key = objectKey.endpoint(networkId, id);
    if (touched.has(key)) return;
    touched.add(key);
    if (was !== undefined && this.random.below(3) === 0) {
      this.endpoints.delete(id);
      deletes.add(key);
      told.set(key, `deleted endpoint ${id} ${was.requestId} ${STATES[was.state]}`);
      return;
    }
    const endpoint = this.#anEndpoint(id, networkId, was?.hostId);
    this.endpoints.set(id, endpoint);
    puts.set(key, putEndpoint(endpoint));
    told.set(
      key,
      `${was === undefined ? 'created' : 'updated'} endpoint ${id} ${endpoint.requestId} ${STATES[endpoint.state]}`,
    );
  }

  #host({ puts, deletes, touched }: Change): void {
    const id = this.#pick([...this.hosts.keys()]) ?? newHostId();
    const key = objectKey.host(id);
    if (touched.has(key)) return;
    touched.add(key);
    if (this.hosts.has(id) && this.random.below(4) === 0) {
      this.hosts.delete(id);
      deletes.add(key);
      return;
    }
    const host = this.#aHost(id);
    this.hosts.set(id, host);
    puts.set(key, putHost(host));
  }

  #alive({ puts, deletes, touched }: Change): void {
    const id = this.#pick([...this.hosts.keys()]);
    if (id === undefined) return;
    const key = objectKey.alive(id);
    if (touched.has(key)) return;
    touched.add(key);
    if (this.alive.has(id) && this.random.below(2) === 0) {
      this.alive.delete(id);
      deletes.add(key);
      return;
    }
    this.alive.add(id);
    const value = StoredAlive.encode({ session: 's', controllerId: newControllerId(), leaseId: '1' }).finish();
    puts.set(key, { key, value });
  }

  /** One of those there are, or none: then it is a new one. */
  #pick<T>(ids: readonly T[]): T | undefined {
    return this.random.below(4) === 0 ? undefined : ids[this.random.below(ids.length + 1)];
  }

  #aNetwork(id: Network['id']): Network {
    this.#count += 1;
    return {
      ...{ id, name: `n${id.slice(0, 8)}`, driver: 'overlay', vni: 1 + this.random.below(1_000_000), internal: false },
      ...{ subnets: [], mtu: undefined, labels: this.#labels, options: {}, revision: 0n },
      ...{ requestId: `r${String(this.#count)}`, createTimeMs: 0 },
    };
  }

  #anEndpoint(id: EndpointId, networkId: Network['id'], hostId: HostId | undefined): Endpoint {
    this.#count += 1;
    const address = parseIp(`10.${String(this.random.below(200))}.${String(this.random.below(200))}.7`);
    const mac = parseMac('02:42:0a:01:00:05');
    if (address === undefined || mac === undefined) throw new Error('a test’s address is one');
    const state = (['pending', 'ready', 'removing'] as const)[this.random.below(3)] ?? 'ready';
    return {
      ...{ id, networkId, hostId: hostId ?? HOSTS[this.random.below(HOSTS.length)] ?? newHostId(), mac, state },
      ...{ sandbox: 's', name: 's', aliases: [], addresses: [address], labels: {}, revision: 0n, createRevision: 0n },
      ...{ requestId: `r${String(this.#count)}`, createTimeMs: 0 },
    };
  }

  #aHost(id: HostId): Host {
    const vtep = parseIp(`192.0.2.${String(1 + this.random.below(250))}`);
    if (vtep === undefined) throw new Error('a test’s address is one');
    return {
      ...{ id, name: `h${id.slice(0, 8)}`, vtep, number: 1 + this.random.below(60_000), version: '0.1.0' },
      ...{ prefixes: [], declaredEpoch: '', revision: 0n, ...PRESENT },
    };
  }
}

interface Change {
  readonly puts: Map<string, Put>;
  readonly deletes: Set<string>;
  readonly told: Map<string, string>;
  readonly touched: Set<string>;
}

/** Endpoints are on these, whether they are there or not: events do not ask. */
export const NETWORKS = Array.from({ length: 3 }, newNetworkId);
export const HOSTS = Array.from({ length: 3 }, newHostId);

const STATES = { pending: '1', ready: '2', removing: '3' } as const;
