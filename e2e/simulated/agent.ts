/**
 * A simulated agent: everything of a real one that follows the cluster (its stream, decoding, folding, reports and acks
 * are the agent's own code), with nothing behind it: no kernel, no files. What is folded is acknowledged at once.
 */
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import { pino } from 'pino';
import type { Cidr, IpAddress } from '../../core/address.js';
import type { HostId } from '../../core/ids.js';
import { followedOf, type Followed } from '../../agent/state/followed.js';
import { Latest } from '../../agent/state/latest.js';
import type { Known } from '../../agent/state/settled.js';
import { SyncClient } from '../../agent/sync/client.js';
import { openChannel } from '../../proto/channel.js';
import { AgentSyncServiceService, type AgentSyncServiceClient } from '../../proto/gen/weft/v1/agent_sync.js';
import { OwnEndpoints } from './own-endpoints.js';
import type { Sharing } from './sharing.js';

/** A host to be simulated, with the certificate that names it. PEM texts. */
export interface SimulatedHost {
  readonly hostId: HostId;
  readonly vtep: IpAddress;
  readonly cert: string;
  readonly key: string;
}

export interface SimulatedAgentOptions {
  readonly host: SimulatedHost;
  /** Of the cluster, as PEM. */
  readonly ca: string;
  /** A gRPC target: `ipv4:127.0.0.1:7070`. */
  readonly target: string;
  readonly sharing: Sharing;
  /** Called with each ack, right after it was written. */
  readonly onAck: (revision: bigint) => void;
}

const SILENT = pino({ level: 'silent' });

const NOTHING_FOLLOWED: Followed = { clusterId: '', epoch: '', networks: [], endpoints: [] };

export class SimulatedAgent implements Disposable {
  readonly #options: SimulatedAgentOptions;
  readonly #channel: ReturnType<typeof openChannel>;
  readonly #sync: SyncClient;
  readonly #own: OwnEndpoints;
  #receivedBytes = 0;
  #known: Known | undefined;
  #acked = 0n;
  #streams = 0;
  #syncedAtMs = 0;

  constructor(options: SimulatedAgentOptions) {
    this.#options = options;
    const { hostId, vtep, cert, key } = options.host;
    this.#own = new OwnEndpoints(hostId);
    const secure = credentials.createSsl(Buffer.from(options.ca), Buffer.from(key), Buffer.from(cert));
    this.#channel = openChannel(options.target, secure);
    const Client = makeGenericClientConstructor(
      { sync: { ...AgentSyncServiceService.sync, responseDeserialize: (bytes: Buffer) => this.#receive(bytes) } },
      'weft.v1.AgentSyncService',
    );
    this.#sync = new SyncClient({
      client: new Client('', secure, { channelOverride: this.#channel }) as unknown as AgentSyncServiceClient,
      controller: 'the controller',
      ...{ hostId, vtep, log: SILENT },
      followed: () => this.#followed(),
      prefixes: new Latest<readonly Cidr[]>([]),
    });
  }

  get hostId(): HostId {
    return this.#options.host.hostId;
  }

  /** What it has folded; undefined before the first InSync. */
  get known(): Known | undefined {
    return this.#known;
  }

  /** Whether its stream lives and has told everything once. */
  get isFollowing(): boolean {
    const { session } = this.#sync.state.value;
    return session !== undefined && this.#known?.session === session;
  }

  get ackedRevision(): bigint {
    return this.#acked;
  }

  /** How many of its streams have told everything once, and when the newest of them had (see `monotonicMs`). */
  get streams(): { readonly count: number; readonly syncedAtMs: number } {
    return { count: this.#streams, syncedAtMs: this.#syncedAtMs };
  }

  /** Of messages, as they were before TLS and HTTP/2 wrapped them. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Why the last stream ended; undefined while one is alive. */
  get lastError(): Error | undefined {
    return this.#sync.lastError;
  }

  /** Follows the cluster until the signal aborts. Rejects only when its first stream is refused for good. */
  async run(signal: AbortSignal): Promise<void> {
    using _following = this.#sync.state.subscribe(({ known }) => {
      if (known !== undefined && known !== this.#known) this.#take(known);
    });
    await this.#sync.run(signal);
  }

  [Symbol.dispose](): void {
    this.#channel.close();
  }

  #receive(bytes: Buffer): ReturnType<typeof AgentSyncServiceService.sync.responseDeserialize> {
    this.#receivedBytes += bytes.length;
    const response = AgentSyncServiceService.sync.responseDeserialize(bytes);
    this.#own.hear(response);
    return response;
  }

  /** What a reconciler does, whose every pass is done at once and without failure. */
  #take(known: Known): void {
    const before = this.#known;
    this.#known = known;
    const isFirst = before?.session !== known.session;
    if (isFirst) {
      this.#streams += 1;
      this.#syncedAtMs = monotonicMs();
    }
    this.#options.sharing.share(known, { before: before?.view, isFirst });
    const { pending, removing } = this.#own.standing(known.view);
    this.#sync.tell({
      known,
      attached: new Set(pending),
      removed: removing,
      failed: new Map(),
      sandboxes: new Set(),
      problems: [],
      notices: [],
    });
    this.#acked = known.revision;
    this.#options.onAck(known.revision);
  }

  #followed(): Followed {
    return this.#known === undefined ? NOTHING_FOLLOWED : followedOf(this.#known, this.hostId, () => true);
  }
}

/** Milliseconds of CLOCK_MONOTONIC, which is one clock for all processes of a machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
