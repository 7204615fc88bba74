import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import { pause } from '../../core/lifetime.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint, Network } from '../../core/model.js';
import { CuttingProxy } from '../store/cutting-proxy.testing.js';
import { EtcdLab } from '../store/etcd-lab.testing.js';
import type { EtcdStore } from '../store/etcd.js';
import { OBJECTS, objectKey, restingIn } from '../store/keys.js';
import type { Transaction } from '../store/store.js';
import { SILENT } from '../testing.js';
import { CacheAudit } from './audit.js';
import { Cache } from './cache.js';
import { putEndpoint, putNetwork, putResting } from './objects.js';
import type { ChangeSet } from './view.js';

const signal = new AbortController().signal;
const network: Network = {
  ...{ id: newNetworkId(), name: 'web', driver: 'overlay', vni: 4096, subnets: [], internal: false, mtu: undefined },
  ...{ labels: {}, options: {}, revision: 0n, requestId: 'r', createTimeMs: 0 },
};
const address = (index: number): IpAddress => parseIp(`10.1.0.${String(index + 1)}`) ?? expect.fail('no address');
const endpoints = Array.from({ length: 40 }, (_, index): Endpoint => ({
  ...{ id: newEndpointId(), networkId: network.id, hostId: newHostId(), sandbox: 'a', name: 'a', aliases: [] },
  ...{ addresses: [address(index)], mac: randomMac(), labels: {}, state: 'pending', revision: 0n, requestId: '' },
  ...{ createRevision: 0n, createTimeMs: 0 },
}));

/** Step `count` of a history in which endpoints come, change and go, and addresses rest for a moment. */
function step(count: number): Omit<Transaction, 'compares'> {
  const index = (count * 7) % endpoints.length;
  const each = endpoints[index] ?? expect.fail('no endpoint');
  const rests = putResting({ networkId: network.id, address: address(index), endpointId: each.id }, 300);
  if (count % 50 === 49) return { puts: [putNetwork(network)], deletes: [], deletePrefixes: [restingIn(network.id)] };
  if (count % 3 === 2) return { puts: [rests], deletes: [objectKey.endpoint(network.id, each.id)] };
  return { puts: [putEndpoint({ ...each, state: count % 2 === 0 ? 'pending' : 'ready' })], deletes: [rests.key] };
}

describe('the cache over connections that break', () => {
  let lab: EtcdLab;
  let direct: EtcdStore;
  beforeAll(async () => {
    lab = await EtcdLab.open();
    direct = lab.store();
  });
  afterAll(async () => {
    await direct[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  it('comes to be what the store holds, and tells every change from one to the next', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    let connections = 0;
    // TLS and the beginning take some 2,500 bytes; each further connection lasts a little longer, and starts over.
    proxy.budget = () => 1_000 + ((connections++ * 613) % 12_000);
    await using store = lab.store({ port: proxy.port });
    const cache = new Cache({ store, log: SILENT, patienceMs: 200 });
    // What somebody knows who was only told changes; and none may be told twice, or of what is not there.
    const told = new Map<string, bigint>();
    const wrong: string[] = [];
    using _listening = cache.subscribe(({ changes }: ChangeSet) => {
      for (const { kind, before, after } of changes) {
        const value = after ?? before;
        if (value === undefined) continue;
        const key = 'id' in value ? value.id : 'address' in value ? value.address : value.hostId;
        if (told.get(kind + key) !== before?.revision) wrong.push(`${kind} ${key}`);
        if (after === undefined) told.delete(kind + key);
        else told.set(kind + key, after.revision);
      }
    });
    const stop = new AbortController();
    const running = cache.run(stop.signal);
    try {
      // On a quick machine until there were cuts enough.
      for (let count = 0; count < 400 || (proxy.cuts <= 10 && count < 4_000); count += 1) {
        const { revision } = await direct.commit({ compares: [], ...step(count) }, signal);
        // Right at the head, which nobody should do: whoever is behind has to list.
        if (count % 80 === 79) await lab.compact(revision);
        await pause(5, signal);
      }
      // Until nothing rests any more.
      while ((await direct.count(restingIn(network.id), signal)) > 0) await pause(50, signal);
      proxy.budget = () => undefined;
      const { entries, revision } = await direct.list(OBJECTS, signal);
      await cache.atLeast(revision, signal);
      const held = [...cache.view.networks.values(), ...cache.view.endpoints.values(), ...cache.view.resting()];
      expect(held.map((each) => each.revision).sort()).toEqual(entries.map(({ modRevision }) => modRevision).sort());
      expect(told.size).toBe(entries.length);
      expect(wrong).toEqual([]);
      const outcomes: string[] = [];
      const observer = { audited: (outcome: string) => outcomes.push(outcome), differences: () => undefined };
      expect(await new CacheAudit({ cache, store: direct, log: SILENT, observer }).once(signal)).toEqual([]);
      expect(outcomes).toEqual(['equal']);
      expect(proxy.cuts).toBeGreaterThan(10);
    } finally {
      stop.abort();
      await running;
    }
  }, 60_000);
});
