import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import {
  CreateNetworkRequest,
  ListNetworksRequest,
  SubnetRequest,
  UpdateNetworkRequest,
} from '../../proto/gen/weft/v1/network.js';
import { CreateEndpointRequest, EndpointState, ListEndpointsRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { HostState } from '../../proto/gen/weft/v1/host.js';
import { MemoryStore } from '../store/memory.js';
import { SessionsRequest } from '../../proto/gen/weft/v1/peer.js';
import { openController, type Harness, type ScriptedAgent, type TestClient } from '../testing.js';
import type { PERMISSIONS } from './authorize.js';

let harness: Harness;
let admin: TestClient;
let h1: TestClient;
let h2: TestClient;

beforeAll(async () => {
  harness = await openController(new MemoryStore(), { hostLeaseMs: 1_500 });
  admin = await harness.client({ role: 'admin', name: 'ops' });
  h1 = await harness.client({ role: 'host', name: 'h1' });
  h2 = await harness.client({ role: 'host', name: 'h2' });
});

afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

let serial = 0;
let name = '';
beforeEach(() => {
  serial += 1;
  name = `net-${String(serial)}`;
});

const createNetwork = (fields: Partial<CreateNetworkRequest> = {}, client = admin) =>
  client.call(client.networks.create.bind(client.networks), CreateNetworkRequest.fromPartial({ name, ...fields }));

const createEndpoint = (fields: Partial<CreateEndpointRequest>, client = admin) =>
  client.call(
    client.endpoints.create.bind(client.endpoints),
    CreateEndpointRequest.fromPartial({ network: name, sandbox: 'a', ...fields }),
  );

const deleteEndpoint = (id: string, client = admin) =>
  client.call(client.endpoints.delete.bind(client.endpoints), { id });

const getEndpoint = async (id: string) =>
  (await admin.call(admin.endpoints.get.bind(admin.endpoints), { id, minRevision: 0n })).endpoint;

const refusal = async (work: Promise<unknown>): Promise<WeftError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof WeftError)) throw new Error(`not refused: ${String(error)}`);
  return error;
};

/** Two hosts with their agents in sync. */
async function connectHosts(): Promise<{ a1: ScriptedAgent; a2: ScriptedAgent; s1: string; s2: string }> {
  const a1 = h1.agent({ hostId: HOST_1, vtep: '192.0.2.1' });
  const a2 = h2.agent({ hostId: HOST_2, vtep: '2001:db8::2' });
  const [s1, s2] = await Promise.all([a1.session(), a2.session()]);
  await Promise.all([a1.inSync(), a2.inSync()]);
  return { a1, a2, s1, s2 };
}
const HOST_1 = newHostId();
const HOST_2 = newHostId();

describe('NetworkService', () => {
  it('makes, shows, lists and removes a network', async () => {
    const { network, revision } = await createNetwork({
      ipv6: true,
      labels: { team: 'blue' },
      options: { mtu: '1400' },
    });
    expect(network).toMatchObject({ name, driver: 'overlay', mtu: 1400, labels: { team: 'blue' }, revision });
    expect(network?.subnets.map(({ cidr }) => cidr)).toEqual([
      expect.stringMatching(/^10\.128\.\d+\.0\/24$/),
      expect.stringMatching(/^fd.*\/64$/),
    ]);
    expect(network?.requestId).toBe('test-request');
    const get = admin.networks.get.bind(admin.networks);
    expect((await admin.call(get, { network: name.toUpperCase(), minRevision: revision })).network).toEqual(network);
    expect((await admin.call(get, { network: network?.id ?? '', minRevision: 0n })).network).toEqual(network);
    await admin.call(admin.networks.delete.bind(admin.networks), { network: name });
    expect(await refusal(admin.call(get, { network: name, minRevision: 0n }))).toMatchObject({
      reason: 'NETWORK_NOT_FOUND',
    });
  });

  it('gives pages in the order of ids, and refuses a token of nobody', async () => {
    for (const index of [0, 1, 2]) await createNetwork({ name: `${name}-${String(index)}` });
    const list = admin.networks.list.bind(admin.networks);
    const ids: string[] = [];
    let pageToken = '';
    do {
      const page = await admin.call(list, { pageSize: 2, pageToken, minRevision: 0n, filters: [] });
      expect(page.networks.length).toBeLessThanOrEqual(2);
      expect(page.revision).toBeGreaterThan(0n);
      ids.push(...page.networks.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    const all = await admin.call(list, { pageSize: 0, pageToken: '', minRevision: 0n, filters: [] });
    expect(ids).toEqual(all.networks.map(({ id }) => id));
    expect(ids).toEqual([...ids].sort());
    for (const bad of ['%%%', Buffer.from('x').toString('base64url')]) {
      const error = await refusal(admin.call(list, { pageSize: 0, pageToken: bad, minRevision: 0n, filters: [] }));
      expect(error.violations.map(({ field }) => field)).toEqual(['page_token']);
    }
    expect(
      await refusal(admin.call(list, { pageSize: 10_001, pageToken: '', minRevision: 0n, filters: [] })),
    ).toMatchObject({
      reason: 'ARGUMENT_INVALID',
    });
  });

  it('says everything that is wrong at once, with the path of each field, through the wire', async () => {
    const error = await refusal(
      createNetwork({
        name: 'a b',
        subnets: [SubnetRequest.fromPartial({ cidr: '10.1.0.5/24' }), SubnetRequest.fromPartial({ cidr: 'x' })],
      }),
    );
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations.map(({ field }) => field)).toEqual(['name', 'subnets[0].cidr', 'subnets[1].cidr']);
    expect(error.message).toContain('did you mean 10.1.0.0/24?');
  });

  it('takes the same request twice for one, and another with its id for a mistake', async () => {
    const id = newNetworkId();
    const first = await createNetwork({ id, ipv6: true });
    const again = await createNetwork({ id, ipv6: true });
    expect(again.network).toEqual(first.network);
    expect(await refusal(createNetwork({ id, ipv6: true, internal: true }))).toMatchObject({ reason: 'ID_TAKEN' });
    expect(await refusal(createNetwork({ name: name.toUpperCase() }))).toMatchObject({
      reason: 'NETWORK_NAME_TAKEN',
      metadata: { networkId: id },
    });
  });

  it('answers a revision that is not there with REVISION_AHEAD', async () => {
    const list = admin.networks.list.bind(admin.networks);
    expect(
      await refusal(admin.call(list, { pageSize: 0, pageToken: '', minRevision: 1_000_000n, filters: [] })),
    ).toMatchObject({
      reason: 'REVISION_AHEAD',
    });
    expect(
      await refusal(admin.call(list, { pageSize: 0, pageToken: '', minRevision: -1n, filters: [] })),
    ).toMatchObject({
      reason: 'ARGUMENT_INVALID',
    });
  });
});

describe('an endpoint’s life, from both sides', () => {
  it('goes from pending to ready to removing to gone, and every host concerned hears of it', async () => {
    const { a1, a2, s1, s2 } = await connectHosts();
    const { network } = await createNetwork({ subnets: [SubnetRequest.fromPartial({ cidr: '10.9.0.0/30' })] });
    const networkId = network?.id ?? '';

    const made = await createEndpoint({ session: s1, aliases: ['www'] }, h1);
    expect(made.endpoint).toMatchObject({
      hostId: HOST_1,
      networkId,
      state: EndpointState.ENDPOINT_STATE_PENDING,
      addresses: ['10.9.0.2'],
      name: 'a',
      requestId: 'test-request',
    });
    const id = made.endpoint?.id ?? '';
    const first = await a1.inSync(made.revision);
    expect(first.map(({ $case }) => $case)).toEqual(['frame', 'inSync']);
    expect(first[0]).toMatchObject({
      value: { network: { id: networkId }, endpoints: [{ id }], peers: [{ hostId: HOST_1, vtep: '192.0.2.1' }] },
    });

    a1.ack(made.revision);
    a1.report({ readyEndpointIds: [id, 'no id', newEndpointId()] });
    await vi.waitFor(async () => {
      expect((await getEndpoint(id))?.state).toBe(EndpointState.ENDPOINT_STATE_READY);
    });
    expect((await a1.inSync(made.revision + 1n))[0]).toMatchObject({
      $case: 'change',
      value: { putEndpoints: [{ id, state: EndpointState.ENDPOINT_STATE_READY }], network: undefined },
    });

    // It held the only address of a /30.
    const full = await refusal(createEndpoint({ session: s2 }, h2));
    expect(full).toMatchObject({
      reason: 'ADDRESSES_EXHAUSTED',
      message: `network ${name}: 10.9.0.0/30 has 1 address for endpoints and all are in use; make room with: weft network update --grow CIDR ${name} (or --add-subnet CIDR)`,
    });
    expect(await refusal(createEndpoint({ session: s2, addresses: ['10.9.0.2'] }, h2))).toMatchObject({
      reason: 'ADDRESS_TAKEN',
      message: `10.9.0.2 in network ${name} is held by sandbox a on host h1; ask for another, or for none and one is chosen`,
      metadata: { endpointId: id },
    });
    expect(await refusal(createEndpoint({ session: s1 }, h1))).toMatchObject({ reason: 'ALREADY_CONNECTED' });
    const inUse = await refusal(admin.call(admin.networks.delete.bind(admin.networks), { network: name }));
    expect(inUse).toMatchObject({ reason: 'NETWORK_IN_USE' });
    expect(inUse.message).toContain('a@h1');

    const marked = await deleteEndpoint(id, h1);
    expect((await deleteEndpoint(id, h1)).revision).toBe(marked.revision);
    await a1.inSync(marked.revision);
    // Its address is free only when its host says so.
    expect(await refusal(createEndpoint({ session: s2 }, h2))).toMatchObject({ reason: 'ADDRESSES_EXHAUSTED' });
    a1.report({ removedEndpointIds: [id] });
    await vi.waitFor(async () => {
      expect(await refusal(getEndpoint(id))).toMatchObject({ reason: 'ENDPOINT_NOT_FOUND' });
    });
    const last = await a1.until((message) => message.$case === 'drop');
    expect(last.value).toMatchObject({ networkId });
    // Nobody is given it for a while, but who names it has it at once.
    expect((await refusal(createEndpoint({ session: s2 }, h2))).message).toContain('0 in use and 1 resting');
    const again = await createEndpoint({ session: s2, addresses: ['10.9.0.2'] }, h2);
    expect(again.endpoint?.addresses).toEqual(['10.9.0.2']);
    expect(a2.received.map(({ $case }) => $case)).not.toContain('change');
    a1.close();
    a2.close();
  });

  it('does not believe one host about another’s endpoints', async () => {
    const { a1, a2, s1 } = await connectHosts();
    await createNetwork();
    const { endpoint } = await createEndpoint({ session: s1 }, h1);
    const id = endpoint?.id ?? '';
    expect(await refusal(deleteEndpoint(id, h2))).toMatchObject({ reason: 'NOT_ALLOWED' });
    a2.report({ readyEndpointIds: [id], removedEndpointIds: [id] });
    a1.report({ removedEndpointIds: [id] });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await getEndpoint(id))?.state).toBe(EndpointState.ENDPOINT_STATE_PENDING);
    expect(await refusal(createEndpoint({ host: 'h1', sandbox: 'b', session: s1 }, h2))).toMatchObject({
      reason: 'NOT_ALLOWED',
    });
    a1.close();
    a2.close();
  });

  it('records an operator’s wish as pending, and finds endpoints by network, host and address', async () => {
    const { a1, a2 } = await connectHosts();
    await createNetwork();
    expect(await refusal(createEndpoint({}))).toMatchObject({ reason: 'ARGUMENT_INVALID' });
    expect(await refusal(createEndpoint({ host: 'h9' }))).toMatchObject({ reason: 'HOST_NOT_FOUND' });
    const { endpoint } = await createEndpoint({ host: 'h2', sandbox: 'wish' });
    expect(endpoint).toMatchObject({ hostId: HOST_2, state: EndpointState.ENDPOINT_STATE_PENDING });
    const list = (fields: Partial<ListEndpointsRequest>) =>
      admin.call(admin.endpoints.list.bind(admin.endpoints), ListEndpointsRequest.fromPartial(fields));
    const [address = ''] = endpoint?.addresses ?? [];
    for (const fields of [{ network: name }, { network: name, host: 'h2' }, { network: name, address }]) {
      expect((await list(fields)).endpoints).toEqual([endpoint]);
    }
    expect((await list({ network: name, host: 'h1' })).endpoints).toEqual([]);
    expect((await list({ network: name, address: '203.0.113.1' })).endpoints).toEqual([]);
    expect(await refusal(list({ network: 'nowhere' }))).toMatchObject({ reason: 'NETWORK_NOT_FOUND' });
    expect(await refusal(list({ address: '10.1' }))).toMatchObject({ reason: 'ARGUMENT_INVALID' });
    a1.close();
    a2.close();
  });
});

describe('AgentSyncService', () => {
  it('gives a host one number, and ends its older stream when a newer one comes', async () => {
    const { a1, a2, s1 } = await connectHosts();
    const again = h1.agent({ hostId: HOST_1, vtep: '192.0.2.1' });
    const session = await again.session();
    expect(session).not.toBe(s1);
    expect(await a1.ended).toMatchObject({ code: 9, details: expect.stringContaining('newer stream') as string });
    await createNetwork();
    expect(await refusal(createEndpoint({ session: s1 }, h1))).toMatchObject({ reason: 'SESSION_STALE' });
    expect(await refusal(createEndpoint({}, h1))).toMatchObject({ reason: 'SESSION_STALE' });
    expect((await createEndpoint({ session }, h1)).endpoint?.hostId).toBe(HOST_1);
    again.close();
    a2.close();
  });

  it('refuses a second machine with a host’s name, a tunnel address of another, and nonsense', async () => {
    const { a1, a2 } = await connectHosts();
    const cases = [
      { hello: { hostId: newHostId(), vtep: '192.0.2.7' }, code: 6, details: HOST_1 },
      { hello: { hostId: HOST_1, vtep: '2001:db8::2' }, code: 6, details: 'h2' },
      { hello: { hostId: HOST_2, vtep: '192.0.2.1' }, code: 6, details: HOST_1 },
      { hello: { hostId: 'h1', vtep: 'nowhere' }, code: 3, details: 'hello.host_id' },
      { hello: { hostId: HOST_1, vtep: '224.0.0.1' }, code: 3, details: 'multicast' },
      { hello: { hostId: HOST_1, vtep: '192.0.2.1', version: 'a\nb' }, code: 3, details: 'hello.version' },
    ];
    for (const { hello, code, details } of cases) {
      const ended = await h1.agent(hello).ended;
      expect(ended).toMatchObject({ code, details: expect.stringContaining(details) as string });
    }
    const silent = h1.agent({ vtep: '' });
    silent.ack(1n);
    expect(await silent.ended).toMatchObject({ code: 3 });
    a1.close();
    a2.close();
  });

  it('tells a host’s peers when its tunnel address changes', async () => {
    const { a1, a2, s1, s2 } = await connectHosts();
    await createNetwork();
    await createEndpoint({ session: s1 }, h1);
    const { revision } = await createEndpoint({ session: s2 }, h2);
    await a1.inSync(revision);
    a2.close();
    await a2.ended;
    const moved = h2.agent({ hostId: HOST_2, vtep: '2001:db8::22' });
    await moved.session();
    const change = await a1.until((message) => message.$case === 'change');
    expect(change.value).toMatchObject({ putPeers: [{ hostId: HOST_2, vtep: '2001:db8::22' }] });
    moved.close();
    await moved.ended;
    const back = h2.agent({ hostId: HOST_2, vtep: '2001:db8::2' });
    await back.session();
    back.close();
    a1.close();
  });
});

describe('ClusterService', () => {
  it('waits until every host concerned has acknowledged, and names who has not and why', async () => {
    const { a1, a2, s1, s2 } = await connectHosts();
    await createNetwork();
    const wait = (revision: bigint, timeoutMs?: number) =>
      admin.call(admin.cluster.wait.bind(admin.cluster), { revision }, timeoutMs);
    // What went before has been sent to both.
    a1.ack(harness.brain.cache.view.revision);
    await createEndpoint({ session: s1 }, h1);
    const { revision } = await createEndpoint({ session: s2 }, h2);
    await Promise.all([a1.inSync(revision), a2.inSync(revision)]);
    a1.ack(revision);
    a2.send({ $case: 'nack', value: { revision, problems: [{ object: 'link vxlan0', message: 'No\nbuffer space' }] } });
    const late = await refusal(wait(revision, 600));
    expect(late).toMatchObject({ reason: 'NOT_CONVERGED', metadata: { laggards: 'h2' } });
    expect(late.message).toContain('link vxlan0: No buffer space');
    const hosts = await admin.call(admin.hosts.get.bind(admin.hosts), { host: 'h2', minRevision: 0n });
    expect(hosts.host).toMatchObject({
      state: HostState.HOST_STATE_READY,
      problems: [{ object: 'link vxlan0', message: 'No buffer space' }],
    });

    const waiting = wait(revision);
    a2.ack(revision + 1_000n);
    a2.ack(revision);
    expect(await waiting).toEqual({ revision, unreachableHosts: [] });

    a2.close();
    await a2.ended;
    const getStatus = () => admin.call(admin.cluster.getStatus.bind(admin.cluster), {});
    const states = async () => (await getStatus()).hosts.map(({ name: host, state }) => [host, state]);
    // Its agent may be restarting: for as long as its lease lasts it counts as there.
    expect(await states()).toContainEqual(['h2', HostState.HOST_STATE_READY]);
    expect(await wait(revision)).toEqual({ revision, unreachableHosts: ['h2'] });
    expect(await states()).toEqual([
      ['h1', HostState.HOST_STATE_READY],
      ['h2', HostState.HOST_STATE_UNREACHABLE],
    ]);
    const status = await getStatus();
    expect(status).toMatchObject({ version: '0.1.0', etcd: { version: '3.4.23' } });
    expect(status.endpoints).toBe(harness.brain.cache.view.endpoints.size);
    a1.close();
  });
});

describe('who may call what', () => {
  const id = newEndpointId();
  const methods = (
    client: TestClient,
  ): Record<Exclude<keyof typeof PERMISSIONS, 'AgentSyncService/Sync'>, () => Promise<unknown>> => ({
    'NetworkService/Create': () => createNetwork({ name: '' }, client),
    'NetworkService/Get': () =>
      client.call(client.networks.get.bind(client.networks), { network: '', minRevision: 0n }),
    'NetworkService/List': () =>
      client.call(client.networks.list.bind(client.networks), ListNetworksRequest.fromPartial({})),
    'NetworkService/Update': () =>
      client.call(client.networks.update.bind(client.networks), UpdateNetworkRequest.fromPartial({})),
    'NetworkService/Delete': () => client.call(client.networks.delete.bind(client.networks), { network: '' }),
    'EndpointService/Create': () => createEndpoint({ network: '' }, client),
    'EndpointService/Get': () => client.call(client.endpoints.get.bind(client.endpoints), { id, minRevision: 0n }),
    'EndpointService/List': () =>
      client.call(client.endpoints.list.bind(client.endpoints), ListEndpointsRequest.fromPartial({})),
    'EndpointService/BatchCreate': () =>
      client.call(client.endpoints.batchCreate.bind(client.endpoints), { requests: [] }),
    'EndpointService/ListAddressHistory': () =>
      client.call(client.endpoints.listAddressHistory.bind(client.endpoints), {
        ...{ address: '10.1.0.2', network: '', pageSize: 0, pageToken: '' },
      }),
    'EndpointService/Delete': () => deleteEndpoint('', client),
    'HostService/Get': () => client.call(client.hosts.get.bind(client.hosts), { host: '', minRevision: 0n }),
    'HostService/List': () =>
      client.call(client.hosts.list.bind(client.hosts), { pageSize: 0, pageToken: '', minRevision: 0n }),
    'HostService/Drain': () => client.call(client.hosts.drain.bind(client.hosts), { host: '' }),
    'HostService/Activate': () => client.call(client.hosts.activate.bind(client.hosts), { host: '' }),
    'HostService/Delete': () => client.call(client.hosts.delete.bind(client.hosts), { host: '', force: false }),
    'ClusterService/GetStatus': () => client.call(client.cluster.getStatus.bind(client.cluster), {}),
    'ClusterService/Wait': () => client.call(client.cluster.wait.bind(client.cluster), { revision: -1n }),
    'ClusterService/Backup': () => client.backup(),
    'ClusterService/Restore': () => client.restore(Buffer.from('none')),
    'PeerService/Sessions': () =>
      client.call(client.peers.sessions.bind(client.peers), SessionsRequest.fromPartial({})),
    'WatchService/Watch': () => client.watch({ untilNow: true }).next(),
  });

  const BOTH = ['EndpointService', 'HostService', 'ClusterService'];
  const OWN = new Set([
    'EndpointService/ListAddressHistory',
    ...['HostService/Drain', 'HostService/Activate', 'HostService/Delete'],
    ...['ClusterService/Backup', 'ClusterService/Restore'],
  ]);
  const READS = ['NetworkService/Get', 'NetworkService/List'];
  it.each([
    ['admin', (method: string) => method !== 'PeerService/Sessions'],
    [
      'host',
      (method: string) => READS.includes(method) || (BOTH.some((each) => method.startsWith(each)) && !OWN.has(method)),
    ],
    ['controller', (method: string) => method === 'PeerService/Sessions'],
  ] as const)('%s', async (role, may) => {
    const client = await harness.client({ role, name: 'h1' });
    for (const [method, run] of Object.entries(methods(client))) {
      const outcome = await run().then(
        () => 'allowed',
        (error: unknown) => (error as WeftError).reason,
      );
      expect([method, outcome === 'NOT_ALLOWED' ? 'refused' : 'allowed']).toEqual([
        method,
        may(method) ? 'allowed' : 'refused',
      ]);
    }
    const ended = client.agent({ hostId: HOST_1, vtep: '192.0.2.1' });
    if (role === 'host') {
      await ended.session();
      ended.close();
    } else {
      expect(await ended.ended).toMatchObject({ code: 7 });
    }
  });

  it('lets nobody in without a certificate of the cluster', async () => {
    await using other = await openController(new MemoryStore());
    const stranger = await other.client({ role: 'admin', name: 'ops' });
    stranger[Symbol.dispose]();
    const { TestClient: Client } = await import('../testing.js');
    const { issue } = await import('../identity/ca.js');
    const pair = await issue({
      ...{ ca: other.ca, subject: { role: 'admin', name: 'ops' }, usage: 'client', days: 1 },
      sans: { dns: [], ip: [] },
    });
    using foreign = new Client(harness.port, { ca: harness.ca.cert, ...pair });
    const error = await refusal(createNetwork({}, foreign));
    expect(error.reason).toBe('CONTROLLER_UNAVAILABLE');
  });
});
