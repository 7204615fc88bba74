/** For tests: a controller in this process on a store in memory, reached over real mutual TLS on loopback. */
import { Channel, credentials, type ClientOptions } from '@grpc/grpc-js';
import { setMaxListeners } from 'node:events';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { systemClock } from '../core/clock.js';
import { newControllerId, newHostId, type ControllerId, type HostId } from '../core/ids.js';
import { anySignal } from '../core/lifetime.js';
import { call, type CallContext, type UnaryMethod } from '../proto/call.js';
import { CHANNEL_OPTIONS, CONTROLLER_SERVER_NAME } from '../proto/channel.js';
import {
  AgentSyncServiceClient,
  type Declaration,
  type Hello,
  type Report,
  type SyncRequest,
  type SyncResponse,
} from '../proto/gen/weft/v1/agent_sync.js';
import { ClusterServiceClient, type RestoreRequest, type RestoreResponse } from '../proto/gen/weft/v1/cluster.js';
import { EndpointServiceClient } from '../proto/gen/weft/v1/endpoint.js';
import { HostServiceClient } from '../proto/gen/weft/v1/host.js';
import { NetworkServiceClient } from '../proto/gen/weft/v1/network.js';
import { PeerServiceClient } from '../proto/gen/weft/v1/peer.js';
import { WatchRequest, WatchServiceClient, type WatchResponse } from '../proto/gen/weft/v1/watch.js';
import { download, upload } from '../proto/stream-call.js';
import { agentSyncService } from './api/agent-sync-service.js';
import { clusterService } from './api/cluster-service.js';
import { endpointService } from './api/endpoint-service.js';
import { hostService } from './api/host-service.js';
import { networkService } from './api/network-service.js';
import { Serve } from './api/serve.js';
import { PeerChannels } from './api/peer-channels.js';
import { peerService } from './api/peer-service.js';
import { listen } from './api/server.js';
import { watchService } from './api/watch-service.js';
import { Restores } from './backup/restores.js';
import { Cache } from './cache/cache.js';
import { Committer } from './commit/commit.js';
import { Declarations } from './upkeep/declarations.js';
import { DEFAULT_SETTINGS, type Settings } from './domain/settings.js';
import { defaultPools } from './domain/subnet-pool.js';
import type { EtcdReport } from './etcd/etcd-status.js';
import { Events, type EventsOptions } from './events/events.js';
import { Convergence } from './fanout/convergence.js';
import { Fanout } from './fanout/fanout.js';
import { createCa, issue, type CertificateAuthority } from './identity/ca.js';
import type { Principal } from './identity/principal.js';
import { HostLeases } from './liveness/host-leases.js';
import { loadOrCreateMeta, type Meta } from './meta.js';
import { createMetrics } from './metrics.js';
import { objectKey } from './store/keys.js';
import type { Compare, Store } from './store/store.js';

/** A log that says nothing. */
export const SILENT = pino({ level: 'silent' });

/** Milliseconds in which whatever a test waits for happens. */
const PATIENCE_MS = 5_000;

/** The decisions' part of a controller: no server, no streams. */
export interface Brain extends AsyncDisposable {
  readonly store: Store;
  readonly cache: Cache;
  readonly committer: Committer;
}

/** A cache that follows `store`, and a committer on it. */
export async function openBrain(
  store: Store,
  settings: Partial<Settings> = {},
  { metaRevision, patienceMs = 100 }: Partial<Meta> & { readonly patienceMs?: number } = {},
): Promise<Brain> {
  const stop = new AbortController();
  const metrics = createMetrics({ revision: () => 0n, streams: () => 0 });
  const fence = (modRevision: bigint): Compare => ({ kind: 'unchanged', key: objectKey.meta(), modRevision });
  const cache = new Cache({
    ...{ store, log: SILENT, patienceMs },
    ...(metaRevision === undefined ? {} : { metaRevision }),
  });
  const running = cache.run(stop.signal);
  await cache.listed;
  const committer = new Committer({
    ...{ store, cache, observer: metrics.commit, clock: systemClock },
    settings: { ...DEFAULT_SETTINGS, ...settings },
    ...(metaRevision === undefined ? {} : { fence: () => fence(metaRevision) }),
  });
  return {
    ...{ store, cache, committer },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
}

/** What there is to say of a store in memory. */
export const NO_ETCD: EtcdReport = {
  status: {
    ...{ embedded: false, endpoints: [], version: '3.4.23', members: [], dataDir: '' },
    ...{ databaseSize: 1n, databaseSizeInUse: 1n, databaseQuota: 0n },
  },
  alarms: [],
};

export interface Harness extends AsyncDisposable {
  readonly brain: Brain;
  readonly fanout: Fanout;
  readonly events: Events;
  readonly controllerId: ControllerId;
  readonly port: number;
  readonly ca: CertificateAuthority;
  /** Everything a client can call, as this principal. */
  client(principal: Principal): Promise<TestClient>;
}

/** A whole controller on `store`, listening on loopback. */
export async function openController(
  store: Store,
  options: {
    readonly hostLeaseMs?: number;
    readonly settings?: Partial<Settings>;
    /** Of its cluster, where it is not the only controller; and what it is called. */
    readonly ca?: CertificateAuthority;
    readonly name?: string;
    /** What it says of its health. */
    readonly isServing?: () => boolean;
    /** Of one that was there before. */
    readonly port?: number;
    readonly events?: Partial<EventsOptions>;
    /** Milliseconds the view is waited for before it is asked why: see Cache. Default 100. */
    readonly patienceMs?: number;
  } = {},
): Promise<Harness> {
  const { patienceMs = 100 } = options;
  const brain = await openBrain(store, options.settings, { patienceMs });
  const { cache, committer } = brain;
  const meta = await loadOrCreateMeta(store, SILENT, new AbortController().signal);
  const { clusterId, epoch } = meta;
  const fanout = new Fanout({
    ...{ cache, clusterId, epoch },
    observer: { encoded: () => undefined, sent: () => undefined },
  });
  const events = new Events({ store, cache, epoch, log: SILENT, ...options.events });
  const metrics = createMetrics({ revision: () => cache.view.revision, streams: () => fanout.size });
  const serve = new Serve({ log: SILENT, observer: metrics.serve });
  const ca = options.ca ?? (await createCa('test'));
  const identity = await issue({
    ...{ ca, subject: { role: 'controller', name: options.name ?? 'c1' }, usage: 'both', days: 1 },
    sans: { dns: [CONTROLLER_SERVER_NAME], ip: [] },
  });
  const controllerId = newControllerId();
  const peers = new PeerChannels({ cache, identity: { ca: ca.cert, pair: identity } });
  const convergence = new Convergence({ fanout, cache, self: controllerId, peers });
  const ttlMs = options.hostLeaseMs;
  const leases = new HostLeases({ store, cache, committer, controllerId, log: SILENT, ttlMs });
  const declarations = new Declarations({ view: () => cache.view, epoch, clock: systemClock, log: SILENT });
  const restores = new Restores({ store, directory: tmpdir() });
  const server = await listen({
    ...{ host: '127.0.0.1', port: options.port ?? 0, ca: ca.cert, identity },
    ...(options.isServing === undefined ? {} : { isServing: options.isServing }),
    services: {
      network: networkService(serve, { cache, committer, clock: systemClock, pools: defaultPools(meta.clusterId) }),
      endpoint: endpointService(serve, { store, cache, committer, clock: systemClock }),
      host: hostService(serve, { cache, committer, convergence }),
      cluster: clusterService(serve, {
        ...{ store, cache, convergence, meta, declarations, restores, clock: systemClock },
        ...{ readEtcd: async () => NO_ETCD, scarce: () => [] },
      }),
      watch: watchService(serve, { cache, events, meta }),
      agentSync: agentSyncService(serve, { cache, committer, fanout, leases, meta, observer: metrics.sync }),
      peer: peerService(serve, { cache, convergence }),
    },
  });
  const clients: TestClient[] = [];
  return {
    ...{ brain, fanout, events, controllerId, ca, port: server.port },
    client: async (principal) => {
      const pair = await issue({ ca, subject: principal, sans: { dns: [], ip: [] }, usage: 'client', days: 1 });
      const client = new TestClient(server.port, { ca: ca.cert, ...pair });
      clients.push(client);
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) client[Symbol.dispose]();
      convergence[Symbol.dispose]();
      peers[Symbol.dispose]();
      fanout[Symbol.dispose]();
      events[Symbol.dispose]();
      await leases[Symbol.asyncDispose]();
      declarations[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
      await brain[Symbol.asyncDispose]();
    },
  };
}

function* cut(file: Buffer): Generator<RestoreRequest> {
  for (let at = 0; at < file.length; at += 64 * 1024) yield { data: file.subarray(at, at + 64 * 1024) };
}

export class TestClient implements Disposable {
  readonly channel: Channel;
  readonly networks: NetworkServiceClient;
  readonly endpoints: EndpointServiceClient;
  readonly hosts: HostServiceClient;
  readonly cluster: ClusterServiceClient;
  readonly peers: PeerServiceClient;
  readonly watches: WatchServiceClient;
  readonly #sync: AgentSyncServiceClient;
  /** Ends the calls that are under way when this goes. */
  readonly #gone = new AbortController();

  constructor(port: number, tls: { readonly ca: string; readonly cert: string; readonly key: string }) {
    const secure = credentials.createSsl(Buffer.from(tls.ca), Buffer.from(tls.key), Buffer.from(tls.cert));
    const address = `127.0.0.1:${String(port)}`;
    this.channel = new Channel(address, secure, CHANNEL_OPTIONS);
    const options: ClientOptions = { channelOverride: this.channel };
    this.networks = new NetworkServiceClient(address, secure, options);
    this.endpoints = new EndpointServiceClient(address, secure, options);
    this.hosts = new HostServiceClient(address, secure, options);
    this.cluster = new ClusterServiceClient(address, secure, options);
    this.peers = new PeerServiceClient(address, secure, options);
    this.watches = new WatchServiceClient(address, secure, options);
    this.#sync = new AgentSyncServiceClient(address, secure, options);
    // Each call under way listens, and there may be hundreds.
    setMaxListeners(0, this.#gone.signal);
  }

  /** Calls a method; rejects with WeftError. */
  call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    timeoutMs = PATIENCE_MS,
  ): Promise<Response> {
    return call(method, request, this.#context(timeoutMs));
  }

  /** The whole file of a backup; rejects with WeftError. */
  async backup(): Promise<Buffer> {
    const parts: Buffer[] = [];
    const { cluster } = this;
    for await (const { data } of download(cluster.backup.bind(cluster), {}, this.#context(PATIENCE_MS))) {
      parts.push(data);
    }
    return Buffer.concat(parts);
  }

  /** Watches for as long as it is read, or until the signal aborts; throws WeftError. */
  watch(request: Partial<WatchRequest> = {}, signal?: AbortSignal): AsyncGenerator<WatchResponse> {
    const context = this.#context(4 * PATIENCE_MS);
    return download(this.watches.watch.bind(this.watches), WatchRequest.fromPartial(request), {
      ...context,
      signal: signal === undefined ? context.signal : anySignal(context.signal, signal),
    });
  }

  /** Restores a file; rejects with WeftError. */
  restore(file: Buffer, timeoutMs = 4 * PATIENCE_MS): Promise<RestoreResponse> {
    const { cluster } = this;
    return upload(cluster.restore.bind(cluster), Readable.from(cut(file)), this.#context(timeoutMs));
  }

  /** Opens a stream as this host's agent. */
  agent(hello: Partial<Hello> = {}): ScriptedAgent {
    return new ScriptedAgent(this.#sync, hello);
  }

  [Symbol.dispose](): void {
    this.#gone.abort();
    this.channel.close();
  }

  #context(timeoutMs: number): CallContext {
    return {
      ...{ signal: this.#gone.signal, timeoutMs, requestId: 'test-request' },
      peer: { name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' },
    };
  }
}

type Message = NonNullable<SyncResponse['message']>;

/** An agent that does what the test says, and remembers what it was told. */
export class ScriptedAgent {
  readonly hostId: HostId;
  readonly #stream;
  readonly received: Message[] = [];
  /** How the stream ended: OK is undefined. */
  readonly ended: Promise<Error | undefined>;
  readonly #waiters = new Set<() => void>();

  constructor(client: AgentSyncServiceClient, hello: Partial<Hello>) {
    this.#stream = client.sync();
    this.hostId = (hello.hostId ?? newHostId()) as HostId;
    this.ended = new Promise((resolve) => {
      this.#stream.once('error', resolve);
      this.#stream.once('end', () => {
        resolve(undefined);
      });
    });
    this.#stream.on('data', ({ message }: SyncResponse) => {
      if (message !== undefined) this.received.push(message);
      for (const wake of this.#waiters) wake();
    });
    if (hello.vtep !== '') {
      const value = {
        vtep: '192.0.2.1',
        version: '0.1.0',
        epoch: '',
        clusterId: '',
        prefixes: undefined,
        resume: undefined,
        ...hello,
        hostId: this.hostId,
      };
      this.send({ $case: 'hello', value });
    }
  }

  send(message: NonNullable<SyncRequest['message']>): void {
    this.#stream.write({ message });
  }

  ack(revision: bigint): void {
    this.send({ $case: 'ack', value: { revision, notices: [] } });
  }

  report(value: Partial<Report>): void {
    this.send({
      $case: 'report',
      value: { readyEndpointIds: [], removedEndpointIds: [], leakedEndpointIds: [], ...value },
    });
  }

  /** Says what the host runs, in answer to a Welcome that asks for it. */
  async declare(value: Partial<Declaration>): Promise<void> {
    const welcome = await this.until((message) => message.$case === 'welcome');
    const { epoch } = welcome.value;
    this.send({ $case: 'declaration', value: { epoch, networks: [], endpoints: [], more: false, ...value } });
  }

  /** The first message, earlier or to come, that `is` recognises. */
  async until<T extends Message>(is: (message: Message) => message is T): Promise<T>;
  async until(is: (message: Message) => boolean): Promise<Message>;
  async until(is: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.received.find(is);
        if (found === undefined) {
          // While others come it is waited for: a machine may be busy with many.
          timeout.refresh();
          return;
        }
        clearTimeout(timeout);
        this.#waiters.delete(look);
        resolve(found);
      };
      const timeout = setTimeout(() => {
        this.#waiters.delete(look);
        reject(new Error(`it never came; received: ${this.received.map(({ $case }) => $case).join(', ')}`));
      }, PATIENCE_MS);
      this.#waiters.add(look);
      look();
    });
  }

  /** Takes everything so far up to and with an InSync of at least `revision`. */
  async inSync(revision = 0n): Promise<readonly Message[]> {
    await this.until((message) => message.$case === 'inSync' && message.value.revision >= revision);
    return this.received.splice(0);
  }

  async session(): Promise<string> {
    const welcome = await this.until((message) => message.$case === 'welcome');
    return welcome.value.session;
  }

  /** Says goodbye. */
  close(): void {
    this.#stream.end();
  }

  /** Reads no more: a host that hangs. */
  stall(): void {
    this.#stream.pause();
  }

  cancel(): void {
    this.#stream.cancel();
  }
}
