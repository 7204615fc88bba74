/**
 * This host's stream to a controller: Hello, then the cluster's state as it changes, and back what the kernel was
 * brought to. When the stream ends it is opened again, to whichever controller answers; what was known stays in use
 * until the new stream has told everything once.
 */
import { Metadata, status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { randomUUID } from 'node:crypto';
import type { Cidr, IpAddress } from '../../core/address.js';
import type { Logger } from '../../core/daemon/log.js';
import { WeftError, type Reason } from '../../core/errors.js';
import type { EndpointId, HostId } from '../../core/ids.js';
import { pause } from '../../core/lifetime.js';
import { VERSION } from '../../core/version.js';
import { REQUEST_ID_KEY } from '../../proto/call.js';
import type { AgentSyncServiceClient, SyncRequest, SyncResponse, Welcome } from '../../proto/gen/weft/v1/agent_sync.js';
import { decodeStatus } from '../../proto/status.js';
import { NOTHING_FOLLOWED, type Followed } from '../state/followed.js';
import { HOLD_OVER_MS, HoldOver } from '../state/hold-over.js';
import { Latest } from '../state/latest.js';
import type { Known, Settled } from '../state/settled.js';
import { declarationOf } from './declaration.js';
import { offerOf, type Offer } from './resume.js';
import { Retry } from './retry.js';
import { StreamReader } from './stream.js';

/**
 * Milliseconds in which a controller welcomes this host. TCP by itself would try for two minutes to reach one that is
 * cut off, at longer and longer intervals, and so notice late that it is not any more.
 */
const WELCOME_MS = 8_000;

/** What the controllers have told this host. */
export interface SyncState {
  /** The live stream's, which this host's own requests carry; undefined while there is none. */
  readonly session: string | undefined;
  /** From the first Welcome on. The same object as long as nothing in it changed. */
  readonly identity: Identity | undefined;
  /** From the first InSync on. */
  readonly known: Known | undefined;
}

/** Who this host is in the cluster. */
export interface Identity {
  readonly clusterId: string;
  readonly epoch: string;
  readonly hostNumber: number;
  readonly hostName: string;
}

export interface SyncOptions {
  readonly client: AgentSyncServiceClient;
  /** For errors: `the controller at 192.0.2.201:7070`. */
  readonly controller: string;
  /** The channel of `client`, where it leads to one of several controllers. */
  readonly way?: { readonly size: number; readonly moveOn: (peer: string) => void };
  /** Milliseconds in which a controller welcomes this host; WELCOME_MS where not given. */
  readonly welcomeMs?: number;
  readonly hostId: HostId;
  readonly vtep: IpAddress;
  /** What was followed last, also before this agent's start: which epoch, and what a restored cluster is told. */
  readonly followed: () => Followed;
  /** Where the host's own interfaces and routes lead. */
  readonly prefixes: Latest<readonly Cidr[]>;
  readonly log: Logger;
}

/** Refusals that trying again does not change: somebody must change the host, or its certificate. */
const PERMANENT: ReadonlySet<Reason> = new Set([
  'NOT_ALLOWED',
  'NOT_IDENTIFIED',
  'HOST_NAME_TAKEN',
  'ID_TAKEN',
  'VTEP_TAKEN',
  'ARGUMENT_INVALID',
]);

type Stream = ClientDuplexStream<SyncRequest, SyncResponse>;

export class SyncClient {
  readonly #options: SyncOptions;
  #stream: Stream | undefined;
  #said: string | undefined;
  /** Requests whose changes were told and are not in the kernel yet. */
  #requestIds: readonly string[] = [];
  #holdOver: { readonly over: HoldOver; readonly timer: NodeJS.Timeout } | undefined;
  /** As the stream told it, without what is held over. */
  #told: Known | undefined;
  /** Of what it told (see Welcome); undefined where that is not to be relied on. */
  #format: number | undefined;
  /** An epoch that this host followed and does not speak of any more. */
  #forgotten: string | undefined;

  readonly state = new Latest<SyncState>({ session: undefined, identity: undefined, known: undefined });
  /** Why the last stream ended; undefined while one is alive. */
  lastError: WeftError | undefined;

  constructor(options: SyncOptions) {
    this.#options = options;
  }

  /** Follows the cluster until the signal aborts. Rejects only when the first stream is refused for good. */
  async run(signal: AbortSignal): Promise<void> {
    const telling = this.#options.prefixes.subscribe((cidrs) => {
      this.#stream?.write({ message: { $case: 'prefixes', value: { cidrs: [...cidrs] } } });
    });
    try {
      await this.#followAll(signal);
    } finally {
      telling[Symbol.dispose]();
      this.#endHoldOver();
    }
  }

  async #followAll(signal: AbortSignal): Promise<void> {
    const { log, way } = this.#options;
    const retry = new Retry(way?.size ?? 1);
    for (;;) {
      const end = await this.#follow(signal);
      if (signal.aborted) return;
      this.lastError = end.error;
      this.state.set({ ...this.state.value, session: undefined });
      if (PERMANENT.has(end.error.reason) && this.state.value.identity === undefined) throw end.error;
      if (end.error.reason === 'CLUSTER_DIFFERS') this.#forget();
      // It may be what was offered that the controller does not take.
      if (end.error.reason === 'ARGUMENT_INVALID') this.#format = undefined;
      // Whatever it was: the next controller may not have it.
      way?.moveOn(end.peer);
      const waitMs = retry.after({ worked: end.worked, replaced: end.error.reason === 'SESSION_STALE' });
      const { failures } = retry;
      log.warn({ reason: end.error.reason, peer: end.peer, failures }, `sync ended: ${end.error.message}`);
      if (waitMs > 0 && !(await pause(waitMs, signal))) return;
    }
  }

  /** Tells the controller what the kernel was brought to. What a stream was told already is not repeated, except for reports. */
  tell(settled: Settled, leaked: readonly EndpointId[] = []): void {
    const { known, problems, notices } = settled;
    const stream = this.#stream;
    if (stream === undefined || known === undefined || known.session !== this.state.value.session) return;
    const report = reportOf(settled, leaked);
    if (report !== undefined) stream.write({ message: { $case: 'report', value: report } });
    const words = [...problems, ...notices].map(({ object, message }) => `${object} ${message}`);
    const saying = `${String(known.revision)} ${words.join()}`;
    if (saying === this.#said) return;
    this.#said = saying;
    const { revision } = known;
    if (problems.length === 0 && this.#requestIds.length > 0) {
      this.#options.log.info({ revision, requestIds: this.#requestIds }, 'the kernel has it');
      this.#requestIds = [];
    }
    stream.write(
      problems.length === 0
        ? { message: { $case: 'ack', value: { revision, notices: notices.map((notice) => ({ ...notice })) } } }
        : { message: { $case: 'nack', value: { revision, problems: problems.map((problem) => ({ ...problem })) } } },
    );
  }

  /** One stream, to its end. */
  #follow(
    signal: AbortSignal,
  ): Promise<{ readonly error: WeftError; readonly worked: boolean; readonly peer: string }> {
    const { client, controller, hostId, vtep, followed, prefixes, welcomeMs = WELCOME_MS } = this.#options;
    return new Promise((resolve) => {
      const metadata = new Metadata();
      metadata.set(REQUEST_ID_KEY, randomUUID());
      const stream = client.sync(metadata);
      const last = followed();
      const { clusterId, epoch } = last.epoch === this.#forgotten ? NOTHING_FOLLOWED : last;
      const offer = this.#offerIn(clusterId, epoch);
      const reader = new StreamReader(offer?.view);
      let worked = false;
      let cause: WeftError | undefined;
      const cancel = (): void => {
        stream.cancel();
      };
      const late = setTimeout(() => {
        cause ??= new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message: `${controller} does not answer` });
        cancel();
      }, welcomeMs);
      const finish = (error: WeftError): void => {
        clearTimeout(late);
        signal.removeEventListener('abort', cancel);
        if (this.#stream === stream) this.#stream = undefined;
        resolve({ error: cause ?? error, worked, peer: stream.getPeer() });
      };
      stream.on('data', (response: SyncResponse) => {
        try {
          clearTimeout(late);
          worked = this.#onMessage(stream, reader, response) || worked;
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error);
          cause ??= new WeftError({ reason: 'INTERNAL', message: `${controller} sent what it must not: ${reason}` });
          // Whichever side is wrong: what is told in full is right.
          this.#format = undefined;
          cancel();
        }
      });
      stream.on('error', (error: ServiceError) => {
        finish(decodeStatus(error, { name: controller, unavailable: 'CONTROLLER_UNAVAILABLE' }));
      });
      stream.on('status', ({ code }) => {
        if ((code as number) !== (status.OK as number)) return; // `error` follows
        finish(new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message: `${controller} ended the stream` }));
      });
      signal.addEventListener('abort', cancel, { once: true });
      if (signal.aborted) cancel();
      const hello = { hostId, vtep, version: VERSION, epoch, clusterId, prefixes: { cidrs: [...prefixes.value] } };
      stream.write({ message: { $case: 'hello', value: { ...hello, resume: offer?.resume } } });
    });
  }

  /** What there still is of this epoch, so that it need not be told again. */
  #offerIn(clusterId: string, epoch: string): Offer | undefined {
    const told = this.#told;
    const format = this.#format;
    if (told === undefined || format === undefined) return undefined;
    return told.clusterId === clusterId && told.epoch === epoch ? offerOf({ view: told.view, format }) : undefined;
  }

  /**
   * Comes as a new host where the controllers follow another cluster and nothing runs here that this could end. Else
   * it goes on asking: the cluster that it followed may be about to be restored there.
   */
  #forget(): void {
    const { clusterId, epoch, endpoints } = this.#options.followed();
    if (endpoints.length > 0 || epoch === this.#forgotten) return;
    this.#forgotten = epoch;
    const what =
      'this host runs nothing of the cluster that it followed; it joins this one as new, and clears its kernel';
    this.#options.log.warn({ clusterId, epoch }, what);
  }

  /** Whether the stream has told everything once. */
  #onMessage(stream: Stream, reader: StreamReader, response: SyncResponse): boolean {
    const event = reader.read(response);
    if (event.kind === 'none') return false;
    if (event.kind === 'welcome') {
      this.#stream = stream;
      this.#said = undefined;
      this.lastError = undefined;
      const identity = this.#identityOf(event.welcome);
      this.state.set({ ...this.state.value, session: event.welcome.session, identity });
      this.#options.log.info({ session: event.welcome.session, ...identity }, 'following the cluster');
      if (event.welcome.declare) this.#declare(stream, event.welcome.epoch);
      return false;
    }
    this.#format = event.format;
    this.#requestIds = [...new Set([...this.#requestIds, ...event.requestIds])];
    this.#take(event.known);
    return true;
  }

  /** Says what this host runs, from before the epoch that asks. */
  #declare(stream: Stream, epoch: string): void {
    const followed = this.#options.followed();
    const { networks, endpoints } = followed;
    this.#options.log.info(
      { before: followed.epoch, epoch, networks: networks.length, endpoints: endpoints.length },
      'the cluster was restored; saying what runs here',
    );
    for (const value of declarationOf(followed, epoch)) stream.write({ message: { $case: 'declaration', value } });
  }

  #take(known: Known): void {
    const before = this.state.value.known;
    if (before !== undefined && before.epoch !== known.epoch) {
      this.#endHoldOver();
      const timer = setTimeout(() => {
        this.#endHoldOver();
        if (this.#told !== undefined) this.state.set({ ...this.state.value, known: this.#told });
      }, HOLD_OVER_MS);
      this.#holdOver = { over: new HoldOver(before.view, this.#options.hostId), timer };
    }
    this.#told = known;
    const view = this.#holdOver?.over.over(known.view) ?? known.view;
    this.state.set({ ...this.state.value, known: { ...known, view } });
  }

  #endHoldOver(): void {
    clearTimeout(this.#holdOver?.timer);
    this.#holdOver = undefined;
  }

  #identityOf({ clusterId, epoch, hostNumber, hostName }: Welcome): Identity {
    const before = this.state.value.identity;
    const isSame =
      before?.clusterId === clusterId &&
      before.epoch === epoch &&
      before.hostNumber === hostNumber &&
      before.hostName === hostName;
    return isSame ? before : { clusterId, epoch, hostNumber, hostName };
  }
}

/** Pending endpoints that are in the kernel, removing and ready ones that are not; undefined when there are none. */
function reportOf({ known, attached, removed }: Settled, leaked: readonly EndpointId[]) {
  const readyEndpointIds: string[] = [];
  const views = [...(known?.view.values() ?? [])];
  for (const id of attached) {
    if (views.some(({ endpoints }) => endpoints.get(id)?.state === 'pending')) readyEndpointIds.push(id);
  }
  if (readyEndpointIds.length + removed.length + leaked.length === 0) return undefined;
  return { readyEndpointIds, removedEndpointIds: [...removed], leakedEndpointIds: [...leaked] };
}
