/**
 * Calls to etcd over etcd3's low-level clients: mutual TLS, a deadline on each, one endpoint at a time and the next
 * when it fails. etcd3's own retries and breakers are off (its breaker opens on an answer that is merely too large):
 * what may be repeated is decided here.
 */
import { InterceptingCall, status, type CallOptions, type ClientDuplexStream, type Interceptor } from '@grpc/grpc-js';
import { noop } from 'cockatiel';
import {
  Etcd3,
  EtcdPermissionDeniedError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
  type IWatchRequest,
  type IWatchResponse,
  type KVClient,
} from 'etcd3';
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

/** etcd's answers that say no. After every other error the outcome is unknown. */
const REFUSALS = [
  EtcdPermissionDeniedError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
];

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

  /** A new, empty watch stream. Whoever opened it ends and cancels it, and says `watchFailed` if it broke. */
  async openWatch(): Promise<{ readonly stream: WatchStream; readonly failed: () => void }> {
    this.#assertOpen();
    const endpoint = this.#current;
    // etcd3 types only part of the stream that grpc-js makes; back-pressure needs the rest.
    const stream = (await this.#at(endpoint).watches.watchClient.watch({
      interceptors: [withLeader],
    })) as unknown as WatchStream;
    const cancel = () => {
      stream.cancel();
    };
    this.#active.add(cancel);
    stream.once('close', () => this.#active.delete(cancel));
    return {
      stream,
      failed: () => {
        this.#leave(endpoint);
      },
    };
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
    const endpoint = this.#current;
    const options: CallOptions = {
      deadline: Date.now() + this.callTimeoutMs,
      interceptors: [this.#cancellable(signal), withLeader],
    };
    try {
      const answer = await call(this.#at(endpoint).calls.kv, options);
      if (endpoint === this.#current) this.#doubtful = false;
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      this.#assertOpen();
      const typed = storeError(error);
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

/** What went wrong, in the store's own terms. */
export function storeError(error: unknown): StoreUnavailable | StoreRefused {
  const message = error instanceof Error ? error.message : String(error);
  if (REFUSALS.some((refusal) => error instanceof refusal)) {
    return new StoreRefused(`etcd refused: ${message}`, { cause: error });
  }
  return new StoreUnavailable(`etcd did not answer: ${message}`, { cause: error });
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
    faultHandling: { global: noop, host: () => noop },
  });
}
