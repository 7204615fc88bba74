/**
 * Calls to etcd over etcd3's low-level clients: mutual TLS, a deadline on each, one endpoint at a time and the next
 * when it fails. etcd3's own retries and breakers are off (its breaker opens on an answer that is merely too large):
 * what may be repeated is decided here.
 */
import { setMaxListeners } from 'node:events';
import {
  InterceptingCall,
  status,
  type CallOptions,
  type ClientDuplexStream,
  type Interceptor,
  type StatusObject,
} from '@grpc/grpc-js';
import { NoopPolicy, noop, type IDefaultPolicyContext } from 'cockatiel';
import { Etcd3, type IWatchRequest, type IWatchResponse, type KVClient } from 'etcd3';
import { backoffMs, pause } from '../../core/lifetime.js';
import { StoreRefused, StoreUnavailable } from './store.js';

/** PEM texts: whom to believe, and who we are. Weft never speaks to etcd in clear. */
export interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** The name that the servers' certificates must carry; default: the host in the endpoint. */
  readonly serverName?: string;
}

export interface EtcdOptions {
  /** `https://host:port` or `host:port`, at least one. */
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
  /** Milliseconds one call may take. Longer than a leader election (1-2 s), so that one is survived. Default 5,000. */
  readonly callTimeoutMs?: number;
  /** Milliseconds that reads, and the way to a first answer, are repeated before they are given up. Default 10,000. */
  readonly patienceMs?: number;
  /**
   * Milliseconds of silence after which a connection in use is asked for a sign of life. etcd drops clients that ask
   * more often than its `--grpc-keepalive-min-time` (5 s). Default 10,000.
   */
  readonly keepaliveMs?: number;
}

/** etcd's answers that say no, and that nothing was done. After every other failure the outcome is unknown. */
const REFUSALS: ReadonlySet<status> = new Set([
  status.FAILED_PRECONDITION,
  status.INVALID_ARGUMENT,
  status.OUT_OF_RANGE,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.UNAUTHENTICATED,
  status.UNIMPLEMENTED,
]);

/** One endpoint. Watches have a connection of their own: history that is being caught up with must not delay calls. */
interface Endpoint {
  readonly calls: Etcd3;
  readonly watches: Etcd3;
}

export type WatchStream = ClientDuplexStream<IWatchRequest, IWatchResponse>;

/** One call: given the client, and the options to pass on to it. */
export type EtcdCall<T> = (kv: KVClient, options: CallOptions) => Promise<T>;

export class EtcdConnection implements Disposable {
  readonly callTimeoutMs: number;
  readonly #patienceMs: number;
  readonly #endpoints: readonly Endpoint[];
  #current = 0;
  /** Whether the current endpoint has yet to answer since it was chosen or since it failed. */
  #doubtful = true;
  readonly #closing = new AbortController();
  /** Ends a call or a stream that is under way. */
  readonly #active = new Set<() => void>();

  constructor(options: EtcdOptions) {
    if (options.endpoints.length === 0) throw new RangeError('no etcd endpoints');
    this.callTimeoutMs = options.callTimeoutMs ?? 5_000;
    this.#patienceMs = options.patienceMs ?? 10_000;
    const open = (endpoint: string) => openClient(endpoint, options.tls, options.keepaliveMs ?? 10_000);
    this.#endpoints = options.endpoints.map((endpoint) => ({ calls: open(endpoint), watches: open(endpoint) }));
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /**
   * One call, sent at most once. When the endpoint is in doubt it is first asked something harmless, on this endpoint
   * or another, so that a dead one rarely costs a call whose outcome is then unknown.
   */
  async once<T>(call: EtcdCall<T>, signal: AbortSignal): Promise<T> {
    if (this.#doubtful)
      await this.repeat((kv, options) => kv.range({ key: Buffer.from('/'), limit: 1 }, options), signal);
    return this.#try(call, signal);
  }

  /** A call that changes nothing, repeated until it is answered or patience is at its end. */
  async repeat<T>(call: EtcdCall<T>, signal: AbortSignal): Promise<T> {
    const giveUpAt = performance.now() + this.#patienceMs;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#try(call, signal);
      } catch (error) {
        const waitMs = backoffMs(attempt, 20, 400);
        if (!(error instanceof StoreUnavailable) || this.closed || performance.now() + waitMs > giveUpAt) throw error;
        if (!(await pause(waitMs, signal))) signal.throwIfAborted();
      }
    }
  }

  /**
   * A new, empty watch stream, which ends when it breaks: `failure` then says why, and is undefined when etcd ended it
   * in good order. Whoever opened it ends and cancels it.
   */
  async openWatch(): Promise<{ readonly stream: WatchStream; readonly failure: () => Error | undefined }> {
    this.#assertOpen();
    const endpoint = this.#current;
    let failure: Error | undefined;
    const note = (outcome: StatusObject): StatusObject => {
      if (outcome.code === status.OK) return outcome;
      failure = storeError(outcome, undefined);
      if (failure instanceof StoreUnavailable) this.#leave(endpoint);
      // Told as a plain end: from an error etcd3 would conclude that it should close the channel, under other watches.
      return { ...outcome, code: status.OK };
    };
    // etcd3 types only part of the stream that grpc-js makes; back-pressure needs the rest.
    const stream = (await this.#at(endpoint).watches.watchClient.watch({
      interceptors: [observing(note), withLeader],
    })) as unknown as WatchStream;
    const cancel = () => {
      stream.cancel();
    };
    this.#active.add(cancel);
    stream.once('close', () => this.#active.delete(cancel));
    return { stream, failure: () => failure };
  }

  [Symbol.dispose](): void {
    if (this.closed) return;
    this.#closing.abort();
    for (const cancel of this.#active) cancel();
    for (const { calls, watches } of this.#endpoints) {
      calls.close();
      watches.close();
    }
  }

  async #try<T>(call: EtcdCall<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#assertOpen();
    // A daemon's calls all end with its one signal: many listeners are no leak.
    setMaxListeners(0, signal);
    const endpoint = this.#current;
    let outcome: StatusObject | undefined;
    const note = (told: StatusObject): StatusObject => (outcome = told);
    const options: CallOptions = {
      deadline: Date.now() + this.callTimeoutMs,
      interceptors: [this.#cancellable(signal), observing(note), withLeader],
    };
    try {
      const answer = await call(this.#at(endpoint).calls.kv, options);
      if (endpoint === this.#current) this.#doubtful = false;
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      this.#assertOpen();
      const typed = storeError(outcome, error);
      if (typed instanceof StoreUnavailable) this.#leave(endpoint);
      throw typed;
    }
  }

  /** Cancels the call when the signal aborts, and when the connection closes. */
  #cancellable(signal: AbortSignal): Interceptor {
    return (options, nextCall) => {
      const call = new InterceptingCall(nextCall(options), {
        start: (metadata, listener, next) => {
          const cancel = () => {
            call.cancelWithStatus(status.CANCELLED, 'cancelled by the caller');
          };
          signal.addEventListener('abort', cancel, { once: true });
          this.#active.add(cancel);
          next(metadata, {
            onReceiveStatus: (outcome, nextStatus) => {
              signal.removeEventListener('abort', cancel);
              this.#active.delete(cancel);
              nextStatus(outcome);
            },
          });
        },
      });
      return call;
    };
  }

  /** Goes to the next endpoint, unless somebody already has. */
  #leave(endpoint: number): void {
    if (endpoint !== this.#current) return;
    this.#current = (endpoint + 1) % this.#endpoints.length;
    this.#doubtful = true;
  }

  #at(index: number): Endpoint {
    const endpoint = this.#endpoints[index];
    if (endpoint === undefined) throw new RangeError(`no endpoint ${String(index)}`);
    return endpoint;
  }

  #assertOpen(): void {
    if (this.closed) throw new StoreUnavailable('the store is closed');
  }
}

/** What went wrong, in the store's own terms. `outcome` is what gRPC says of the call, if it came to that. */
function storeError(outcome: StatusObject | undefined, cause: unknown): StoreUnavailable | StoreRefused {
  const reason = outcome?.details ?? (cause instanceof Error ? cause.message : String(cause));
  return outcome !== undefined && REFUSALS.has(outcome.code)
    ? new StoreRefused(`etcd refused: ${reason}`, { cause: outcome.code })
    : new StoreUnavailable(`etcd did not answer: ${reason}`, { cause });
}

/** Whether etcd refused because the revision asked for is compacted (or, on a member that is behind, yet to come). */
export function isOutOfRange(error: unknown): boolean {
  return error instanceof StoreRefused && error.cause === status.OUT_OF_RANGE;
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
      metadata.set('hasleader', 'true');
      next(metadata, listener);
    },
  });

function openClient(endpoint: string, tls: EtcdTls, keepaliveMs: number): Etcd3 {
  const address = endpoint.replace(/^https:\/\//, '');
  if (!/^[^/]+:\d+$/.test(address)) {
    throw new RangeError(`${endpoint} is no etcd endpoint: write https://host:port (etcd without TLS is not used)`);
  }
  return new Etcd3({
    hosts: `https://${address}`,
    credentials: {
      rootCertificate: Buffer.from(tls.ca),
      certChain: Buffer.from(tls.cert),
      privateKey: Buffer.from(tls.key),
    },
    grpcOptions: {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': Math.min(keepaliveMs, 5_000),
      // The default goes up to two minutes, in which an etcd that is back would go unnoticed.
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      ...(tls.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': tls.serverName }),
    },
    faultHandling: { global: noop, host: () => new OpaqueFailures() },
  });
}
