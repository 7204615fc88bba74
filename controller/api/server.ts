/** The gRPC server: mutual TLS, so that every call has a certificate to be known by. */
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { isIP } from 'node:net';
import { ClusterServiceService, type ClusterServiceServer } from '../../proto/gen/weft/v1/cluster.js';
import { EndpointServiceService, type EndpointServiceServer } from '../../proto/gen/weft/v1/endpoint.js';
import { HostServiceService, type HostServiceServer } from '../../proto/gen/weft/v1/host.js';
import { NetworkServiceService, type NetworkServiceServer } from '../../proto/gen/weft/v1/network.js';
import { PeerServiceService, type PeerServiceServer } from '../../proto/gen/weft/v1/peer.js';
import type { AgentSyncServiceServer } from '../../proto/gen/weft/v1/agent_sync.js';
import type { WatchServiceServer } from '../../proto/gen/weft/v1/watch.js';
import type { KeyPair } from '../identity/ca.js';
import { AGENT_SYNC_DEFINITION } from './agent-sync-service.js';
import { Health, addReflection } from './health.js';
import { readingAnything } from './unreadable.js';
import { WATCH_DEFINITION } from './watch-service.js';

export interface Services {
  readonly network: NetworkServiceServer;
  readonly endpoint: EndpointServiceServer;
  readonly host: HostServiceServer;
  readonly cluster: ClusterServiceServer;
  readonly watch: WatchServiceServer;
  readonly agentSync: AgentSyncServiceServer;
  readonly peer: PeerServiceServer;
}

/** What a server answers with: those, or others in their place. */
export type Offer = Readonly<Record<keyof Services, UntypedServiceImplementation>>;

export interface ListenOptions {
  readonly services: Offer;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The CA whose certificates are let in. */
  readonly ca: string;
  /** The server's own. */
  readonly identity: KeyPair;
  /** Whether it can do its work, as it tells those who ask for its health; always where undefined. */
  readonly isServing?: () => boolean;
}

export interface RunningServer extends AsyncDisposable {
  readonly port: number;
  /** Answers every call from now on with these; calls under way stay with those they began with. */
  offer(services: Offer): void;
}

/** Milliseconds that calls under way get when the server stops. */
const STOP_MS = 2_000;

const OPTIONS = {
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
  // A page of endpoints with all their labels, and clients take as much.
  'grpc.max_send_message_length': 64 * 1024 * 1024,
  // More than one client may have under way (call-limit.ts): what is too many is refused with a sentence, and not kept
  // waiting. Of one connection; streams that never carry a request are bounded by this alone.
  'grpc.max_concurrent_streams': 1_024,
  // MiB of one connection, mostly of answers that nobody has read yet: past it, it gets no further calls.
  'grpc-node.max_session_memory': 256,
  // An agent that stands still, or vanished without a word, loses its stream within 9 s.
  'grpc.keepalive_time_ms': 4_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Counts of every message for a debugger that is not served: 1.3 % of a busy controller's time.
  'grpc.enable_channelz': 0,
} as const;

/** Listens until disposed. Rejects when the address cannot be had. */
export async function listen(options: ListenOptions): Promise<RunningServer> {
  const { services, host, port, ca, identity, isServing = () => true } = options;
  const server = new Server(OPTIONS);
  add(server, services);
  addReflection(server);
  const health = new Health(server, isServing);
  const credentials = ServerCredentials.createSsl(
    Buffer.from(ca),
    [{ cert_chain: Buffer.from(identity.cert), private_key: Buffer.from(identity.key) }],
    true,
  );
  const address = isIP(host) === 6 ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, actual) => {
      if (error === null) resolve(actual);
      else reject(error);
    });
  });
  let stopped: Promise<void> | undefined;
  return {
    port: bound,
    offer: (others) => {
      for (const service of DEFINITIONS) server.removeService(service);
      add(server, others);
    },
    [Symbol.asyncDispose]: () => {
      health[Symbol.dispose]();
      return (stopped ??= stop(server));
    },
  };
}

const NETWORK = readingAnything(NetworkServiceService);
const ENDPOINT = readingAnything(EndpointServiceService);
const HOST = readingAnything(HostServiceService);
const CLUSTER = readingAnything(ClusterServiceService);
const PEER = readingAnything(PeerServiceService);
const WATCH = readingAnything(WATCH_DEFINITION);

const DEFINITIONS = [NETWORK, ENDPOINT, HOST, CLUSTER, WATCH, AGENT_SYNC_DEFINITION, PEER] as const;

function add(server: Server, services: Offer): void {
  server.addService(NETWORK, services.network);
  server.addService(ENDPOINT, services.endpoint);
  server.addService(HOST, services.host);
  server.addService(CLUSTER, services.cluster);
  server.addService(WATCH, services.watch);
  server.addService(AGENT_SYNC_DEFINITION, services.agentSync);
  server.addService(PEER, services.peer);
}

/** Lets calls under way finish for a moment, then ends them. */
function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
    }, STOP_MS);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
