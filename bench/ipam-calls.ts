/** Endpoints a second over gRPC with mutual TLS: Create beside an echo of the same message, and BatchCreate. */
import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { openController, TestClient } from '../controller/testing.js';
import { issue, type CertificateAuthority } from '../controller/identity/ca.js';
import { CONTROLLER_SERVER_NAME } from '../proto/channel.js';
import {
  EndpointServiceService,
  EndpointState,
  type CreateEndpointRequest,
  type CreateEndpointResponse,
} from '../proto/gen/weft/v1/endpoint.js';
import { BatchClient, namesOf, request, type Asked } from './ipam-batches.js';
import { BenchEtcd, SETTINGS, makePlace, perSecond } from './ipam-cluster.js';
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
  await using controller = await openController(store, { settings: SETTINGS, patienceMs: 1_000 });
  const names = namesOf(await makePlace(controller.brain));
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
      await perSecond(CALLS, CONCURRENCY, () => createOne(client, names)),
      await perSecond(CALLS, CONCURRENCY, () => createOne(echoing, names)),
    ];
    say(`${round < 0 ? 'warm-up' : `round ${String(round + 1)}`}: Create ${rate(create)}, echo ${rate(bare)}`);
    if (round >= 0) rounds.push([create, bare]);
  }
  const batches: number[] = [];
  using asking = new BatchClient({ port: controller.port, tls: { ca: controller.ca.cert, ...pair } });
  const work = { ...names, batch: BATCH, batches: BATCHES, atOnce: BATCHES_AT_ONCE };
  for (let round = -1; round < ROUNDS; round += 1) {
    const made = await asking.perSecond(work);
    say(`${round < 0 ? 'warm-up' : `round ${String(round + 1)}`}: BatchCreate ${rate(made)}`);
    if (round >= 0) batches.push(made);
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

async function createOne(client: TestClient, { network, hosts }: Asked): Promise<void> {
  const asked = request(network, hosts);
  const { endpoint } = await client.call(client.endpoints.create.bind(client.endpoints), asked, PATIENCE_MS);
  if (endpoint === undefined) throw new Error('no endpoint came back');
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
