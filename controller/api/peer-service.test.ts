import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newControllerId, newEndpointId, newNetworkId, type ControllerId, type HostId } from '../../core/ids.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { HostState } from '../../proto/gen/weft/v1/host.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { putAlive, putController } from '../cache/objects.js';
import { createCa } from '../identity/ca.js';
import { LEADER, objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import type { Lease } from '../store/store.js';
import { openController, type Harness, type ScriptedAgent, type TestClient } from '../testing.js';

const never = new AbortController().signal;

/** Two controllers, over mutual TLS, of one cluster, with a host each. */
let store: MemoryStore;
let lease: Lease;
let c1: Harness;
let c2: Harness;
let admin: TestClient;
let a1: ScriptedAgent;
let a2: ScriptedAgent;
/** Accepts connections and says nothing. */
let mute: Server;

beforeAll(async () => {
  store = new MemoryStore();
  lease = await store.grantLease({ ttlMs: 600_000 }, never);
  const ca = await createCa('test');
  c1 = await openController(store, { ca, name: 'c1' });
  c2 = await openController(store, { ca, name: 'c2' });
  await register('c1', c1.controllerId, c1.port);
  await register('c2', c2.controllerId, c2.port);
  admin = await c1.client({ role: 'admin', name: 'ops' });
  const create = admin.networks.create.bind(admin.networks);
  const subnets = [{ cidr: '10.1.0.0/24', gateway: '', ipRange: '', auxAddresses: {} }];
  await admin.call(create, CreateNetworkRequest.fromPartial({ id: newNetworkId(), name: 'web', subnets }));
  a1 = (await c1.client({ role: 'host', name: 'h1' })).agent({ vtep: '192.0.2.1' });
  a2 = (await c2.client({ role: 'host', name: 'h2' })).agent({ vtep: '192.0.2.2' });
  for (const agent of [a1, a2]) agent.ack(lastInSync(await agent.inSync()));
  mute = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(mute, 'listening');
});
afterAll(async () => {
  mute.close();
  await c1[Symbol.asyncDispose]();
  await c2[Symbol.asyncDispose]();
});

async function register(name: string, id: ControllerId, port: number): Promise<void> {
  const address = `127.0.0.1:${String(port)}`;
  const put = putController({ id, name, address, version: '0.1.0', startTimeMs: 0 }, lease);
  await store.commit({ compares: [], puts: [put], deletes: [] }, never);
}

function lastInSync(messages: Awaited<ReturnType<ScriptedAgent['inSync']>>): bigint {
  const last = messages.at(-1);
  if (last?.$case !== 'inSync') throw new Error('it does not end with InSync');
  return last.value.revision;
}

/** An endpoint of web on a host; the revision. */
async function attach(host: string, sandbox: string): Promise<bigint> {
  const wish = { id: newEndpointId(), network: 'web', host, sandbox };
  const create = admin.endpoints.create.bind(admin.endpoints);
  return (await admin.call(create, CreateEndpointRequest.fromPartial(wish))).revision;
}

const wait = (revision: bigint, timeoutMs?: number) =>
  admin.call(admin.cluster.wait.bind(admin.cluster), { revision }, timeoutMs);

describe('two controllers', () => {
  it('wait for hosts of each other, and name the late ones', async () => {
    await attach('h1', 'a');
    const revision = await attach('h2', 'b');
    a1.ack(lastInSync(await a1.inSync(revision)));
    const told = lastInSync(await a2.inSync(revision));
    const problems = [{ object: 'h2 network web', message: 'no such device' }];
    a2.send({ $case: 'nack', value: { revision: told, problems } });
    await expect(wait(revision, 1_500)).rejects.toMatchObject({
      reason: 'NOT_CONVERGED',
      message: expect.stringMatching(/: host h2 is at \d+ \(h2 network web: no such device\)$/) as string,
    });
    const waiting = wait(revision);
    a2.ack(told);
    expect((await waiting).unreachableHosts).toEqual([]);
  });

  it('tell of all hosts, wherever they are connected', async () => {
    const revision = await attach('h1', 'c');
    a1.ack(lastInSync(await a1.inSync(revision)));
    await a2.inSync(revision);
    const list = async () => {
      const { hosts } = await admin.call(admin.hosts.list.bind(admin.hosts), {
        ...{ pageSize: 0, pageToken: '', minRevision: revision },
      });
      return hosts.sort((a, b) => (a.name < b.name ? -1 : 1));
    };
    await expect.poll(async () => (await list())[0]?.ackedRevision).toBeGreaterThanOrEqual(revision);
    const [h1, h2] = await list();
    expect(h1).toMatchObject({ name: 'h1', state: HostState.HOST_STATE_READY, problems: [] });
    expect(h2).toMatchObject({ name: 'h2', state: HostState.HOST_STATE_READY });
    expect(h2?.ackedRevision).toBeLessThan(revision);
    expect(h2?.ackedRevision).toBeGreaterThan(0n);
    a2.ack(revision);
    await wait(revision);
    const get = admin.hosts.get.bind(admin.hosts);
    const { host } = await admin.call(get, { host: 'h2', minRevision: revision });
    expect(host?.ackedRevision).toBeGreaterThanOrEqual(revision);
  });

  it('say in the status how controllers and hosts are', async () => {
    await store.commit(
      { compares: [], puts: [{ key: `${LEADER}/1`, value: Buffer.from(c2.controllerId) }], deletes: [] },
      never,
    );
    const getStatus = () => admin.call(admin.cluster.getStatus.bind(admin.cluster), {});
    const before = await getStatus();
    expect(before).toMatchObject({
      leader: 'c2',
      agents: { ready: 2, inSync: 2, behind: 0, unreachable: 0 },
      laggards: [],
    });
    expect(before.controllers).toMatchObject([
      { name: 'c1', self: true, leader: false, reachable: true, agents: 1, version: '0.1.0' },
      { name: 'c2', self: false, leader: true, reachable: true, agents: 1, address: `127.0.0.1:${String(c2.port)}` },
    ]);
    const revision = await attach('h2', 'd');
    const told = lastInSync(await a2.inSync(revision));
    a1.ack(lastInSync(await a1.inSync(revision)));
    a2.send({ $case: 'nack', value: { revision: told, problems: [{ object: 'link vxlan0', message: 'no room' }] } });
    const late = await getStatus();
    expect(late).toMatchObject({ agents: { ready: 2, inSync: 1, behind: 1, unknown: 0 } });
    expect(late.laggards).toMatchObject([{ host: 'h2', controller: 'c2', reason: 'link vxlan0: no room' }]);
    expect(late.laggards[0]?.ackedRevision).toBeLessThan(revision);
    a2.ack(told);
    await wait(revision);
  });

  it('answer within seconds when a third one hangs, and say whose hosts they cannot tell of', async () => {
    const id = newControllerId();
    await register('c3', id, (mute.address() as AddressInfo).port);
    const { hostId } = a2 as { readonly hostId: HostId };
    const put = putAlive({ hostId, session: 'elsewhere', controllerId: id }, lease);
    const { revision } = await store.commit({ compares: [], puts: [put], deletes: [] }, never);
    const began = performance.now();
    const { host } = await admin.call(admin.hosts.get.bind(admin.hosts), { host: 'h2', minRevision: revision });
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(host).toMatchObject({ state: HostState.HOST_STATE_READY, ackedRevision: 0n });
    expect(host?.problems.map(({ object }) => object)).toEqual(['controller c3']);
    const statusBegan = performance.now();
    const status = await admin.call(admin.cluster.getStatus.bind(admin.cluster), {});
    expect(performance.now() - statusBegan).toBeLessThan(3_000);
    expect(status).toMatchObject({ agents: { ready: 2, inSync: 1, unknown: 1 } });
    expect(status.laggards).toMatchObject([{ host: 'h2', controller: 'c3', reason: 'not heard from controller c3' }]);
    expect(status.controllers[2]).toMatchObject({ name: 'c3', reachable: false, agents: 1 });
    expect(status.warnings.map(({ reason, object }) => [reason, object])).toEqual([
      ['CONTROLLER_UNREACHABLE', 'controller c3'],
    ]);
    await expect(wait(revision, 1_000)).rejects.toMatchObject({
      reason: 'NOT_CONVERGED',
      message: expect.stringMatching(/: not heard from controller c3.*, which has host h2$/) as string,
    });
    // It dies, and its host's lease runs out.
    const deletes = [objectKey.controller(id), objectKey.alive(hostId)];
    const waiting = wait(revision);
    await store.commit({ compares: [], puts: [], deletes }, never);
    expect((await waiting).unreachableHosts).toEqual(['h2']);
  });

  it('believe nothing that one says at the address of another, as after it was started again', async () => {
    const id = newControllerId();
    await register('c1', id, c1.port);
    const { hostId } = a2 as { readonly hostId: HostId };
    const put = putAlive({ hostId, session: 'before', controllerId: id }, lease);
    const { revision } = await store.commit({ compares: [], puts: [put], deletes: [] }, never);
    await expect(wait(revision, 1_000)).rejects.toMatchObject({
      reason: 'NOT_CONVERGED',
      message: expect.stringMatching(/another controller is at 127\.0\.0\.1/) as string,
    });
  });
});
