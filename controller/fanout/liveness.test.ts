import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseIp } from '../../core/address.js';
import { systemClock } from '../../core/clock.js';
import {
  newControllerId,
  newEndpointId,
  newHostId,
  newNetworkId,
  type HostId,
  type NetworkId,
} from '../../core/ids.js';
import { randomMac } from '../../core/mac.js';
import { PRESENT, type Endpoint, type Host, type Network } from '../../core/model.js';
import { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { Cache } from '../cache/cache.js';
import { putAlive, putEndpoint, putHost, putNetwork } from '../cache/objects.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import type { Lease, Put } from '../store/store.js';
import { SILENT } from '../testing.js';
import { Fanout } from './fanout.js';

const NEVER = new AbortController().signal;

let store: MemoryStore;
let cache: Cache;
let fanout: Fanout;
let lease: Lease;
let stop: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  store = new MemoryStore();
  stop = new AbortController();
  cache = new Cache({ store, log: SILENT });
  running = cache.run(stop.signal);
  await cache.listed;
  lease = await store.grantLease({ ttlMs: 60_000 }, NEVER);
  fanout = new Fanout({
    ...{ cache, clusterId: 'c', epoch: 'e', clock: systemClock },
    observer: { encoded: () => undefined, sent: () => undefined },
  });
});
afterEach(async () => {
  fanout[Symbol.dispose]();
  stop.abort();
  await running;
  await lease[Symbol.asyncDispose]();
});

const host = (number: number): Host => {
  const vtep = parseIp(`192.0.2.${String(number)}`);
  if (vtep === undefined) throw new RangeError('no address');
  const more = { version: '', prefixes: [], declaredEpoch: '', ...PRESENT, revision: 0n };
  return { id: newHostId(), name: `h${String(number)}`, vtep, number, ...more };
};
const network = (vni: number): Network => ({
  ...{ id: newNetworkId(), name: `n${String(vni)}`, driver: 'overlay', vni, subnets: [], internal: false },
  ...{ mtu: undefined, labels: {}, options: {}, revision: 0n, requestId: '', createTimeMs: 0 },
});
const endpoint = (of: NetworkId, on: HostId): Endpoint => ({
  ...{ id: newEndpointId(), networkId: of, hostId: on, sandbox: 'a', name: 'a', aliases: [], addresses: [] },
  ...{ mac: randomMac(), labels: {}, state: 'ready', revision: 0n, requestId: '' },
  ...{ createRevision: 0n, createTimeMs: 0 },
});
const write = async (puts: readonly Put[], deletes: readonly string[] = []): Promise<void> => {
  const { revision } = await store.commit({ compares: [], puts, deletes }, NEVER);
  await cache.atLeast(revision, NEVER);
};
const controllerId = newControllerId();
const comes = ({ id }: Host): Put => putAlive({ hostId: id, session: randomUUID(), controllerId }, lease);

/** What a host is told, in order: who went and who returned, and where batches end. */
function open(of: Host): { told: string[]; ack: () => void; openRevision: () => bigint | undefined } {
  const told: string[] = [];
  const write = (bytes: Uint8Array): boolean => {
    const { message } = SyncResponse.decode(bytes);
    if (message?.$case === 'liveness') {
      const name = (id: string) => cache.view.hosts.get(id as HostId)?.name ?? id;
      told.push(...message.value.unreachableHostIds.map((id) => `-${name(id)}`));
      told.push(...message.value.reachableHostIds.map((id) => `+${name(id)}`));
    }
    if (message?.$case === 'inSync') told.push('in sync');
    return true;
  };
  const session = fanout.open({
    ...{ id: randomUUID(), host: of, stream: { write, drained: async () => undefined, end: () => undefined } },
    onBroken: (error) => {
      throw error;
    },
  });
  return {
    told,
    ack: () => void session.acknowledge(cache.view.revision),
    openRevision: () => session.openRevision,
  };
}
const until = (look: () => void) => vi.waitFor(look, { timeout: 2_000, interval: 2 });

describe('a host that goes and returns', () => {
  it('is told to those that share a network with it, once each time, and nobody has to acknowledge that', async () => {
    const [h1, h2, h3] = [host(1), host(2), host(3)];
    const [web, db, aside] = [network(1), network(2), network(3)];
    await write([...[h1, h2, h3].map(putHost), ...[web, db, aside].map(putNetwork), ...[h1, h2, h3].map(comes)]);
    await write(
      [endpoint(web.id, h1.id), endpoint(db.id, h1.id), endpoint(web.id, h2.id), endpoint(db.id, h2.id)].map(
        putEndpoint,
      ),
    );
    await write([putEndpoint(endpoint(aside.id, h3.id))]);
    const [one, two, three] = [open(h1), open(h2), open(h3)];
    await until(() => {
      expect([one, two, three].map(({ told }) => told)).toEqual([['in sync'], ['in sync'], ['in sync']]);
    });
    for (const each of [one, two, three]) each.ack();
    await write([], [objectKey.alive(h2.id)]);
    await until(() => {
      expect(one.told).toEqual(['in sync', '-h2']);
    });
    await write([comes(h2)]);
    await until(() => {
      expect(one.told).toEqual(['in sync', '-h2', '+h2']);
    });
    // Another stream of it is no news.
    await write([comes(h2)]);
    await write([putHost({ ...h1, vtep: host(9).vtep })]);
    await until(() => {
      expect(one.told.at(-1)).toBe('in sync');
    });
    expect([one, two, three].map(({ told }) => told)).toEqual([
      ['in sync', '-h2', '+h2', 'in sync'],
      ['in sync', 'in sync'],
      ['in sync'],
    ]);
    expect(three.openRevision()).toBeUndefined();
  });

  it('is told with what is told in full: to who connects, and to who comes to a network where it is', async () => {
    const [h1, h2, h3] = [host(1), host(2), host(3)];
    const [web, db] = [network(1), network(2)];
    await write([...[h1, h2, h3].map(putHost), ...[web, db].map(putNetwork), ...[h1, h2].map(comes)]);
    await write([endpoint(web.id, h1.id), endpoint(web.id, h3.id), endpoint(db.id, h3.id)].map(putEndpoint));
    const [one, two] = [open(h1), open(h2)];
    await until(() => {
      expect([one.told, two.told]).toEqual([['-h3', 'in sync'], ['in sync']]);
    });
    await write([putEndpoint(endpoint(db.id, h2.id))]);
    await until(() => {
      expect(two.told).toEqual(['in sync', '-h3', 'in sync']);
    });
    // A peer that is new to a network, and not there.
    const h4 = host(4);
    await write([putHost(h4)]);
    await write([putEndpoint(endpoint(db.id, h4.id))]);
    await until(() => {
      expect(two.told).toEqual(['in sync', '-h3', 'in sync', '-h4', 'in sync']);
    });
    expect(one.told).toEqual(['-h3', 'in sync']);
  });

  it('is told as it is in the end to who was busy meanwhile', async () => {
    const [h1, h2, h3] = [host(1), host(2), host(3)];
    const web = network(1);
    await write([...[h1, h2, h3].map(putHost), putNetwork(web), ...[h1, h2, h3].map(comes)]);
    await write([h1, h2, h3].map(({ id }) => putEndpoint(endpoint(web.id, id))));
    let room: (() => void) | undefined;
    const seen: string[] = [];
    fanout.open({
      ...{ id: randomUUID(), host: h1, onBroken: () => undefined },
      stream: {
        write: (bytes) => {
          const { message } = SyncResponse.decode(bytes);
          seen.push(message?.$case === 'liveness' ? message.value.unreachableHostIds.join() : (message?.$case ?? ''));
          return room !== undefined;
        },
        drained: () => new Promise((resolve) => (room = resolve)),
        end: () => undefined,
      },
    });
    await write([], [objectKey.alive(h2.id)]);
    await write([], [objectKey.alive(h3.id)]);
    await write([comes(h2)]);
    await until(() => {
      expect(room).toBeDefined();
    });
    room?.();
    await until(() => {
      expect(seen.at(-1)).toBe('inSync');
    });
    expect(seen).toEqual(['welcome', h3.id, 'frame', 'inSync']);
  });
});
