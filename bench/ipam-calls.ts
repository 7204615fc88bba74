/** Endpoints a second over gRPC with mutual TLS: Create beside an echo of the same message, and BatchCreate. */
import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { newEndpointId } from '../core/ids.js';
import { openController, TestClient } from '../controller/testing.js';
import { issue, type CertificateAuthority } from '../controller/identity/ca.js';
import { CONTROLLER_SERVER_NAME } from '../proto/channel.js';
import {
  EndpointServiceService,
  EndpointState,
  type CreateEndpointRequest,
  type CreateEndpointResponse,
} from '../proto/gen/weft/v1/endpoint.js';
import { BenchEtcd, SETTINGS, makePlace, perSecond, type Place } from './ipam-cluster.js';
import { median, medianRatio } from './statistics.js';

/** Callers of Create at once, all over one connection. */
const CONCURRENCY = 128;
const CALLS = 6_000;
const ROUNDS = 5;

const BATCH = 1_000;
/** Batches under way at once, as several operators or one with a large job would have. */
const BATCHES_AT_ONCE = 4;
const BATCHES = 24;

/** Milliseconds for a call on a machine that is busy. */
const PATIENCE_MS = 60_000;

export interface CallFigures {
  readonly createPerSecond: number;
  readonly echoPerSecond: number;
  readonly createVsEcho: number;
  readonly batchPerSecond: number;
}

export async function measureCalls(say: (text: string) => void): Promise<CallFigures> {
  await using etcd = await BenchEtcd.start();
  await using store = etcd.store();
  await using controller = await openController(store, { settings: SETTINGS });
  const place = await makePlace(controller.brain);
  const client = await controller.client({ role: 'admin', name: 'bench' });
  await using echo = await openEcho(controller.ca);
  const pair = await issue({
    ...{ ca: controller.ca, subject: { role: 'admin', name: 'bench' }, usage: 'client', days: 1 },
    sans: { dns: [], ip: [] },
  });
  using echoing = new TestClient(echo.port, { ca: controller.ca.cert, ...pair });

  const rounds: [number, number][] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const [create, bare] = [
      await perSecond(CALLS, CONCURRENCY, () => createOne(client, place)),
      await perSecond(CALLS, CONCURRENCY, () => createOne(echoing, place)),
    ];
    say(`${round < 0 ? 'warm-up' : `round ${String(round + 1)}`}: Create ${rate(create)}, echo ${rate(bare)}`);
    if (round >= 0) rounds.push([create, bare]);
  }
  const batches: number[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const perBatch = await perSecond(BATCHES, BATCHES_AT_ONCE, () => createMany(client, place));
    say(`${round < 0 ? 'warm-up' : `round ${String(round + 1)}`}: BatchCreate ${rate(perBatch * BATCH)}`);
    if (round >= 0) batches.push(perBatch * BATCH);
  }
  return {
    createPerSecond: median(rounds.map(([create]) => create)),
    echoPerSecond: median(rounds.map(([, bare]) => bare)),
    createVsEcho: medianRatio(rounds),
    batchPerSecond: median(batches),
  };
}

function rate(value: number): string {
  return `${Math.round(value).toLocaleString('en')}/s`;
}

async function createOne(client: TestClient, place: Place): Promise<void> {
  const { endpoint } = await client.call(client.endpoints.create.bind(client.endpoints), request(place), PATIENCE_MS);
  if (endpoint === undefined) throw new Error('no endpoint came back');
}

async function createMany(client: TestClient, place: Place): Promise<void> {
  const requests = Array.from({ length: BATCH }, () => request(place));
  const create = client.endpoints.batchCreate.bind(client.endpoints);
  const { results } = await client.call(create, { requests }, PATIENCE_MS);
  const made = results.filter(({ outcome }) => outcome?.$case === 'endpoint').length;
  if (made !== BATCH) throw new Error(`${String(made)} of ${String(BATCH)} endpoints were made`);
}

let sandboxes = 0;

/** A sandbox of its own that asks for an endpoint, on each of the hosts in turn. */
function request({ network, hosts }: Place): CreateEndpointRequest {
  sandboxes += 1;
  return {
    ...{ id: newEndpointId(), network: network.id, host: hosts[sandboxes % hosts.length]?.id ?? '' },
    ...{ sandbox: `box-${String(sandboxes)}`, aliases: [], addresses: [], mac: '', labels: { app: 'web' } },
    session: '',
  };
}

interface Echo extends AsyncDisposable {
  readonly port: number;
}

/** The peer: the same kind of server, which answers a Create with what it was asked and does nothing. */
async function openEcho(ca: CertificateAuthority): Promise<Echo> {
  const identity = await issue({
    ...{ ca, subject: { role: 'controller', name: 'echo' }, usage: 'both', days: 1 },
    sans: { dns: [CONTROLLER_SERVER_NAME], ip: [] },
  });
  const server = new Server();
  const { create } = EndpointServiceService;
  const definition: ServiceDefinition = { create };
  const service: UntypedServiceImplementation = {
    create: (
      call: { readonly request: CreateEndpointRequest },
      answer: (error: null, response: CreateEndpointResponse) => void,
    ) => {
      answer(null, echoOf(call.request));
    },
  };
  server.addService(definition, service);
  const secure = ServerCredentials.createSsl(
    Buffer.from(ca.cert),
    [{ cert_chain: Buffer.from(identity.cert), private_key: Buffer.from(identity.key) }],
    true,
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', secure, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
    },
  };
}

function echoOf({ id, network, host, sandbox, aliases, labels }: CreateEndpointRequest): CreateEndpointResponse {
  return {
    endpoint: {
      ...{ id, networkId: network, hostId: host, sandbox, name: sandbox, aliases, addresses: ['10.0.0.2'] },
      ...{ mac: '02:00:00:00:00:01', labels, state: EndpointState.ENDPOINT_STATE_PENDING, revision: 1n },
      ...{ requestId: id, createRevision: 1n, createTime: undefined },
    },
    revision: 1n,
  };
}
