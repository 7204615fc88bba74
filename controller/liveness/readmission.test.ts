import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { newHostId } from '../../core/ids.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { HostState } from '../../proto/gen/weft/v1/host.js';
import { CreateNetworkRequest, SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { EtcdLab } from '../store/etcd-lab.testing.js';
import type { EtcdStore } from '../store/etcd.js';
import type { Compare } from '../store/store.js';
import { SILENT, openController, type Harness, type TestClient } from '../testing.js';
import { Absences } from './absences.js';
import { lead } from './leader.js';

/** etcd grants no less than one and a half of its election timeouts. */
const TTL_MS = 2_000;
const GRACE_MS = 1_000;
const NEVER = new AbortController().signal;

let lab: EtcdLab;
let store: EtcdStore;
let harness: Harness;
let admin: TestClient;
const stop: AbortController[] = [];
let leading: Promise<void>;

beforeEach(async () => {
  lab = await EtcdLab.open();
  store = lab.store();
  harness = await openController(store, { hostLeaseMs: TTL_MS });
  admin = await harness.client({ role: 'admin', name: 'ops' });
  const stopping = new AbortController();
  stop.push(stopping);
  const { cache, committer } = harness.brain;
  const { fanout, controllerId } = harness;
  const lease = await store.grantLease({ ttlMs: 10_000 }, NEVER);
  /** Every stream here, which are all there are. */
  const untilConverged = (revision: bigint, signal: AbortSignal): Promise<void> =>
    vi.waitFor(
      () => {
        if (signal.aborted) return;
        const behind = [...fanout.sessions].filter(
          ({ host, openRevision }) =>
            cache.view.alive.has(host.id) && openRevision !== undefined && openRevision <= revision,
        );
        if (behind.length > 0) throw new Error('not yet');
      },
      { timeout: 20_000, interval: 20 },
    );
  const work = (fence: () => Compare, signal: AbortSignal): Promise<void> =>
    new Absences({
      ...{ cache, committer, fence, graceMs: GRACE_MS, isAwaited: () => false, untilConverged, log: SILENT },
    }).run(signal);
  leading = lead({ store, id: controllerId, lease, log: SILENT, work }, stopping.signal);
});

afterEach(async () => {
  for (const each of stop.splice(0)) each.abort();
  await leading;
  await harness[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

describe('a host that was away for too long', () => {
  it(
    'loses what it had once its peers have acknowledged that, is held until then, and is taken back',
    { timeout: 60_000 },
    async () => {
      const { view } = harness.brain.cache;
      const request = CreateNetworkRequest.fromPartial({
        name: 'web',
        subnets: [SubnetRequest.fromPartial({ cidr: '10.9.0.0/24' })],
      });
      await admin.call(admin.networks.create.bind(admin.networks), request);
      const ids = [newHostId(), newHostId()] as const;
      const [h1, h2] = await Promise.all([1, 2].map((at) => harness.client({ role: 'host', name: `h${String(at)}` })));
      if (h1 === undefined || h2 === undefined) throw new Error('two clients');
      const peer = h1.agent({ hostId: ids[0], vtep: '192.0.2.1' });
      const away = h2.agent({ hostId: ids[1], vtep: '192.0.2.2' });
      const create = async (client: TestClient, session: string, address: readonly string[] = []) =>
        (
          await client.call(
            client.endpoints.create.bind(client.endpoints),
            CreateEndpointRequest.fromPartial({ network: 'web', sandbox: 'a', addresses: [...address], session }),
          )
        ).endpoint;
      await create(h1, await peer.session());
      const lost = await create(h2, await away.session());
      const address = lost?.addresses[0] ?? '';
      peer.ack(await latest(peer, view.revision));
      away.cancel();
      await away.ended;

      // Nobody acknowledges the fence yet: the address is nobody else's.
      await vi.waitFor(() => {
        expect(view.hosts.get(ids[1])).toMatchObject({ absence: 'fenced', incarnation: 2 });
      }, 20_000);
      const back = h2.agent({ hostId: ids[1], vtep: '192.0.2.2' });
      const welcome = await back.until((message) => message.$case === 'welcome');
      expect(welcome.value.incarnation).toBe(2);
      const wish = CreateEndpointRequest.fromPartial({
        network: 'web',
        sandbox: 'b',
        host: 'h1',
        addresses: [address],
      });
      const take = () => admin.call(admin.endpoints.create.bind(admin.endpoints), wish);
      await expect(take()).rejects.toMatchObject({ reason: 'ADDRESS_TAKEN' });
      expect(back.received.map(({ $case }) => $case)).toEqual(['welcome']);
      const told = await peer.until(
        (message) => message.$case === 'change' && message.value.dropPeerHostIds.includes(ids[1]),
      );
      expect(told.value).toMatchObject({ dropEndpointIds: [lost?.id] });

      peer.ack(await latest(peer, view.hosts.get(ids[1])?.revision ?? 0n));
      await vi.waitFor(() => {
        expect(view.endpoints.has(lost?.id as never)).toBe(false);
      }, 20_000);
      expect((await take()).endpoint?.addresses).toEqual([address]);

      // Told once more, and all that there is for it: nothing.
      const snapshot = await back.inSync();
      expect(snapshot.map(({ $case }) => $case)).not.toContain('frame');
      const session = welcome.value.session;
      await expect(create(h2, session)).rejects.toMatchObject({ reason: 'SESSION_STALE' });
      back.ack(
        snapshot.flatMap((message) => (message.$case === 'inSync' ? [message.value.revision] : [])).at(-1) ?? 0n,
      );
      await vi.waitFor(() => {
        expect(view.hosts.get(ids[1])).toMatchObject({ absence: 'none', incarnation: 2 });
      }, 20_000);
      const { host } = await admin.call(admin.hosts.get.bind(admin.hosts), { host: 'h2', minRevision: 0n });
      expect(host?.state).toBe(HostState.HOST_STATE_READY);
      const again = await create(h2, session);
      expect(again?.addresses).not.toEqual([address]);
      await back.until((message) => message.$case === 'frame');
    },
  );
});

/** The revision of the last InSync, once that is at least this. */
async function latest(agent: ReturnType<TestClient['agent']>, revision: bigint): Promise<bigint> {
  await agent.until((message) => message.$case === 'inSync' && message.value.revision >= revision);
  return agent.received.flatMap((message) => (message.$case === 'inSync' ? [message.value.revision] : [])).at(-1) ?? 0n;
}
