import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { WeftError } from '../../core/errors.js';
import { newHostId, type HostId } from '../../core/ids.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { HostState } from '../../proto/gen/weft/v1/host.js';
import { CreateNetworkRequest, SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { decodeStatus } from '../../proto/status.js';
import { EtcdLab } from '../store/etcd-lab.testing.js';
import { objectKey } from '../store/keys.js';
import type { EtcdStore } from '../store/etcd.js';
import { openController, type Harness, type TestClient } from '../testing.js';

const NEVER = new AbortController().signal;

/** etcd grants no less than one and a half of its election timeouts. */
const TTL_MS = 2_000;

/** Until a key has gone for good: four thirds of its time, and etcd looks twice a second. */
const GONE_MS = 6_000;

let lab: EtcdLab;
let stores: [EtcdStore, EtcdStore];
let first: Harness;
let second: Harness;

beforeAll(async () => {
  lab = await EtcdLab.open();
  stores = [lab.store(), lab.store()];
  first = await openController(stores[0], { hostLeaseMs: TTL_MS });
  second = await openController(stores[1], { hostLeaseMs: TTL_MS });
});

afterAll(async () => {
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
  for (const store of stores) await store[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
});

let serial = 0;
/** A host that can call either controller. */
async function newHost(): Promise<{ id: HostId; name: string; vtep: string; at: [TestClient, TestClient] }> {
  serial += 1;
  const name = `h${String(serial)}`;
  const at = [first, second].map((each) => each.client({ role: 'host', name }));
  const [one, two] = await Promise.all(at);
  if (one === undefined || two === undefined) throw new Error('two clients');
  return { id: newHostId(), name, vtep: `192.0.2.${String(serial)}`, at: [one, two] };
}
const aliveAt = (harness: Harness, id: HostId) => harness.brain.cache.view.alive.get(id);
const until = (look: () => void) => vi.waitFor(look, { timeout: GONE_MS, interval: 20 });
const reasonOf = async (ended: Promise<Error | undefined>) =>
  decodeStatus((await ended) as never, { name: 'it', unavailable: 'CONTROLLER_UNAVAILABLE' }).reason;

describe('a host with a stream at one of two controllers', () => {
  it('is known by both, and both take its requests', async () => {
    const admin = await first.client({ role: 'admin', name: 'ops' });
    const subnets = [SubnetRequest.fromPartial({ cidr: '10.9.0.0/24' })];
    const network = CreateNetworkRequest.fromPartial({ name: 'web', subnets });
    await admin.call(admin.networks.create.bind(admin.networks), network);
    const { id, vtep, at } = await newHost();
    const agent = at[0].agent({ hostId: id, vtep });
    const session = await agent.session();
    // At once, however far the second one is behind: neither network nor session may be there yet.
    const create = (sandbox: string) =>
      at[1].call(
        at[1].endpoints.create.bind(at[1].endpoints),
        CreateEndpointRequest.fromPartial({ network: 'web', sandbox, session }),
      );
    const { endpoint } = await create('a');
    expect(endpoint?.hostId).toBe(id);
    for (const each of [first, second]) {
      await until(() => {
        expect(aliveAt(each, id)).toMatchObject({ session, controllerId: first.controllerId });
      });
    }
    const hosts = await at[1].call(at[1].hosts.get.bind(at[1].hosts), { host: id, minRevision: 0n });
    expect(hosts.host?.state).toBe(HostState.HOST_STATE_READY);
    agent.close();
    await agent.ended;
    const next = at[1].agent({ hostId: id, vtep });
    await next.session();
    await expect(create('b')).rejects.toMatchObject({ reason: 'SESSION_STALE' } satisfies Partial<WeftError>);
    next.close();
  });

  it('goes on with the same lease at the other, and the stream it left is ended there', async () => {
    const { id, vtep, at } = await newHost();
    const left = at[0].agent({ hostId: id, vtep });
    await left.session();
    const lease = aliveAt(first, id)?.leaseId;
    const moved = at[1].agent({ hostId: id, vtep });
    const session = await moved.session();
    expect(await reasonOf(left.ended)).toBe('SESSION_STALE');
    expect(aliveAt(second, id)).toMatchObject({ session, controllerId: second.controllerId, leaseId: lease });
    // Longer than any lease lasts that nobody renews: it is the second's to keep now.
    const gone: unknown[] = [];
    using _listening = second.brain.cache.subscribe(({ changes }) => {
      const own = changes.filter((change) => change.kind === 'alive' && change.before?.hostId === id);
      gone.push(...own.filter(({ after }) => after === undefined));
    });
    await new Promise((resolve) => setTimeout(resolve, GONE_MS));
    expect(gone).toEqual([]);
    expect(aliveAt(first, id)?.session).toBe(session);
    moved.close();
  });

  it('counts as gone when no stream came in time, and as back with the next one', async () => {
    const { id, vtep, at } = await newHost();
    const agent = at[0].agent({ hostId: id, vtep });
    await agent.session();
    agent.close();
    await agent.ended;
    expect(aliveAt(first, id)).toBeDefined();
    await until(() => {
      expect([aliveAt(first, id), aliveAt(second, id)]).toEqual([undefined, undefined]);
    });
    const back = at[1].agent({ hostId: id, vtep });
    await back.session();
    await until(() => {
      expect(aliveAt(first, id)?.controllerId).toBe(second.controllerId);
    });
    back.close();
  });

  it('is said to be alive again when its key or its lease was taken away', async () => {
    const { id, vtep, at } = await newHost();
    const agent = at[0].agent({ hostId: id, vtep });
    const session = await agent.session();
    const lease = aliveAt(first, id)?.leaseId ?? '';
    await stores[1].commit({ compares: [], puts: [], deletes: [objectKey.alive(id)] }, NEVER);
    await until(() => {
      expect(aliveAt(second, id)?.session).toBe(session);
    });
    await lab.revoke(lease);
    await until(() => {
      expect(aliveAt(second, id)).toMatchObject({ session });
      expect(aliveAt(second, id)?.leaseId).not.toBe(lease);
    });
    agent.close();
  });
});
