/**
 * One etcd server as its client sees it: mutual TLS, a deadline on each call, failures in the store's own terms. Built
 * on etcd3's low-level clients; its own retries and breakers are off (its breaker opens on an answer that is merely too
 * large): what may be repeated, the connection decides.
 */
import { setMaxListeners } from 'node:events';
import {
  Client,
  InterceptingCall,
  Metadata,
  credentials,
  status,
  type CallOptions,
  type ChannelOptions,
  type ClientDuplexStream,
  type Interceptor,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { NoopPolicy, noop, type IDefaultPolicyContext } from 'cockatiel';
import {
  Etcd3,
  type ILeaseKeepAliveRequest,
  type ILeaseKeepAliveResponse,
  type IWatchRequest,
  type IWatchResponse,
  type KVClient,
} from 'etcd3';
import { openChannel, type EtcdTls } from './etcd-tls.js';
import { StoreFull, StoreRefused, StoreUnavailable } from './store.js';

/** One call: given the keys' client and the options to pass on to it, and the client of everything else. */
export type EtcdCall<T> = (kv: KVClient, options: CallOptions, client: Etcd3) => Promise<T>;

/** A stream, which ends when it breaks. Disposing of it ends it. */
export interface EtcdStream<Request, Answer> extends Disposable {
  readonly stream: ClientDuplexStream<Request, Answer>;
  /** Why it broke; undefined while it has not, and when etcd ended it in good order. */
  readonly failure: () => Error | undefined;
}

export type EtcdWatch = EtcdStream<IWatchRequest, IWatchResponse>;
/** Etcd answers renewals in the order in which they were sent, one after the other. */
export type EtcdRenewals = EtcdStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;

export interface EndpointOptions {
  /** `https://host:port` or `host:port`. */
  readonly address: string;
  readonly tls: EtcdTls;
  readonly keepaliveMs: number;
  /** Told when the endpoint did not answer, or stopped to. */
  readonly onFailure: () => void;
}

/** A call whose bytes are the caller's. */
export interface BareCall {
  readonly request: Buffer;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** etcd's answers that say no, and that nothing was done. After every other failure the outcome is unknown. */
const REFUSALS: ReadonlySet<status> = new Set([
  status.FAILED_PRECONDITION,
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.OUT_OF_RANGE,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.UNAUTHENTICATED,
  status.UNIMPLEMENTED,
]);

/** etcd3's client, and the connection that it made when it was first used. */
interface Opened {
  readonly etcd: Etcd3;
  /** Calls on that same connection without what etcd3 does around them. */
  bare: Client | undefined;
}

export class EtcdEndpoint implements Disposable {
  readonly #options: EndpointOptions;
  #opened: Opened;
  /** Ends a call that is under way. */
  readonly #calls = new Set<() => void>();
  /** Ends a watch. */
  readonly #watches = new Set<() => void>();
  /** Ends a stream of renewals. */
  readonly #renewals = new Set<() => void>();

  /** Connects when first used. Throws RangeError for an address that is none. */
  constructor(options: EndpointOptions) {
    this.#options = options;
    this.#opened = openClient(options);
  }

  /** One call, sent at most once, and cancelled when the signal aborts or `timeoutMs` are over. */
  async call<T>(call: EtcdCall<T>, timeoutMs: number, signal: AbortSignal): Promise<T> {
    // A daemon's calls all end with its one signal: many listeners are no leak.
    setMaxListeners(0, signal);
    const opened = this.#opened;
    let outcome: StatusObject | undefined;
    const note = (told: StatusObject): StatusObject => (outcome = told);
    try {
      const options = {
        deadline: Date.now() + timeoutMs,
        interceptors: [this.#cancellable(signal), observing(note), withLeader],
      };
      return await call(opened.etcd.kv, options, opened.etcd);
    } catch (error) {
      signal.throwIfAborted();
      const typed = storeError(outcome, error);
      if (typed instanceof StoreUnavailable) this.#failed(opened, outcome);
      throw typed;
    }
  }

  /**
   * The same for a call whose bytes are made and read by the caller: `path` as `/etcdserverpb.KV/Txn`. It goes the
   * same way on the same connection, past all that etcd3 does for each field of a message.
   */
  async send(path: string, { request, timeoutMs, signal }: BareCall): Promise<Buffer> {
    setMaxListeners(0, signal);
    const opened = this.#opened;
    // etcd3 connects when it is first used.
    if (opened.bare === undefined) await this.call((kv, options) => kv.range(ANYTHING, options), timeoutMs, signal);
    const { bare } = opened;
    if (bare === undefined) throw new StoreUnavailable('there is no connection to etcd');
    let outcome: ServiceError | undefined;
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        const metadata = new Metadata();
        metadata.set(...LEADER);
        const options = { deadline: Date.now() + timeoutMs };
        const call = bare.makeUnaryRequest(path, same, same, request, metadata, options, (error, answer) => {
          signal.removeEventListener('abort', cancel);
          this.#calls.delete(cancel);
          if (error !== null) {
            outcome = error;
            reject(error);
          } else if (answer === undefined) reject(new StoreUnavailable('etcd answered nothing'));
          else resolve(answer);
        });
        const cancel = (): void => {
          call.cancel();
        };
        signal.addEventListener('abort', cancel, { once: true });
        this.#calls.add(cancel);
      });
    } catch (error) {
      signal.throwIfAborted();
      const typed = storeError(outcome, error);
      if (typed instanceof StoreUnavailable) this.#failed(opened, outcome);
      throw typed;
    }
  }

  /** A new, empty watch stream on a connection of its own: history that is caught up with must not delay others. */
  openWatch(): Promise<EtcdWatch> {
    return this.#openStream(this.#watches, ({ watchClient }, options) => watchClient.watch(options));
  }

  /**
   * A new, empty stream of renewals (LeaseKeepAlive) on a connection of its own, so that nothing large delays them. It
   * has deadlines of its own, so it does not end with a call that fails.
   */
  openRenewals(): Promise<EtcdRenewals> {
    return this.#openStream(this.#renewals, ({ leaseClient }, options) => leaseClient.leaseKeepAlive(options));
  }

  async #openStream<Request, Answer>(
    open: Set<() => void>,
    begin: (client: Etcd3, options: CallOptions) => Promise<unknown>,
  ): Promise<EtcdStream<Request, Answer>> {
    const { etcd: client } = openClient(this.#options);
    let failure: Error | undefined;
    const note = (outcome: StatusObject): StatusObject => {
      if (outcome.code === status.OK) return outcome;
      failure = storeError(outcome, undefined);
      // Cancelled is what we do ourselves.
      if (failure instanceof StoreUnavailable && outcome.code !== status.CANCELLED) this.#options.onFailure();
      // Told as a plain end, which the reader expects anyway.
      return { ...outcome, code: status.OK };
    };
    // etcd3 types only part of the stream that grpc-js makes; back-pressure needs the rest.
    const stream = (await begin(client, { interceptors: [observing(note), withLeader] })) as ClientDuplexStream<
      Request,
      Answer
    >;
    const end = (): void => {
      open.delete(end);
      stream.end();
      stream.cancel();
      client.close();
    };
    open.add(end);
    return { stream, failure: () => failure, [Symbol.dispose]: end };
  }

  /** Ends every call and stream. */
  [Symbol.dispose](): void {
    for (const end of [...this.#calls, ...this.#watches, ...this.#renewals]) end();
    this.#opened.etcd.close();
  }

  /**
   * What is known after a call that was not answered. Node may miss that a connection was reset while it was written
   * to (seen on 20.20), and then waits on it until a keepalive is missed. So the connection is not used again after a
   * deadline, and watches, which cannot have deadlines, begin anew with the first failure of a call.
   */
  #failed(opened: Opened, outcome: Pick<StatusObject, 'code'> | undefined): void {
    if (outcome?.code === status.DEADLINE_EXCEEDED && opened === this.#opened) {
      this.#opened = openClient(this.#options);
      opened.etcd.close();
    }
    for (const end of this.#watches) end();
    this.#options.onFailure();
  }

  /** Cancels the call when the signal aborts, and when the endpoint is closed. */
  #cancellable(signal: AbortSignal): Interceptor {
    return (options, nextCall) => {
      const call = new InterceptingCall(nextCall(options), {
        start: (metadata, listener, next) => {
          const cancel = (): void => {
            call.cancelWithStatus(status.CANCELLED, 'cancelled by the caller');
          };
          signal.addEventListener('abort', cancel, { once: true });
          this.#calls.add(cancel);
          next(metadata, {
            onReceiveStatus: (outcome, nextStatus) => {
              signal.removeEventListener('abort', cancel);
              this.#calls.delete(cancel);
              nextStatus(outcome);
            },
          });
        },
      });
      return call;
    };
  }
}

/** Whether etcd refused because the revision asked for is compacted (or, on a member that is behind, yet to come). */
export function isOutOfRange(error: unknown): boolean {
  return error instanceof StoreRefused && error.cause === status.OUT_OF_RANGE;
}

/** Whether etcd refused because a lease is unknown to it: it ended, or it was another cluster's. */
export function isLeaseUnknown(error: unknown): boolean {
  return error instanceof StoreRefused && error.cause === status.NOT_FOUND;
}

/** Whether etcd refused because a transaction has more operations than its `--max-txn-ops`. */
export function isTooManyOperations(error: unknown): boolean {
  return error instanceof StoreRefused && error.message.endsWith(TOO_MANY_OPERATIONS);
}

const TOO_MANY_OPERATIONS = 'etcdserver: too many operations in txn request';

/**
 * What etcd says when it has no space, with the same status as of much else. Its own client tells errors by their text
 * (etcdserver/api/v3rpc/rpctypes), so that does not change.
 */
const NO_SPACE = 'etcdserver: mvcc: database space exceeded';

/** What went wrong, in the store's own terms. `outcome` is what gRPC says of the call, if it came to that. */
function storeError(
  outcome: Pick<StatusObject, 'code' | 'details'> | undefined,
  cause: unknown,
): StoreUnavailable | StoreRefused {
  const reason = outcome?.details ?? (cause instanceof Error ? cause.message : String(cause));
  if (outcome === undefined || !REFUSALS.has(outcome.code)) {
    return new StoreUnavailable(`etcd did not answer: ${reason}`, { cause });
  }
  const Refusal = reason === NO_SPACE ? StoreFull : StoreRefused;
  return new Refusal(`etcd refused: ${reason}`, { cause: outcome.code });
}

/**
 * Passes every failure on in a type that etcd3 does not know. From one it knows, its pool would conclude that the
 * channel should be closed, under all other calls on it; of many calls that fail together each would close the channel
 * that the others have just been given.
 */
class OpaqueFailures extends NoopPolicy {
  override async execute<T>(run: (context: IDefaultPolicyContext) => PromiseLike<T> | T): Promise<T> {
    try {
      return await super.execute(run);
    } catch (error) {
      throw new StoreUnavailable(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }
}

/** Shows how a call or a stream ended, before its owner is told; the owner is told what `note` returns. */
function observing(note: (outcome: StatusObject) => StatusObject): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        next(metadata, {
          onReceiveStatus: (outcome, nextStatus) => {
            nextStatus(note(outcome));
          },
        });
      },
    });
}

/**
 * Asks etcd to break off when the member has no leader. A member cut off from its peers would otherwise keep a watch
 * open for ever, and silent.
 */
const withLeader: Interceptor = (options, nextCall) =>
  new InterceptingCall(nextCall(options), {
    start: (metadata, listener, next) => {
      metadata.set(...LEADER);
      next(metadata, listener);
    },
  });

const LEADER = ['hasleader', 'true'] as const;

/** A harmless question. */
const ANYTHING = { key: Buffer.from('/'), limit: 1 };

/** A client of a channel that is there is asked for credentials all the same. */
const UNUSED = credentials.createInsecure();

const same = (bytes: Buffer): Buffer => bytes;

function openClient({ address, tls, keepaliveMs }: EndpointOptions): Opened {
  const place = address.replace(/^https:\/\//, '');
  if (!/^[^/]+:\d+$/.test(place)) {
    throw new RangeError(`${address} is no etcd endpoint: write https://host:port (etcd without TLS is not used)`);
  }
  const etcd = new Etcd3({
    hosts: place,
    grpcOptions: {
      // etcd3's own credentials cannot say how a server is checked; without any it has insecure ones, unused here.
      channelFactoryOverride: (at: string, _insecure: unknown, options: ChannelOptions) => {
        const channel = openChannel(at, tls, options);
        opened.bare ??= new Client(at, UNUSED, { channelOverride: channel });
        return channel;
      },
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': Math.min(keepaliveMs, 5_000),
      // The default goes up to two minutes, in which an etcd that is back would go unnoticed.
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      // A new client is to have a new connection, not one of those that other clients have.
      'grpc.use_local_subchannel_pool': 1,
    },
    faultHandling: { global: noop, host: () => new OpaqueFailures() },
  });
  const opened: Opened = { etcd, bare: undefined };
  return opened;
}
