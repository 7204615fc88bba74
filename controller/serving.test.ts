import type { ServiceError } from '@grpc/grpc-js';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../core/clock.js';
import { newEndpointId, newHostId, newNetworkId, type HostId } from '../core/ids.js';
import { pause } from '../core/lifetime.js';
import { CONTROLLER_SERVER_NAME } from '../proto/channel.js';
import {
  CreateEndpointRequest,
  EndpointState,
  type Endpoint as EndpointMessage,
} from '../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest, SubnetRequest, type Network as NetworkMessage } from '../proto/gen/weft/v1/network.js';
import type { Hello } from '../proto/gen/weft/v1/agent_sync.js';
import { StoredMeta } from '../proto/gen/weft/v1/stored.js';
import { decodeStatus } from '../proto/status.js';
import { Serve } from './api/serve.js';
import { listen } from './api/server.js';
import { Restores } from './backup/restores.js';
import { DEFAULT_SETTINGS } from './domain/settings.js';
import { createCa, issue } from './identity/ca.js';
import { UnusableStore, loadOrCreateMeta } from './meta.js';
import { createMetrics } from './metrics.js';
import { serveCluster, type ServingOptions } from './serving.js';
import { objectKey } from './store/keys.js';
import { MemoryStore } from './store/memory.js';
import type { Store } from './store/store.js';
import { NO_ETCD, SILENT, TestClient, type ScriptedAgent } from './testing.js';

const NEVER = new AbortController().signal;

/** A controller as its program runs it, on a store in memory. */
interface Running extends AsyncDisposable {
  readonly admin: TestClient;
  readonly epochs: string[];
  /** How it ended. */
  readonly ended: Promise<unknown>;
  host(name: string): Promise<TestClient>;
}

async function run(store: Store, change: Partial<ServingOptions> = {}): Promise<Running> {
  const ca = await createCa('test');
  const identity = await issue({
    ...{ ca, subject: { role: 'controller', name: 'c1' }, usage: 'both', days: 1 },
    sans: { dns: [CONTROLLER_SERVER_NAME], ip: [] },
  });
  const stop = new AbortController();
  const metrics = createMetrics({ revision: () => 0n, streams: () => 0 });
  const restores = new Restores({ store, directory: tmpdir() });
  const epochs: string[] = [];
  let port = 0;
  const ended = serveCluster(
    {
      ...{
        store,
        log: SILENT,
        clock: systemClock,
        metrics,
        restores,
        settings: DEFAULT_SETTINGS,
        pools: [],
        historyRecords: 0,
      },
      ...{
        name: 'c1',
        identity: { ca: ca.cert, pair: identity },
        addressAt: (port: number) => `127.0.0.1:${String(port)}`,
      },
      serve: new Serve({ log: SILENT, observer: metrics.serve }),
      readEtcd: async () => NO_ETCD,
      loadMeta: () => loadOrCreateMeta(store, SILENT, stop.signal),
      listen: (services) => listen({ services, host: '127.0.0.1', port: 0, ca: ca.cert, identity }),
      onReady: (_, { epoch, restoring }, server) => {
        ({ port } = server);
        if (!restoring) epochs.push(epoch);
      },
      ...change,
    },
    stop.signal,
  ).catch((error: unknown) => error);
  await until(() => port !== 0);
  const clients: TestClient[] = [];
  const client = async (role: 'admin' | 'host', name: string): Promise<TestClient> => {
    const pair = await issue({ ca, subject: { role, name }, sans: { dns: [], ip: [] }, usage: 'client', days: 1 });
    const made = new TestClient(port, { ca: ca.cert, ...pair });
    clients.push(made);
    return made;
  };
  return {
    ...{ admin: await client('admin', 'ops'), epochs, ended },
    host: (name) => client('host', name),
    [Symbol.asyncDispose]: async () => {
      for (const each of clients) each[Symbol.dispose]();
      stop.abort();
      await ended;
      await restores[Symbol.asyncDispose]();
    },
  };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(5_000);
  while (!(await holds())) if (!(await pause(5, deadline))) throw new Error('it never came to that');
}

const reason = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => (error as { reason: string }).reason,
  );

let store: MemoryStore;
let controller: Running;
beforeEach(async () => {
  store = new MemoryStore();
  controller = await run(store);
});
afterEach(() => controller[Symbol.asyncDispose]());

async function createNetwork(name: string, cidr: string): Promise<NetworkMessage> {
  const { admin } = controller;
  const request = CreateNetworkRequest.fromPartial({ name, subnets: [SubnetRequest.fromPartial({ cidr })] });
  const { network } = await admin.call(admin.networks.create.bind(admin.networks), request);
  if (network === undefined) throw new Error('no network');
  return network;
}

async function createEndpoint(network: string, sandbox: string, host = 'h1'): Promise<EndpointMessage> {
  const { admin } = controller;
  const request = CreateEndpointRequest.fromPartial({ id: newEndpointId(), network, host, sandbox });
  const { endpoint } = await admin.call(admin.endpoints.create.bind(admin.endpoints), request);
  if (endpoint === undefined) throw new Error('no endpoint');
  return endpoint;
}

/** Reports it as attached, and waits until the state has it so. */
async function makeReady(agent: ScriptedAgent, endpoint: EndpointMessage): Promise<EndpointMessage> {
  agent.report({ readyEndpointIds: [endpoint.id] });
  const { admin } = controller;
  const get = admin.endpoints.get.bind(admin.endpoints);
  let found: EndpointMessage | undefined;
  await until(async () => {
    found = (await admin.call(get, { id: endpoint.id, minRevision: 0n })).endpoint;
    return found?.state === EndpointState.ENDPOINT_STATE_READY;
  });
  return found ?? endpoint;
}

const status = () => controller.admin.call(controller.admin.cluster.getStatus.bind(controller.admin.cluster), {});

const warningsOf = async (): Promise<string[]> => (await status()).warnings.map(({ reason: each }) => each);

describe('a restore, while everything runs', () => {
  const [H1, H2] = [newHostId(), newHostId()];
  /** A revision that no backup here has. */
  const LATER = 1n << 40n;
  let hosts: readonly [TestClient, TestClient];
  let epoch: string;
  const agent = (at: 0 | 1, hostId: HostId, followed: string): ScriptedAgent =>
    hosts[at].agent({ hostId, vtep: `192.0.2.${String(at + 1)}`, epoch: followed });

  /** Two hosts, a network `blue` with an endpoint on each; that of the first is ready. */
  async function begin(): Promise<{ a1: ScriptedAgent; a2: ScriptedAgent; e1: EndpointMessage; blue: NetworkMessage }> {
    hosts = [await controller.host('h1'), await controller.host('h2')];
    const a1 = agent(0, H1, '');
    const a2 = agent(1, H2, '');
    await Promise.all([a1.inSync(), a2.inSync()]);
    const blue = await createNetwork('blue', '10.1.0.0/24');
    const e1 = await makeReady(a1, await createEndpoint('blue', 'web-1'));
    await createEndpoint('blue', 'web-2', 'h2');
    epoch = controller.epochs.at(-1) ?? '';
    return { a1, a2, e1, blue };
  }

  it('keeps what was made since, lets go what is gone, and allocates nothing before all have spoken', async () => {
    const { a1, a2, e1, blue } = await begin();
    const gone = await makeReady(a1, await createEndpoint('blue', 'old'));
    const file = await controller.admin.backup();

    const red = await createNetwork('red', '10.2.0.0/24');
    const late = await makeReady(a1, await createEndpoint('red', 'late'));
    const again = { ...gone, id: newEndpointId(), mac: '02:00:00:00:00:99' };
    const restored = await controller.admin.restore(file);
    // Both streams are told to come back.
    await Promise.all([a1.ended, a2.ended]);
    expect(restored).toMatchObject({ networks: 1, endpoints: 3, hosts: 2 });
    await until(() => controller.epochs.at(-1) === restored.epoch);
    expect(restored.epoch).not.toBe(epoch);
    expect(await status()).toMatchObject({ epoch: restored.epoch, networks: 1, endpoints: 3 });
    expect(await warningsOf()).toEqual(['HOSTS_UNDECLARED']);
    expect(await reason(createNetwork('green', '10.3.0.0/24'))).toBe('HOSTS_UNDECLARED');
    expect(await reason(createEndpoint('blue', 'web-3'))).toBe('HOSTS_UNDECLARED');
    const { admin } = controller;
    const remove = admin.networks.delete.bind(admin.networks);
    expect(await reason(admin.call(remove, { network: 'blue' }))).toBe('NETWORK_IN_USE');

    const b1 = agent(0, H1, epoch);
    const welcome = await b1.until((message) => message.$case === 'welcome');
    expect(welcome.value).toMatchObject({ epoch: restored.epoch, declare: true });
    // Nothing more before it has spoken.
    await pause(50, NEVER);
    expect(b1.received).toHaveLength(1);
    await b1.declare({ networks: [blue, red], endpoints: [e1, late, again] });
    const snapshot = await b1.inSync();
    const frames = snapshot.flatMap((message) => (message.$case === 'frame' ? [message.value] : []));
    expect(frames.map(({ network }) => network?.name).sort()).toEqual(['blue', 'red']);
    const endpoints = frames.flatMap((frame) => frame.endpoints).filter(({ hostId }) => hostId === H1);
    // The one that is gone has made room for the one that took its place.
    expect(endpoints.map(({ id }) => id).sort()).toEqual([e1.id, late.id, again.id].sort());
    const found = endpoints.find(({ id }) => id === late.id);
    expect(found).toMatchObject({ addresses: late.addresses, mac: late.mac, state: 2, name: 'late' });
    expect(frames.find(({ network }) => network?.name === 'red')?.network).toMatchObject({ id: red.id, vni: red.vni });

    // The other one is still awaited, and named.
    await expect(createEndpoint('blue', 'web-3')).rejects.toThrow(/awaited: h2$/);
    const b2 = agent(1, H2, epoch);
    await b2.declare({ networks: [blue] });
    await b2.inSync();
    await until(async () => (await warningsOf()).length === 0);
    // What was pending stays, and what was adopted is held.
    const made = await createEndpoint('blue', 'web-3');
    const all = await admin.call(admin.endpoints.list.bind(admin.endpoints), {
      ...{ network: '', host: '', address: '', pageSize: 0, pageToken: '', minRevision: 0n, filters: [] },
    });
    expect(all.endpoints).toHaveLength(5);
    expect(
      new Set(all.endpoints.flatMap(({ networkId, addresses }) => addresses.map((each) => networkId + each))).size,
    ).toBe(5);
    expect(made.addresses).not.toEqual(again.addresses);
    b1.close();
    b2.close();
  });

  it('asks nobody who has nothing from before, or has spoken already', async () => {
    const { a1, a2, e1, blue } = await begin();
    await controller.admin.restore(await controller.admin.backup());
    await Promise.all([a1.ended, a2.ended]);
    await until(() => controller.epochs.length === 2);
    const fresh = agent(1, H2, '');
    const [first] = await fresh.inSync();
    expect(first).toMatchObject({ $case: 'welcome', value: { declare: false } });
    const b1 = agent(0, H1, epoch);
    await b1.declare({ networks: [blue], endpoints: [e1] });
    await b1.inSync();
    // It died before it had written the new epoch down.
    const b2 = agent(0, H1, epoch);
    expect((await b2.inSync())[0]).toMatchObject({ $case: 'welcome', value: { declare: false } });
    expect(await warningsOf()).toEqual([]);
    fresh.close();
    b2.close();
  });

  it('takes over only what has its place, and only the host’s own', async () => {
    const { a1, a2, e1, blue } = await begin();
    const file = await controller.admin.backup();
    await controller.admin.restore(file);
    await Promise.all([a1.ended, a2.ended]);
    await until(() => controller.epochs.length === 2);
    const b2 = agent(1, H2, epoch);
    const own = (change: Partial<EndpointMessage>): EndpointMessage => ({
      ...{ ...e1, id: newEndpointId(), hostId: H2, sandbox: 'x', name: 'x', addresses: ['10.1.0.77'] },
      mac: '02:00:00:00:00:77',
      ...change,
    });
    const other = { ...blue, id: newNetworkId(), revision: LATER };
    await b2.declare({
      networks: [blue, other, { ...other, name: 'else' }, { ...blue, name: '..', id: newNetworkId() }],
      endpoints: [
        own({}),
        own({ addresses: e1.addresses, sandbox: 'a', name: 'a', mac: '02:00:00:00:00:01' }),
        own({ mac: e1.mac, sandbox: 'b', name: 'b', addresses: ['10.1.0.78'] }),
        own({ hostId: H1, sandbox: 'c', addresses: ['10.1.0.79'], mac: '02:00:00:00:00:02' }),
        own({ networkId: newNetworkId(), sandbox: 'd', addresses: ['10.1.0.80'], mac: '02:00:00:00:00:03' }),
        own({ sandbox: 'e', addresses: ['10.9.0.80'], mac: '02:00:00:00:00:04' }),
        own({ sandbox: 'f', addresses: ['10.1.0.1'], mac: '02:00:00:00:00:05' }),
        own({ sandbox: 'g', addresses: ['nowhere'], mac: '02:00:00:00:00:06' }),
        own({ networkId: other.id, sandbox: 'h', addresses: ['10.1.0.81'], mac: '02:00:00:00:00:07' }),
      ],
    });
    const snapshot = await b2.inSync();
    const frames = snapshot.flatMap((message) => (message.$case === 'frame' ? [message.value] : []));
    const here = frames.flatMap(({ endpoints }) => endpoints).filter(({ hostId }) => hostId === H2);
    expect(here.map(({ sandbox }) => sandbox).sort()).toEqual(['web-2', 'x']);
    expect((await status()).networks).toBe(1);
    b2.close();
  });

  it('takes what is too much for one message in parts, and nothing before the last', async () => {
    const { a1, a2, e1, blue } = await begin();
    await controller.admin.restore(await controller.admin.backup());
    await Promise.all([a1.ended, a2.ended]);
    await until(() => controller.epochs.length === 2);
    const labels = Object.fromEntries(Array.from({ length: 15 }, (_, at) => [`l${String(at)}`, 'x'.repeat(1_000)]));
    const red = { ...blue, id: newNetworkId(), name: 'red', vni: 77, revision: LATER };
    red.subnets = blue.subnets.map((subnet) => ({ ...subnet, cidr: '10.7.0.0/16', gateway: '10.7.0.1' }));
    const many = Array.from({ length: 300 }, (_, at): EndpointMessage => {
      const number = at.toString(16).padStart(4, '0');
      const addresses = [`10.7.${String(1 + (at >> 7))}.${String(1 + (at & 127))}`];
      const mac = `02:00:00:01:${number.slice(0, 2)}:${number.slice(2)}`;
      return { ...e1, id: newEndpointId(), networkId: red.id, sandbox: `s${number}`, addresses, mac, labels };
    });
    const b1 = agent(0, H1, epoch);
    await b1.declare({ networks: [blue, red], endpoints: [e1], more: true });
    await b1.declare({ endpoints: many.slice(0, 150), more: true });
    await pause(50, NEVER);
    expect((await status()).networks).toBe(1);
    await b1.declare({ endpoints: many.slice(150) });
    const snapshot = await b1.inSync();
    const frames = snapshot.flatMap((message) => (message.$case === 'frame' ? [message.value] : []));
    const declared = frames.flatMap(({ endpoints }) => endpoints).filter(({ hostId }) => hostId === H1);
    expect(declared).toHaveLength(301);
    b1.close();
  });

  it('lets a network grow again that has grown since', async () => {
    const { a1, a2, e1, blue } = await begin();
    const file = await controller.admin.backup();
    await controller.admin.restore(file);
    await Promise.all([a1.ended, a2.ended]);
    await until(() => controller.epochs.length === 2);
    const b1 = agent(0, H1, epoch);
    const [subnet] = blue.subnets;
    const grown = { ...blue, subnets: [{ ...subnet, cidr: '10.1.0.0/16' }], revision: LATER } as NetworkMessage;
    const far = {
      ...e1,
      id: newEndpointId(),
      sandbox: 'far',
      name: 'far',
      addresses: ['10.1.9.9'],
      mac: '02:00:00:00:00:09',
    };
    await b1.declare({ networks: [grown], endpoints: [e1, far] });
    const snapshot = await b1.inSync();
    const [frame] = snapshot.flatMap((message) => (message.$case === 'frame' ? [message.value] : []));
    expect(frame?.network?.subnets[0]?.cidr).toBe('10.1.0.0/16');
    expect(frame?.endpoints.map(({ sandbox }) => sandbox)).toContain('far');
    b1.close();
  });

  it('turns away a host that runs what another cluster gave it, and changes nothing for its sake', async () => {
    const { a1, a2 } = await begin();
    const stranger = await controller.host('h3');
    const elsewhere = { vtep: '192.0.2.3', clusterId: newNetworkId(), epoch: newNetworkId() };
    const turnedAway = async (client: TestClient, hello: Partial<Hello>): Promise<string> => {
      const agent = client.agent(hello);
      const error = (await agent.ended) as ServiceError;
      expect(agent.received).toEqual([]);
      const { reason: why, message } = decodeStatus(error, { name: '', unavailable: 'CONTROLLER_UNAVAILABLE' });
      expect(message).toContain('followed.json');
      return why;
    };
    const hostsNow = async () => (await status()).hosts.map(({ name }) => name);
    expect(await turnedAway(stranger, elsewhere)).toBe('CLUSTER_DIFFERS');
    // Nothing was ever restored here, so there is no before, not even for a host that is known.
    const away = { hostId: H1, vtep: '192.0.2.1', epoch: newNetworkId() };
    expect(await turnedAway(hosts[0], away)).toBe('CLUSTER_DIFFERS');
    await controller.admin.restore(await controller.admin.backup());
    await Promise.all([a1.ended, a2.ended]);
    await until(() => controller.epochs.length === 2);
    expect(await turnedAway(stranger, elsewhere)).toBe('CLUSTER_DIFFERS');
    expect(await turnedAway(hosts[0], { ...away, clusterId: newNetworkId() })).toBe('CLUSTER_DIFFERS');
    expect(await hostsNow()).toEqual(['h1', 'h2']);
    // The same cluster, though in an epoch that nothing here remembers; and one that comes as new.
    const { clusterId } = await status();
    const lost = hosts[0].agent({ ...away, clusterId });
    const welcome = await lost.until((message) => message.$case === 'welcome');
    expect(welcome.value).toMatchObject({ clusterId, declare: true });
    lost.cancel();
    const fresh = stranger.agent({ vtep: '192.0.2.3' });
    expect((await fresh.inSync())[0]).toMatchObject({ value: { declare: false } });
    expect(await hostsNow()).toEqual(['h1', 'h2', 'h3']);
    fresh.close();
  });

  it('gives hosts up that are gone for good, once for every controller', async () => {
    const { a1, a2 } = await begin();
    const file = await controller.admin.backup();
    await controller[Symbol.asyncDispose]();
    controller = await run(store, { declarePatienceMs: 300 });
    await controller.admin.restore(file);
    await Promise.all([a1.ended, a2.ended]);
    await until(() => controller.epochs.length === 2);
    expect(await reason(createEndpoint('blue', 'web-3'))).toBe('HOSTS_UNDECLARED');
    await until(
      async () => (await warningsOf()).length === 1 && (await reason(createEndpoint('blue', 'w'))) === undefined,
    );
    expect((await status()).warnings).toMatchObject([{ reason: 'HOSTS_UNDECLARED', object: 'hosts h1, h2' }]);
    // The next one does not wait again.
    await controller[Symbol.asyncDispose]();
    controller = await run(store);
    await createEndpoint('blue', 'web-4');
  });

  it('that is not through lets nobody do anything but look and restore', async () => {
    await begin();
    const file = await controller.admin.backup();
    const { entry } = await store.get(objectKey.meta(), NEVER);
    const meta = StoredMeta.decode(entry?.value ?? Buffer.alloc(0));
    const value = StoredMeta.encode({ ...meta, epoch: newHostId(), restoring: true }).finish();
    await store.commit({ compares: [], puts: [{ key: objectKey.meta(), value }], deletes: [] }, NEVER);
    await until(async () => (await warningsOf())[0] === 'RESTORE_UNFINISHED');
    const { admin } = controller;
    const list = admin.networks.list.bind(admin.networks);
    const page = { pageSize: 0, pageToken: '', minRevision: 0n, filters: [] };
    expect(await reason(admin.call(list, page))).toBe('RESTORE_UNFINISHED');
    expect(await reason(admin.backup())).toBe('RESTORE_UNFINISHED');
    expect(await reason(hosts[0].restore(file))).toBe('NOT_ALLOWED');
    const refused = agent(0, H1, epoch);
    expect(await refused.ended).toMatchObject({ code: 14 });
    const { epoch: next } = await admin.restore(file);
    await until(() => controller.epochs.at(-1) === next);
    expect((await admin.call(list, page)).networks).toHaveLength(1);
  });

  it('with a newer schema ends the controller with a sentence', async () => {
    const { entry } = await store.get(objectKey.meta(), NEVER);
    const meta = StoredMeta.decode(entry?.value ?? Buffer.alloc(0));
    const value = StoredMeta.encode({ ...meta, schema: 2 }).finish();
    await store.commit({ compares: [], puts: [{ key: objectKey.meta(), value }], deletes: [] }, NEVER);
    const error = await controller.ended;
    expect(error).toBeInstanceOf(UnusableStore);
    expect((error as Error).message).toMatch(/schema 2, and this controller knows 1/);
  });
});

describe('routes of hosts', () => {
  it('are avoided, recorded when they change, and shown where they collide', async () => {
    const host = await controller.host('h1');
    const cidrs = ['192.168.7.0/24', '0.0.0.0/0', 'fe80::/64', '10.128.0.0/24', '127.0.0.0/8', '192.168.7.0/24'];
    const agent = host.agent({ prefixes: { cidrs } });
    await agent.inSync();
    const { admin } = controller;
    const read = async () =>
      (await admin.call(admin.hosts.get.bind(admin.hosts), { host: 'h1', minRevision: 0n })).host;
    expect((await read())?.prefixes).toEqual(['10.128.0.0/24', '192.168.7.0/24']);
    const { network } = await admin.call(
      admin.networks.create.bind(admin.networks),
      CreateNetworkRequest.fromPartial({ name: 'auto' }),
    );
    expect(network?.subnets[0]?.cidr).toBe('10.128.1.0/24');
    expect((await read())?.problems).toEqual([]);

    agent.send({ $case: 'prefixes', value: { cidrs: ['10.128.0.0/16'] } });
    await until(async () => (await read())?.prefixes.join() === '10.128.0.0/16');
    expect((await read())?.problems[0]).toMatchObject({
      object: 'route 10.128.0.0/16',
      message: expect.stringContaining('overlaps network auto (10.128.1.0/24)') as string,
    });
    expect((await status()).warnings).toMatchObject([{ reason: 'SUBNET_COLLIDES', object: 'network auto' }]);
    agent.close();
  });

  it.each([
    [
      'too many',
      Array.from({ length: 257 }, (_, index) => `10.${String(index % 250)}.${String(index)}.0/24`),
      'hello.prefixes.cidrs',
    ],
    ['host bits', ['10.1.0.1/24'], 'hello.prefixes.cidrs[0]'],
    ['none at all', ['10.1.0.0/24', 'x'], 'hello.prefixes.cidrs[1]'],
  ])('are refused: %s', async (_, cidrs, field) => {
    const host = await controller.host('h1');
    const ended = await host.agent({ prefixes: { cidrs } }).ended;
    expect(ended).toMatchObject({ code: 3 });
    expect(ended?.message).toContain(field);
  });
});
